package registrytest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// leakTime limits how long a goroutine may take to end after the server was closed.
const leakTime = time.Second

// labelKey is the key of the pprof label that the goroutines of a server have.
// Profiles of a test show the label, too.
const labelKey = "registrytest"

// A leakCheck finds goroutines that a service or its handler started and that
// outlive the service. It finds them by a pprof label, which a goroutine inherits
// from the goroutine that starts it, and so ignores those of parallel tests.
//
// Listing all goroutines takes about as long as everything else that a server does.
// If no option and no handler of the user can have started goroutines, the check first
// counts all goroutines: if their number has not grown, nothing leaked.
type leakCheck struct {
	label  string
	before int
	always bool // list all goroutines even if their number has not grown
}

func (c *leakCheck) begin(label string) {
	c.label, c.before = label, runtime.NumGoroutine()
}

// mark calls f, so that the goroutines that f starts have the label.
func (c *leakCheck) mark(f func()) {
	pprof.Do(context.Background(), pprof.Labels(labelKey, c.label), func(context.Context) { f() })
}

// end returns an error with the stacks of the goroutines that do not end in time.
func (c *leakCheck) end() error {
	left := c.wait()
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("goroutines that were started while serving %s are still running:\n%s", c.label, strings.Join(left, "\n"))
}

// wait waits until the goroutines with the label have ended, for about leakTime,
// and returns the stacks of those that have not.
func (c *leakCheck) wait() (left []string) {
	for range 100 {
		if runtime.NumGoroutine() <= c.before {
			break
		}
		runtime.Gosched()
	}
	if !c.always && runtime.NumGoroutine() <= c.before {
		return nil
	}
	for pause := time.Millisecond; pause < leakTime; pause *= 2 {
		if left = labelled(c.label); len(left) == 0 {
			return nil
		}
		time.Sleep(pause)
	}
	return left
}

// labelled returns the stacks of the goroutines with the label.
func labelled(label string) (stacks []string) {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 1)
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(stack, "# labels: ") || !strings.Contains(stack, strconv.Quote(label)) {
			continue
		}
		// These goroutines belong to idle connections of a client in the handler.
		if strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "net/http.(*http2ClientConn)") {
			continue
		}
		stacks = append(stacks, stack)
	}
	return stacks
}
