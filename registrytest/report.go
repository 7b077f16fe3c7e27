package registrytest

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
)

// A TB is the part of a test that this package needs. Every [testing.TB] is
// one, and so are the values of most other test frameworks. Fatalf must not
// return.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}

// needTest panics if t is nil. A method calls it before t.Helper.
func needTest(t TB, call string) {
	hint.NilTest("registrytest", call, t)
}

// report reports a failure to the server's test, at the line that called the
// server.
func (s *Server) report(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("registrytest: %v", err)
	}
}

// check ends the test t if the server was closed before its test ended.
func (s *Server) check(t TB, method string) {
	t.Helper()
	if note := s.service.closedNote(); note != "" {
		t.Fatalf("registrytest: Server.%s: %s", method, note)
	}
}

// closedNote returns a sentence for a server that the user closed before the
// end of its test, or "".
func (s *service) closedNote() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closedAt == "" {
		return ""
	}
	return fmt.Sprintf("%s was closed at %s; if parallel subtests use it, leave out that Close: they run after the deferred calls of their parent, and the server is closed after them anyway",
		s.address, s.closedAt)
}

// refusedNote returns a sentence for a client that was refused because the user
// closed or stopped the server, or "".
func (s *service) refusedNote() string {
	if note := s.closedNote(); note != "" {
		return note
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stoppedAt == "" {
		return ""
	}
	return fmt.Sprintf("%s was stopped at %s; if parallel subtests use it, call Stop in t.Cleanup: they run after the deferred calls of their parent",
		s.address, s.stoppedAt)
}

// userCode returns the file and line of the user's code that called this package. The
// parameter skip is the number of functions of this package between the user's code and
// the caller of userCode. If package testing or the runtime made the call, userCode
// returns "".
func userCode(skip int) string {
	pc, file, line, ok := runtime.Caller(skip + 2)
	if !ok {
		return ""
	}
	name := runtime.FuncForPC(pc).Name()
	if strings.HasPrefix(name, "testing.") || strings.HasPrefix(name, "runtime.") {
		return ""
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// A noTest takes the place of the test of a server that [StartServer] made. It
// collects failures.
type noTest struct {
	mu       sync.Mutex
	failures []error
	dirs     []string
}

func (*noTest) Helper()             {}
func (*noTest) Name() string        { return "registrytest" }
func (*noTest) Logf(string, ...any) {}
func (*noTest) Cleanup(func())      {}

func (t *noTest) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, fmt.Errorf(format, args...))
}

// Fatalf panics, as the server has no test to end.
func (*noTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Err returns the failures so far of a server that [StartServer] made, and nil for any
// other server. [Server.Close] returns these failures as well.
func (s *Server) Err() error {
	t, ok := s.t.(*noTest)
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.failures...)
}

func (t *noTest) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// TempDir returns a new directory, which is removed when the server is closed.
func (t *noTest) TempDir() string {
	dir, err := os.MkdirTemp("", "registrytest")
	if err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirs = append(t.dirs, dir)
	return dir
}

// end removes the directories and returns the failures.
func (t *noTest) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, dir := range t.dirs {
		if err := os.RemoveAll(dir); err != nil {
			t.failures = append(t.failures, fmt.Errorf("registrytest: %w", err))
		}
	}
	t.dirs = nil
	return errors.Join(t.failures...)
}

// explain logs facts about the server if the test has failed: a note if the user closed
// it early, and the last requests and the server's log, unless WithLogs logs them.
func (s *Server) explain() {
	s.t.Helper()
	lines := s.service.log.close()
	if !s.t.Failed() {
		return
	}
	if note := s.service.closedNote(); note != "" {
		s.t.Logf("registrytest: note that %s", note)
	}
	if s.logging {
		return
	}
	if requests := s.journal.Requests(); requests.Len() > 0 {
		s.t.Logf("registrytest: the requests to %s:\n%v", s.Host(), requests)
	}
	if len(lines) > 0 {
		s.t.Logf("registrytest: the log of %s:\n%s", s.Host(), strings.Join(lines, "\n"))
	}
}

// maxLog is the number of lines that a [logBuffer] keeps.
const maxLog = 100

// A logBuffer keeps the last lines of a log.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
	live  func(line string) // if not nil, gets each line, and the buffer keeps none
}

// Write adds p, the text of one log record, as a line.
func (b *logBuffer) Write(p []byte) (int, error) {
	line := strings.TrimSuffix(string(p), "\n")
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.live != nil:
		b.live(line)
	case len(b.lines) < maxLog:
		b.lines = append(b.lines, line)
	default:
		b.lines = append(b.lines[1:], line)
	}
	return len(p), nil
}

// close returns the lines of the buffer, and makes it drop all later ones.
func (b *logBuffer) close() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines, b.live = nil, func(string) {}
	return lines
}

// logToTest sends the log of a server to its test. It returns the option that makes
// the handler log every request.
func logToTest(s *Server) registry.Option {
	s.service.log.live = func(line string) { s.t.Logf("%s: %s", s.Host(), line) }
	return registry.WithLogger(slog.New(slog.NewTextHandler(&s.service.log, &slog.HandlerOptions{ReplaceAttr: withoutTime})))
}

// withoutTime removes the time from a log record. In the log of a test, the order of
// the lines is enough.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
