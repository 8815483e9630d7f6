package metrics

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func get(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServer(t *testing.T) {
	reg := NewRegistry()
	eggs := prometheus.NewCounter(prometheus.CounterOpts{Name: "eggs_total"})
	reg.MustRegister(eggs)
	eggs.Inc()
	var ill atomic.Bool
	s, err := Start("127.0.0.1:0", reg, func() error {
		if ill.Load() {
			return errors.New("no eggs")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + s.Addr().String()

	status, body := get(t, client, url+"/metrics")
	if status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"\neggs_total 1\n", "\ngo_goroutines ", "\ngo_build_info{"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	if status, body := get(t, client, url+"/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("well: %d, %q", status, body)
	}
	ill.Store(true)
	if status, body := get(t, client, url+"/healthz"); status != http.StatusServiceUnavailable || body != "no eggs\n" {
		t.Errorf("ill: %d, %q", status, body)
	}
	if status, _ := get(t, client, url+"/"); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}

	_, err = Start(s.Addr().String(), reg, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "-metrics: listen tcp 127.0.0.1:") {
		t.Errorf("a port in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-s.Failed():
		t.Errorf("failed: %v", err)
	default:
	}
}

func TestNoServer(t *testing.T) {
	var s *Server
	if s.Failed() != nil || s.Close() != nil {
		t.Error("it does something")
	}
}
