package natlab

// Enter gets the process the rights that a lab needs. It must be called first in main or TestMain,
// before goroutines and flags.
//
// As root it does nothing. As an ordinary user it runs the program again as its child, in a new
// user namespace where it is root: Enter returns in the child; in the parent it passes signals on,
// and ends the process with the child's exit status.
//
// The error matches [ErrUnavailable]; its text is one line that says what is missing and what to do
// about it. The process goes on without a lab.
func Enter() error { return enter() }
