package natlab

import (
	"errors"
	"fmt"
)

// ErrUnavailable is matched by the error of [Enter] and [New] if this user can have no lab on this
// machine.
var ErrUnavailable = errors.New("no lab")

// An UnavailableError says in one line why no lab can be had, and what to do about it. It matches
// [ErrUnavailable].
type UnavailableError struct {
	// Reason is what is missing. Remedy is what the user can do, as in "run it with sudo". It is
	// empty if nothing helps.
	Reason, Remedy string
	// Err is the underlying error, nil if there is none.
	Err error
}

func (e *UnavailableError) Error() string {
	s := "no lab: " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func (e *UnavailableError) Unwrap() error { return e.Err }

func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// about says what an error is about, unless it is nil, or of the whole machine.
func about(what string, err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("natlab: %s: %w", what, err)
}
