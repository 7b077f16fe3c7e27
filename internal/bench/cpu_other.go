//go:build !unix

package bench

import "time"

// cpuTime returns 0, since the system does not report the time.
func cpuTime() time.Duration { return 0 }
