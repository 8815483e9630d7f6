// Package labtest runs whole processes in the hosts of a natlab lab, for tests. The program of such
// a process is the test binary itself, in a role:
//
//	func TestMain(m *testing.M) {
//		labtest.Main(m, map[string]labtest.Role{"ping": ping})
//	}
//
//	func ping(c *labtest.Child) error {
//		var target string
//		if err := c.Config(&target); err != nil {
//			return err
//		}
//		...
//		return c.Emit(result)
//	}
//
//	func TestPing(t *testing.T) {
//		lab := labtest.New(t, natlab.Config{}) // skips the test where no lab can be had
//		...
//		p := labtest.Start(t, host, "ping", "46.0.1.1:80")
//		p.Next(t, &result)
//	}
//
// Parent and child talk in JSON, a value a line: events on the child's standard output, the
// configuration and whatever else the parent sends on its standard input. What the child writes to
// its standard error is in the test's log.
package labtest
