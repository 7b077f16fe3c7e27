package registrytest

import (
	"bytes"
	"context"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/ocireg/registry"
)

// leakTime is how long a goroutine may take to end after the server has.
const leakTime = time.Second

// labelKey is the name of the label that the goroutines of a server have, also
// in the profiles of a test.
const labelKey = "registrytest"

// A leakCheck looks for goroutines that a service, or what it serves, has
// started and that outlive it. Goroutines of tests that run in parallel do not
// confuse it: a goroutine inherits the labels of the one that starts it.
//
// To look at all goroutines takes about as long as all else that a server does.
// So where nothing but code of this module can have started any, their number
// may do: if there are no more of them than there were, all is well.
type leakCheck struct {
	label  string
	before int
	always bool // look at all goroutines in any case
}

func (c *leakCheck) begin(label string) {
	c.label, c.before = label, runtime.NumGoroutine()
}

// mark runs f so that goroutines that it starts are known to the check.
func (c *leakCheck) mark(f func()) {
	pprof.Do(context.Background(), pprof.Labels(labelKey, c.label), func(context.Context) { f() })
}

// end fails the test if goroutines are left.
func (c *leakCheck) end(t TB) {
	t.Helper()
	if left := c.wait(); len(left) > 0 {
		t.Errorf("registrytest: goroutines that were started while serving %s are still running:\n%s",
			c.label, strings.Join(left, "\n"))
	}
}

// wait returns the goroutines that do not end.
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

// labelled returns the stacks of the goroutines that have the label.
func labelled(label string) (stacks []string) {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 1)
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(stack, "# labels: ") || !strings.Contains(stack, strconv.Quote(label)) {
			continue
		}
		// A client that a handler uses keeps connections for later.
		if strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "net/http.(*http2ClientConn)") {
			continue
		}
		stacks = append(stacks, stack)
	}
	return stacks
}

// describeRequest returns what a registry makes of a request, such as
// "get-manifest team/app:v1".
func describeRequest(hr *http.Request) string {
	r, _ := registry.ParseRequest(hr) // A request for no endpoint has a description, too.
	return r.String()
}
