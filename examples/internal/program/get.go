package program

import (
	"io"
	"net/http"
	"testing"
)

// Get returns what a program serves at a URL over HTTP, with status 200.
func Get(t testing.TB, url string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v, %q", url, resp.Status, err, body)
	}
	return string(body)
}
