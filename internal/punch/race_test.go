//go:build race

package punch

const raceEnabled = true
