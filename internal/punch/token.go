package punch

// A Token identifies the attempt that a TCP connection belongs to. Each side gives the other one
// in the signalling, which is encrypted end to end, so that only the peer can present it.
type Token [16]byte

// NewToken returns a random token.
func NewToken() Token { panic("contract") }

// PreambleLen is the length of a preamble in bytes: "simopen ", 22 characters and a newline.
const PreambleLen = 8 + 22 + 1

// AppendPreamble appends the line with which a connection to the owner of the token opens.
func (t Token) AppendPreamble(b []byte) []byte { panic("contract") }

// ParsePreamble returns the token of a line of PreambleLen bytes. The error matches [ErrPreamble].
func ParsePreamble(b []byte) (Token, error) { panic("contract") }
