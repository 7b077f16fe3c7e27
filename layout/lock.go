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

// errLocked means that another store holds a lock.
var errLocked = errors.New("locked by another process")

// A lockWait waits between attempts to lock a directory.
type lockWait struct {
	disk  *disk
	dir   string
	since time.Time // zero until the first attempt has failed
	delay time.Duration
	told  bool
}

// The delay between attempts to take a lock begins with shortestDelay and
// doubles up to longestDelay. The store warns after it has waited for warnAfter.
const (
	shortestDelay = 50 * time.Microsecond
	longestDelay  = 10 * time.Millisecond
	warnAfter     = time.Second
)

// wait waits before the next attempt to take the lock. If ctx ends, the error
// wraps ctx.Err(). The function holder describes the process that holds the
// lock, for messages.
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

// warnUnlocked warns once that the file system has no locks. Stores then use lock
// files.
func (d *disk) warnUnlocked() {
	if d.warn != nil {
		d.warn("", fmt.Errorf("the file system has no locks: a process that is killed while it writes to a layout may delay others by %v", lockExpiry))
	}
}

// lockExpiry is the time after which a store that waits for a lock file counts
// the file as abandoned, if its content has not changed. A store that is alive
// removes its lock file within milliseconds.
const lockExpiry = 10 * time.Second

// lockByFile locks a directory on a file system without locks. The lock is a
// file in the directory that only one process can create.
func (d *disk) lockByFile(ctx context.Context, dir string) (unlock func(), err error) {
	name := join(dir, tempDir+lockSuffix)
	id := strconv.FormatUint(rand.Uint64(), 36)
	w := lockWait{disk: d, dir: dir}
	var seen string // the identifier in the lock file of the other process
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
			continue // The lock file has just been removed.
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

// createLock creates a lock file with the identifier id as its content. The
// identifier distinguishes locks, because a later lock file may have the same
// inode and time.
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

// readLock returns the identifier in a lock file. It returns "" if the process
// that created the file has not yet written it.
func (d *disk) readLock(name string) (id string, err error) {
	id, _, err = d.readFile(name)
	return id, err
}

// removeLock removes the lock file if it has the identifier id. It keeps the
// lock file of another process.
func (d *disk) removeLock(name, id string) error {
	now, err := d.readLock(name)
	if err == nil && now == id {
		// Another process may have replaced the lock file by now. Rename it to a
		// unique name, which no other process uses, and compare the identifier again
		// there.
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

// maxRemoved is the number of times that lock creates the directory again after
// other stores have removed it.
const maxRemoved = 100
