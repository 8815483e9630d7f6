package result

import "fmt"

// About is how and with what a comparison was made.
type About struct {
	Command  string `json:"command"`
	Seed     uint64 `json:"seed"`
	Delays   string `json:"delays"` // in words
	Versions string `json:"versions"`
	Machine  string `json:"machine"`
	Date     string `json:"date"`
}

// A Fact is a line of it, for people.
type Fact struct{ Name, Text string }

// Facts returns all lines.
func (a About) Facts() []Fact {
	return []Fact{
		{"command", a.Command},
		{"seed", fmt.Sprint(a.Seed)},
		{"delays", a.Delays},
		{"versions", a.Versions},
		{"machine", a.Machine},
		{"date", a.Date},
	}
}
