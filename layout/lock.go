package layout

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errLocked reports that another store holds a lock.
var errLocked = errors.New("locked by another process")

// A lockWait waits between attempts to take a lock on a directory.
type lockWait struct {
	disk  *disk
	dir   string
	since time.Time // zero before the first attempt has failed
	delay time.Duration
	told  bool
}

// The delays between attempts to take a lock begin with the shortest and double
// up to the longest. A warning follows after warnAfter.
const (
	shortestDelay = 50 * time.Microsecond
	longestDelay  = 10 * time.Millisecond
	warnAfter     = time.Second
)

// wait waits before the next attempt. The holder describes the process that has
// the lock. If ctx ends, the error wraps that of ctx.
func (w *lockWait) wait(ctx context.Context, holder func() string) error {
	if w.since.IsZero() {
		w.since, w.delay = time.Now(), shortestDelay
	}
	if !w.told && w.disk.tell != nil && time.Since(w.since) >= warnAfter {
		w.told = true
		w.disk.tell(fmt.Errorf("waiting for the lock on %s, which %s holds", w.dir, holder()))
	}
	timer := time.NewTimer(w.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		w.delay = min(2*w.delay, longestDelay)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the lock on %s, which %s holds: %w", w.dir, holder(), ctx.Err())
	}
}

// warnUnlocked warns once that there are no locks.
func (d *disk) warnUnlocked() {
	if d.warn != nil {
		d.warn("", errors.New("the file system has no locks: processes that write to one layout at the same time may lose each other's tags"))
	}
}
