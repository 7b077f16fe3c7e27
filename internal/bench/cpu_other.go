//go:build !unix

package bench

import "time"

// cpuTime returns 0: it measures only on Unix.
func cpuTime() time.Duration { return 0 }
