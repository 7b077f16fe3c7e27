package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// warnUnlocked warns once that there are only lock files.
func (d *disk) warnUnlocked() {
	if d.warn != nil {
		d.warn("", fmt.Errorf("the file system has no locks: a process that is killed while it writes to a layout may delay others by %v", lockExpiry))
	}
}

// lockExpiry is the age at which a lock file is considered abandoned. Its owner
// needs it for milliseconds.
const lockExpiry = 10 * time.Second

// lockByFile is lock where the file system has no locks: the lock is a file that
// only one process can create.
func (d *disk) lockByFile(ctx context.Context, dir string) (unlock func(), err error) {
	name := join(dir, tempDir+lockSuffix)
	w := lockWait{disk: d, dir: dir}
	var seen fs.FileInfo
	var since time.Time
	for removed := 0; ; {
		f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		switch {
		case err == nil:
			f.Close()
			return func() { d.root.Remove(name) }, nil
		case errors.Is(err, fs.ErrNotExist) && removed < maxRemoved:
			removed++
			if err := d.mkdirAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			continue
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
		info, err := d.root.Lstat(name)
		if err != nil {
			continue // It has just been removed.
		}
		if !sameFile(seen, info) {
			seen, since = info, time.Now()
		} else if time.Since(since) > lockExpiry {
			d.root.Remove(name)
			continue
		}
		if err := w.wait(ctx, func() string { return "another process" }); err != nil {
			return nil, err
		}
	}
}

// maxRemoved is the number of times that lock creates a directory that other
// stores remove.
const maxRemoved = 100
