//go:build !unix

package explore

import "time"

// cpuTime returns 0: this system does not say how much CPU time the process took.
func cpuTime() time.Duration { return 0 }
