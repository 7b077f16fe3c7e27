package registrytest

import "time"

// A waiter has a channel that the service closes when the waiter's condition is met.
type waiter struct {
	met  func() bool
	done chan struct{}
}

// when returns a channel that is closed as soon as met returns true. The caller
// holds the lock, and the service holds it whenever it calls met.
func (s *service) when(met func() bool) <-chan struct{} {
	done := make(chan struct{})
	s.waiters = append(s.waiters, waiter{met, done})
	s.wake()
	return done
}

// wake checks the conditions of the waiters. The caller holds the lock.
func (s *service) wake() {
	if s.waiters == nil {
		return
	}
	var left []waiter
	for _, w := range s.waiters {
		if w.met() {
			close(w.done)
		} else {
			left = append(left, w)
		}
	}
	s.waiters = left
}

// closedWithin waits until the channel is closed, for at most d, and reports whether
// it was closed.
func closedWithin(done <-chan struct{}, d time.Duration) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case <-done:
		return true
	case <-timeout.C:
		return false
	}
}
