package control

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ocireg/registry/registrytest"
)

// A tester takes the place of a test in a call that needs one: it collects the
// failures.
type tester struct{ failures []string }

var _ registrytest.TB = (*tester)(nil)

func (*tester) Helper()             {}
func (*tester) Name() string        { return "control" }
func (*tester) Logf(string, ...any) {}
func (*tester) Cleanup(func())      {}
func (t *tester) Failed() bool      { return len(t.failures) > 0 }
func (*tester) TempDir() string     { panic("control: a call needs a directory") }

func (t *tester) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// errFatal is the panic of Fatalf, which must not return.
var errFatal = errors.New("fatal")

func (t *tester) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(errFatal)
}

// try calls f, and returns its failures as an error with the status.
func try(status int, f func(t *tester)) (err error) {
	t := new(tester)
	defer func() {
		if cause := recover(); cause != nil && cause != errFatal {
			panic(cause)
		}
		if t.Failed() {
			text := strings.Join(t.failures, "; ")
			for _, room := range []string{"registrytest: ", "fault: "} {
				text = strings.TrimPrefix(text, room)
			}
			err = fail(status, "%s", text)
		}
	}()
	f(t)
	return nil
}

// check returns the failures of f with 409, if the request asks for that by the
// parameter check.
func (r *call) check(f func(t *tester)) error {
	err := try(http.StatusConflict, f)
	if !r.is("check") {
		return nil
	}
	return err
}
