package holepunch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/simopen/go-libp2p-simopen/internal/pb"
)

// TestReasons: codes and sentences are unique and well-formed.
func TestReasons(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range Reasons() {
		code, sentence := string(r), r.Error()
		if seen[code] || seen[sentence] || code == sentence {
			t.Errorf("%q, %q is there twice", code, sentence)
		}
		seen[code], seen[sentence] = true, true
		if strings.Trim(code, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%q is no code", code)
		}
		if !r.row().status.known() {
			t.Errorf("%s has the status %d", code, r.row().status)
		}
		if got := errors.Is(r, net.ErrClosed); got != (r == ErrClosed) {
			t.Errorf("%s is net.ErrClosed: %v", code, got)
		}
		err := fmt.Errorf("something: %w", &PunchError{Op: "open", Err: fmt.Errorf("%w: %w", r, context.Canceled)})
		if ReasonOf(err) != r || !errors.Is(err, r) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s is not found in %v", code, err)
		}
	}
	if other := Reason("something else"); other.Error() != "something else" || other.Final() || other.row().public {
		t.Errorf("a reason that is not in the table: %+v", other.row())
	}
	if r := ReasonOf(errors.New("something")); r != "" {
		t.Errorf("%q in an error without a reason", r)
	}
}

// TestFinal: which failures are not tried again.
func TestFinal(t *testing.T) {
	final := map[Reason]bool{
		ErrMalformed: true, ErrDeclined: true, ErrNoCandidate: true, ErrUnpredictable: true, ErrPortFiltered: true,
		ErrNoBareSYN: true, ErrNoHairpin: true, ErrNoProtocol: true, ErrClosed: true, ErrElsewhere: true, ErrGated: true,
		ErrPeerFiltered: true, notEnabled: true, noRelayedConn: true, peerUnsupported: true,
	}
	for _, r := range Reasons() {
		if r.Final() != final[r] {
			t.Errorf("%s: final %v, want %v", string(r), r.Final(), final[r])
		}
	}
}

// TestStatuses: they are those on the wire, and what a peer says by one is a reason here.
func TestStatuses(t *testing.T) {
	for number, name := range pb.Status_name {
		if got := Status(number).String(); got != name {
			t.Errorf("status %d is %q, want %q", number, got, name)
		}
	}
	if len(statuses) != len(pb.Status_name) {
		t.Errorf("%d statuses, want %d", len(statuses), len(pb.Status_name))
	}
	for status, want := range map[Status]Reason{
		StatusOK: "", StatusCancelled: "", StatusMalformed: ErrMalformed, StatusNoAddress: ErrNoAddress, StatusNoCandidate: ErrNoCandidate,
		StatusBusy: ErrBusy, StatusGlare: ErrGlare, StatusFailed: ErrNoConnection, StatusImpossible: ErrNoConnection,
		StatusDeclined: ErrDeclined, StatusNoProtocol: ErrNoProtocol,
		15: ErrNoConnection, -1: ErrNoConnection, // of a later version
	} {
		err := error(&PunchError{Op: "offer", Err: &RemoteError{Status: status}})
		if got := ReasonOf(err); got != want || want != "" && !errors.Is(err, want) {
			t.Errorf("%s: got %q, want %q", status, got, want)
		}
	}
}

func TestPunchErrorText(t *testing.T) {
	for want, err := range map[string]error{
		"offer: the peer did not answer": &PunchError{Op: "offer", Err: ErrNoAnswer},
		"open from port 40000 to [46.0.2.1:50000 46.0.2.1:50001] (3 connects): no connection came up": &PunchError{
			Op: "open", Local: 40000, Remote: addrsOf(theirs.candidates), Connects: 3, Err: ErrNoConnection,
		},
		`offer: peer says BUSY: "no \"time\""`:                            &PunchError{Op: "offer", Err: &RemoteError{Status: StatusBusy, Detail: `no "time"`}},
		"peer says BUSY: too many attempts, under way or in a short time": &RemoteError{Status: StatusBusy},
		"peer says CANCELLED":                                             &RemoteError{Status: StatusCancelled},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
