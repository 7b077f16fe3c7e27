package explore

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is the real time after which a run in a bubble is given up if it makes
// no progress: no request arrives, and the clock of the bubble stands still. It is
// long, because a slow machine must cause no false alarm.
const patience = time.Minute

// looks is the number of times that a watchdog looks for progress before it gives a
// run up. While a machine is suspended, it looks once at most.
const looks = 10

// A watchdog watches runs in bubbles from outside, in real time. The clock of a
// bubble stands still while a goroutine waits for a mutex or computes, so no limit
// inside of the bubble ends such a run.
type watchdog struct {
	ticks func() (c <-chan time.Time, stop func()) // nil means ticks in real time

	mu      sync.Mutex
	stuck   error          // describes the run that was given up, or nil
	bubbles sync.WaitGroup // counts the bubbles, also those given up
}

// bubble calls f in a bubble, as inBubble does, and returns a description of the
// goroutines that f leaves behind. The function f calls beat for each sign of
// progress. If f makes none for too long, bubble returns false, and the goroutines of
// f go on, since nothing can end them. Later calls of bubble return false
// without calling f.
func (w *watchdog) bubble(t *testing.T, name string, f func(beat func())) (leaked string, ended bool) {
	if w.givenUp() != nil {
		return "", false
	}
	ticks, stop := w.start()
	defer stop()
	var beats atomic.Int64
	var bubble atomic.Value
	type result struct {
		leaked string
		exited bool // by runtime.Goexit, as after a failure of the bubble's test
	}
	done := make(chan result, 1)
	w.bubbles.Add(1)
	go func() {
		defer w.bubbles.Done()
		r := result{exited: true}
		defer func() { done <- r }()
		r.leaked = inBubble(t, func() {
			bubble.Store(bubbleName.FindString(stacks(false)))
			f(func() { beats.Add(1) })
		})
		r.exited = false
	}()
	seen, idle := int64(0), 0
	for {
		select {
		case r := <-done:
			if r.exited {
				runtime.Goexit()
			}
			return r.leaked, true
		case <-ticks:
			if n := beats.Load(); n != seen {
				seen, idle = n, 0
			} else if idle++; idle >= looks {
				in, _ := bubble.Load().(string)
				w.giveUp(name, in)
				return "", false
			}
		}
	}
}

// start starts the clock of the watchdog.
func (w *watchdog) start() (c <-chan time.Time, stop func()) {
	if w.ticks != nil {
		return w.ticks()
	}
	t := time.NewTicker(patience / looks)
	return t.C, t.Stop
}

// givenUp returns an error about the run that was given up, or nil.
func (w *watchdog) givenUp() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stuck
}

// giveUp notes that a run makes no progress. The error has the stacks of the
// goroutines in its bubble that keep the clock from moving.
func (w *watchdog) giveUp(name, bubble string) {
	stacks := stacksIn(bubble)
	busy := slices.DeleteFunc(slices.Clone(stacks), func(stack string) bool {
		head, _, _ := strings.Cut(stack, "\n")
		return strings.Contains(head, "(durable)")
	})
	if len(busy) > 0 {
		stacks = busy
	}
	text := strings.Join(stacks, "\n\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stuck == nil {
		w.stuck = fmt.Errorf("the run %q makes no progress in real time: the client waits for a mutex or for something outside of "+
			"the bubble, or computes without end. The goroutines of the run go on, since nothing can end them, and the other runs are left out. "+
			"To repeat the run alone, use Try or OnlyTraps. The goroutines that keep the clock of the bubble from moving are:\n\n%s", name, text)
	}
}
