//go:build !unix

package explore

import "time"

// cpuTime returns 0, because these systems lack getrusage.
func cpuTime() time.Duration { return 0 }
