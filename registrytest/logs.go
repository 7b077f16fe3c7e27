package registrytest

import (
	"slices"
	"strings"
	"sync"
)

// maxLog is how many lines a [logBuffer] keeps.
const maxLog = 100

// A logBuffer keeps the last lines that were logged, until somebody wants to
// see them.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
	live  func(line string) // if not nil, lines go here
}

// Write is given one line or more.
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
		b.lines = slices.Delete(append(b.lines, line), 0, 1)
	}
	return len(p), nil
}

// close returns what was kept, and has the rest go nowhere.
func (b *logBuffer) close() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines, b.live = nil, func(string) {}
	return lines
}
