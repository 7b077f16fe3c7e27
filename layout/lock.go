package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
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
	id := strconv.FormatUint(rand.Uint64(), 36)
	w := lockWait{disk: d, dir: dir}
	var seen string // the identifier of the lock that another process has
	var since time.Time
	for removed := 0; ; {
		err := d.createLock(name, id)
		switch {
		case err == nil:
			return func() { d.removeLock(name, id) }, nil
		case errors.Is(err, fs.ErrNotExist) && removed < maxRemoved:
			removed++
			if err := d.mkdirAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			continue
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
		other, err := d.readLock(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil:
			continue // The lock has just been removed.
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("waiting for the lock on %s: %w", dir, err)
		case since.IsZero() || other != seen:
			seen, since = other, time.Now()
		case time.Since(since) > lockExpiry:
			if err := d.removeLock(name, seen); err != nil {
				return nil, fmt.Errorf("removing the abandoned lock on %s: %w", dir, err)
			}
			since = time.Time{}
			continue
		}
		if err := w.wait(ctx, func() string { return "another process" }); err != nil {
			return nil, err
		}
	}
}

// createLock creates a lock file. Its content identifies the lock: a later one
// may have the same inode and time.
func (d *disk) createLock(name, id string) error {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(id)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		d.root.Remove(name)
	}
	return err
}

// readLock returns the identifier of a lock. It is "" for a moment after the lock
// was created.
func (d *disk) readLock(name string) (id string, err error) {
	text, _, err := d.readFile(name)
	return string(text), err
}

// removeLock removes the lock with the identifier. It leaves the lock of another
// process that has taken the place of it.
func (d *disk) removeLock(name, id string) error {
	now, err := d.readLock(name)
	if err == nil && now == id {
		// Another process may have replaced the lock by now. No process replaces
		// a file with a unique name, so the identifier is compared again there.
		aside := name + "-" + strconv.FormatUint(rand.Uint64(), 36)
		if err = d.root.Rename(name, aside); err == nil {
			if now, err = d.readLock(aside); err == nil && now != id {
				err = d.createLock(name, now)
			}
			d.root.Remove(aside)
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// maxRemoved is the number of times that lock creates a directory that other
// stores remove.
const maxRemoved = 100
