package console

import (
	"fmt"
	"time"
)

// Millis formats a duration in milliseconds, the unit of round trips.
func Millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// Size formats a number of bytes in the largest unit that leaves a whole number before the point.
func Size(bytes int64) string { return size(float64(bytes)) }

// Rate formats a number of bytes per second.
func Rate(bytes int64, d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return size(float64(bytes)/d.Seconds()) + "/s"
}

func size(bytes float64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	u := 0
	for bytes >= 1024 && u < len(units)-1 {
		bytes /= 1024
		u++
	}
	if u == 0 {
		return fmt.Sprintf("%.0f B", bytes)
	}
	return fmt.Sprintf("%.1f %s", bytes, units[u])
}
