// Package trial calls functions that need a test, such as those of package
// registrytest, outside of tests.
package trial

import (
	"errors"
	"fmt"
	"strings"
)

// A T takes the place of a test in a call of a function that needs one. It collects
// failures. It has no temporary directory, and calls no cleanup functions.
type T struct{ Failures []string }

// Helper does nothing.
func (*T) Helper() {}

// Name returns "trial".
func (*T) Name() string { return "trial" }

// Logf does nothing.
func (*T) Logf(string, ...any) {}

// Cleanup does nothing. The caller of [Run] undoes the effect of the function.
func (*T) Cleanup(func()) {}

// Failed returns false, so that several calls of a function each report their failures.
func (*T) Failed() bool { return false }

// TempDir panics, because a T has no temporary directory.
func (*T) TempDir() string { panic("trial: a call that is not in a test has no directory") }

// Errorf collects a failure, without the name of the package at its beginning.
func (t *T) Errorf(format string, args ...any) {
	text := strings.TrimPrefix(fmt.Sprintf(format, args...), "registrytest: ")
	t.Failures = append(t.Failures, strings.TrimPrefix(text, "fault: "))
}

// Fatalf collects a failure and ends the function that [Run] called.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(t)
}

// Run calls f and returns the collected failures as one error.
func Run(f func(t *T)) (err error) {
	t := new(T)
	defer func() {
		if cause := recover(); cause != nil && cause != t {
			panic(cause)
		}
		if len(t.Failures) > 0 {
			err = errors.New(strings.Join(t.Failures, "; "))
		}
	}()
	f(t)
	return nil
}
