package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/simopen/go-libp2p-simopen/internal/natlab"
)

// A faultStage has all programs running, and a page that came through them.
type faultStage struct {
	*labStage
	t                      *testing.T
	web, id, local         string
	relay, server, dialler running
}

// testFaults: what a fault has cut comes back by itself, in a few seconds.
func testFaults(t *testing.T, exes exes) {
	for name, strike := range map[string]func(*faultStage){
		"the NAT at home restarts":      func(s *faultStage) { s.sites[atHome].ResetNAT() },
		"the NAT of clients restarts":   func(s *faultStage) { s.sites[away].ResetNAT() },
		"the services' address changes": func(s *faultStage) { s.move(atHome) },
		"the clients' address changes":  func(s *faultStage) { s.move(away) },
		"serve is killed": func(s *faultStage) {
			s.server.kill()
			s.server, _ = s.startServe(s.t, "-to", s.web)
		},
		"dial is killed": func(s *faultStage) {
			s.dialler.kill()
			s.dialler, s.local = s.startDial(s.t, s.id)
		},
		"the relay is killed, and then serve": func(s *faultStage) {
			s.relay.kill()
			s.server.Line("relay  not reached, trying again")
			s.relay = s.startRelay(s.t)
			s.server.Line("relay  reached again")
			s.server.kill()
			s.server, _ = s.startServe(s.t, "-to", s.web)
		},
		"everything restarts": func(s *faultStage) {
			s.relay.kill()
			s.server.kill()
			s.sites[atHome].ResetNAT()
			s.sites[away].ResetNAT()
			s.relay = s.startRelay(s.t)
			s.server, _ = s.startServe(s.t, "-to", s.web)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFaultStage(t, exes)
			if got := get(t, s.client(away), s.local); got != page {
				t.Errorf("before: got %q", got)
			}
			strike(s)
			begun, tries := time.Now(), 1
			for ; ; tries++ {
				if ok := s.try(); ok {
					break
				}
			}
			t.Logf("a page after %v and %d tries", time.Since(begun).Round(10*time.Millisecond), tries)
		})
	}
}

func newFaultStage(t *testing.T, exes exes) *faultStage {
	t.Helper()
	s := &faultStage{labStage: newLabStage(t, exes, natlab.Config{}, "eim-apdf-rst", "eim-apdf-rst"), t: t}
	s.relay = s.startRelay(t)
	s.web = s.serveWeb(t)
	s.server, s.id = s.startServe(t, "-to", s.web)
	s.dialler, s.local = s.startDial(t, s.id)
	return s
}

// try fetches the page, as a person who tries again.
func (s *faultStage) try() (ok bool) {
	r, err := s.client(away).Get("http://" + s.local)
	if err != nil {
		s.t.Log(err)
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK
}

func (s *faultStage) move(where place) {
	s.t.Helper()
	if err := s.hosts[where].Move(); err != nil {
		s.t.Fatal(err)
	}
}
