package registrytest

import "time"

// A waiter waits for its condition. Then its channel is closed.
type waiter struct {
	met  func() bool
	done chan struct{}
}

// when returns a channel that is closed as soon as the condition is met. The
// caller holds the lock, and so does every call of met.
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

// closedWithin reports whether the channel is closed in time.
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
