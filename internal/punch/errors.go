package punch

import "errors"

var (
	// ErrPreamble is a connection that does not open with a token.
	ErrPreamble = errors.New("does not open with a token")

	// ErrToken is a connection that opens with the token of no attempt, or of another one.
	ErrToken = errors.New("opens with an unknown token")

	// ErrFrame is a connection that opens with the right token and continues in a way that no peer
	// does.
	ErrFrame = errors.New("malformed data after the token")

	// ErrSilent is a connection whose other end did not say in time what it had to.
	ErrSilent = errors.New("other end is silent")

	// ErrHungUp is a connection that the other end closed, or reset, before it sent anything.
	ErrHungUp = errors.New("closed without a word")

	// ErrNotChosen is a connection that was dropped because another one was chosen.
	ErrNotChosen = errors.New("another connection was chosen")

	// ErrNoChoice ends the stream of a responder that has not read a choice in time.
	ErrNoChoice = errors.New("initiator chose no connection in time")

	// ErrCopiesDiffer ends a stream of which two connections have delivered different bytes.
	ErrCopiesDiffer = errors.New("two connections delivered different bytes")

	// errTooManyCopies is a connection beyond maxLiveCopies.
	errTooManyCopies = errors.New("too many connections of one attempt are up")
)
