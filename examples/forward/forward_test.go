package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/examples/forward/internal/tunnel"
	"github.com/simopen/go-libp2p-simopen/examples/internal/program"
)

const page = "the page\n"

// TestLoopback runs the programs on one machine, as a newcomer does.
func TestLoopback(t *testing.T) {
	t.Parallel()
	start := func(t testing.TB, _ place, cmd *exec.Cmd) *program.Process { return program.Start(t, cmd) }
	s := newStage(t, build(t), start, "-listen", "/ip4/127.0.0.1/tcp/0", "-stun", "127.0.0.1:0")
	s.startRelay(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	defer web.Close()
	addr := web.Listener.Addr().String()

	server, id := s.startServe(t, "-to", "web="+addr, "-to", "gone=127.0.0.1:1", "-metrics", "127.0.0.1:0")
	t.Run("local", func(t *testing.T) {
		dialler, local := s.startDial(t, id, "-service", "web")
		dialler.Line("direct connection up")
		if got := get(t, http.DefaultClient, local); got != page {
			t.Errorf("got %q", got)
		}
		dialler.Line(`connection to "web" from 127.0.0.1:`)
		dialler.Interrupt()
		if r := dialler.Wait(); r.Status != 0 || r.Stderr != "" {
			t.Errorf("status %d, stderr %q", r.Status, r.Stderr)
		}
	})
	t.Run("stdio", func(t *testing.T) {
		cmd := exec.Command(s.exe, s.dialArgs("-stdio", "-service", "web", id)...)
		cmd.Stdin = strings.NewReader("GET / HTTP/1.0\r\n\r\n")
		r := program.Run(t, cmd)
		if r.Status != 0 || r.Stderr != "" || !strings.HasSuffix(r.Stdout, "\r\n\r\n"+page) {
			t.Errorf("status %d, stderr %q, stdout %q", r.Status, r.Stderr, r.Stdout)
		}
	})
	t.Run("many at once, with one identity", func(t *testing.T) {
		_, local := s.startDial(t, id, "-service", "web")
		var processes []*program.Process
		for range 8 {
			cmd := exec.Command(s.exe, s.dialArgs("-stdio", "-service", "web", id)...)
			cmd.Stdin = strings.NewReader("GET / HTTP/1.0\r\n\r\n")
			processes = append(processes, program.Start(t, cmd))
		}
		for _, p := range processes {
			if r := p.Wait(); r.Status != 0 || !strings.HasSuffix(r.Stdout, page) {
				t.Errorf("status %d, stderr %q, stdout %q", r.Status, r.Stderr, r.Stdout)
			}
		}
		if got := get(t, http.DefaultClient, local); got != page {
			t.Errorf("got %q", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for service, want := range map[string]string{
			"gone": "forward dial: the service refuses connections\n",
			"mail": `forward dial: no such service ("services: gone, web")` + "\n",
		} {
			r := program.Run(t, exec.Command(s.exe, s.dialArgs("-stdio", id, "-service", service)...))
			if r.Status != 1 || r.Stderr != want || r.Stdout != "" {
				t.Errorf("%s: status %d, stderr %q, stdout %q", service, r.Status, r.Stderr, r.Stdout)
			}
		}
	})
	t.Run("json", func(t *testing.T) {
		r := program.Run(t, exec.Command(s.exe, s.dialArgs(id, "-stdio", "-service", "web", "-json")...))
		var kinds []string
		for line := range strings.Lines(r.Stderr) {
			var e tunnel.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if e.Kind != tunnel.Ready { // at any time: the connection does not wait for it
				kinds = append(kinds, string(e.Kind))
			}
		}
		// The connection becomes direct before the stream is opened; both are reported at once.
		got := strings.Join(kinds, " ")
		if r.Status != 0 || !strings.Contains(got, "direct opened closed") && !strings.Contains(got, "opened direct closed") {
			t.Errorf("status %d, events %s", r.Status, got)
		}
	})

	server.Interrupt()
	if r := server.Wait(); r.Status != 0 || r.Stderr != "" {
		t.Errorf("serve: status %d, stderr %q", r.Status, r.Stderr)
	}
	t.Run("the printed command", func(t *testing.T) {
		server, _ := s.startServe(t, "-to", addr)
		defer server.Interrupt()
		command := s.command
		for i, word := range command {
			if word == "-local" {
				command[i+1] = "127.0.0.1:0"
			}
		}
		cmd := exec.Command(command[0], append(command[1:], "-key", s.dir+"/dial.key")...)
		_, local, _ := strings.Cut(program.Start(t, cmd).Line("clients can connect to "), "connect to ")
		if got := get(t, http.DefaultClient, local); got != page {
			t.Errorf("got %q", got)
		}
	})
	t.Run("allow", func(t *testing.T) {
		server, id := s.startServe(t, "-to", addr, "-allow", someID)
		r := program.Run(t, exec.Command(s.exe, s.dialArgs("-stdio", id)...))
		_, self, _ := strings.Cut(r.Stderr, "there, add ")
		self, _, _ = strings.Cut(self, " ")
		if r.Status != 1 || strings.Count(r.Stderr, "\n") != 1 || self == "" {
			t.Fatalf("status %d, stderr %q", r.Status, r.Stderr)
		}
		server.Line("this peer is not allowed")
		r = program.Run(t, exec.Command(s.exe, s.dialArgs("-stdio", id, "-relayed")...))
		if r.Status != 1 || !strings.Contains(r.Stderr, "this peer is not allowed") {
			t.Errorf("over the relay: status %d, stderr %q", r.Status, r.Stderr)
		}
		server.kill()
		_, id = s.startServe(t, "-to", addr, "-allow", self)
		cmd := exec.Command(s.exe, s.dialArgs("-stdio", id)...)
		cmd.Stdin = strings.NewReader("GET / HTTP/1.0\r\n\r\n")
		if r := program.Run(t, cmd); r.Status != 0 || !strings.HasSuffix(r.Stdout, page) {
			t.Errorf("status %d, stderr %q, stdout %q", r.Status, r.Stderr, r.Stdout)
		}
	})
}

// get fetches the page by a client.
func get(t *testing.T, c *http.Client, addr string) string {
	t.Helper()
	r, err := c.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
