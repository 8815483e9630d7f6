package stun

// For the tests in package stun_test.
var (
	NewConn        = newConn
	DefaultTimeout = defaultTimeout
)

const MaxMessage = maxMessage
