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

// leakTime is how long a goroutine may take to end after the server was closed.
const leakTime = time.Second

// labelKey is the name of the label of a server's goroutines, which the
// profiles of a test show, too.
const labelKey = "registrytest"

// A leakCheck looks for goroutines that a service or its handler started and
// that outlive it. A goroutine inherits the labels of the one that starts it,
// so goroutines of parallel tests do not confuse the check.
//
// Looking at all goroutines takes about as long as everything else that a
// server does. If only code of this module can have started goroutines, the
// check first compares their number: if it has not grown, nothing leaked.
type leakCheck struct {
	label  string
	before int
	always bool // look at all goroutines in any case
}

func (c *leakCheck) begin(label string) {
	c.label, c.before = label, runtime.NumGoroutine()
}

// mark runs f. The check knows the goroutines that f starts.
func (c *leakCheck) mark(f func()) {
	pprof.Do(context.Background(), pprof.Labels(labelKey, c.label), func(context.Context) { f() })
}

// end returns an error if goroutines are left.
func (c *leakCheck) end() error {
	left := c.wait()
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("goroutines that were started while serving %s are still running:\n%s", c.label, strings.Join(left, "\n"))
}

// wait returns the stacks of the goroutines that do not end.
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
		// A handler's own client keeps connections for later.
		if strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "net/http.(*http2ClientConn)") {
			continue
		}
		stacks = append(stacks, stack)
	}
	return stacks
}
