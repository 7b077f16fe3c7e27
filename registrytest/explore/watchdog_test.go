package explore

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// A blocker blocks clients on a mutex. The clock of a bubble cannot end such a wait.
type blocker struct {
	mu      sync.Mutex
	blocked chan struct{} // closed when a client is about to block
	ticks   chan time.Time
}

// newBlocker returns a blocker whose watchdog ticks only after a client has blocked,
// so that a slow machine causes no alarm.
func newBlocker(t *testing.T) *blocker {
	b := &blocker{blocked: make(chan struct{}), ticks: make(chan time.Time)}
	b.mu.Lock()
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		select {
		case <-b.blocked:
		case <-done:
		}
		for {
			select {
			case b.ticks <- time.Time{}:
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		group.Wait()
	})
	return b
}

func (b *blocker) clock() (<-chan time.Time, func()) { return b.ticks, func() {} }

// get blocks if the first response is a 503.
func (b *blocker) get(t *T, reg *registrytest.Server) error {
	err := getAs(client{bug: "does not retry 503"}, t, reg)
	var status *httpError
	if errors.As(err, &status) && status.status == 503 {
		b.block()
	}
	return err
}

func (b *blocker) block() {
	close(b.blocked)
	b.mu.Lock()
	defer b.mu.Unlock()
}

// release lets the client go on, and waits for the end of the bubbles.
func (b *blocker) release(w *watchdog) {
	b.mu.Unlock()
	w.bubbles.Wait()
}

// EveryFault gives up on a run that makes no progress in real time. The error has the
// rule and the place where the client waits, and the matrix has the runs before it.
func TestNoProgress(t *testing.T) {
	t.Parallel()
	b := newBlocker(t)
	x := &explorer{t: t, setup: getting, run: b.get}
	Try("get-manifest once status=404", "get-manifest once status=503", "get-manifest once status=500").set(&x.config)
	x.watchdog.ticks = b.clock
	m, err := x.explore()
	b.release(&x.watchdog)
	require.ErrorContains(t, err, `the run "get-manifest once status=503" makes no progress in real time`)
	require.ErrorContains(t, err, "explore.(*blocker).block")
	require.ErrorContains(t, err, "sync.(*Mutex).Lock")
	require.NotContains(t, err.Error(), "(durable)", "the error must omit the stacks of durably blocked goroutines")
	require.Len(t, m.Cells, 1)
	require.Equal(t, Failed, m.Cells[0].Outcome)
	require.Equal(t, 2, m.Skipped)

	b = newBlocker(t)
	x = &explorer{t: t, setup: getting, run: func(*T, *registrytest.Server) error { b.block(); return nil }}
	x.watchdog.ticks = b.clock
	m, err = x.explore()
	b.release(&x.watchdog)
	require.Nil(t, m)
	require.ErrorContains(t, err, `the run "undisturbed" makes no progress in real time`)
}

// Hostile gives up on a run without progress. The error names the trap.
func TestNoProgressAtTrap(t *testing.T) {
	t.Parallel()
	b := newBlocker(t)
	h := &hostile{explorer: explorer{t: t, setup: getting, run: func(*T, *registrytest.Server) error { b.block(); return nil }}}
	h.watchdog.ticks = b.clock
	require.Nil(t, h.attempt("huge manifest", func(*hostileWorld) {}))
	b.release(&h.watchdog)
	require.ErrorContains(t, h.watchdog.givenUp(), `the run "huge manifest" makes no progress in real time`)
	require.Nil(t, h.attempt("huge header", func(*hostileWorld) {}), "Hostile must make no other run")
}

// A run that makes progress is not given up, however often the watchdog looks.
func TestProgress(t *testing.T) {
	t.Parallel()
	ticks := make(chan time.Time)
	w := watchdog{ticks: func() (<-chan time.Time, func()) { return ticks, func() {} }}
	leaked, ended := w.bubble(t, "busy", func(beat func()) {
		for range 5 * looks {
			beat()
			ticks <- time.Time{} // not a channel of the bubble
		}
	})
	require.Empty(t, leaked)
	require.True(t, ended)
	require.NoError(t, w.givenUp())
}
