// Package crash recognises programs that crashed, from the way in which they ended
// and from their output.
package crash

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Of describes the crash of a program that has ended, or returns "" if it did not
// crash. A program crashes if a signal ends it (on Unix), if the exit code of a shell
// names one of the signals in fatal, or if the program fails and its output has the
// trace of a Go panic. If stopped is true, the caller may have ended the program, so
// the signals that callers send are no crash.
func Of(state *os.ProcessState, output string, stopped bool) string {
	if state == nil || state.Success() {
		return ""
	}
	if name, ok := strings.CutPrefix(state.String(), "signal: "); ok {
		name, _, _ = strings.Cut(name, " (") // as in "aborted (core dumped)"
		if stopped && slices.Contains([]string{"killed", "terminated", "interrupt", "hangup"}, name) {
			return ""
		}
		return "it was ended by a signal: " + name
	}
	if goroutine.MatchString(output) {
		if line := cause.FindString(output); line != "" {
			return "it printed a panic: " + strings.TrimSpace(line)
		}
	}
	if number := state.ExitCode() - 128; slices.Contains(fatal, number) {
		return fmt.Sprintf("it was ended by signal %d (exit code %d)", number, state.ExitCode())
	}
	return ""
}

// fatal are the numbers, on Linux, of signals that end a program because of a bug:
// SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE and SIGSEGV.
var fatal = []int{4, 5, 6, 7, 8, 11}

// These match lines in the output of a Go program that panicked: the cause, and the
// beginning of a goroutine's stack trace.
var (
	cause     = regexp.MustCompile(`(?m)\b(panic|fatal error): .*$`)
	goroutine = regexp.MustCompile(`(?m)^goroutine \d+ .*\[.+\]:`)
)
