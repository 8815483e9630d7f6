package tunnel

import "io"

// stdio is an End of two files, such as standard input and output.
type stdio struct {
	*io.PipeReader
	out io.WriteCloser
}

// NewStdio makes an End of two files, for the rest of the process's life: a read from a file cannot
// always be ended.
func NewStdio(in io.Reader, out io.WriteCloser) End {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err) // a read then returns err, or io.EOF
	}()
	return stdio{r, out}
}

func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s stdio) CloseWrite() error           { return s.out.Close() }
func (s stdio) Reset() error                { return s.Close() }

// Close ends both directions.
func (s stdio) Close() error {
	_ = s.PipeReader.Close()
	_ = s.out.Close() // CloseWrite may have done so
	return nil
}
