//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package layout

import (
	"context"
	"io/fs"
	"os"
)

// lock takes the lock on a layout by a lock file. It creates the directory if
// necessary.
func (d *disk) lock(ctx context.Context, dir string) (unlock func(), locked bool, err error) {
	unlock, err = d.lockByFile(ctx, dir)
	return unlock, false, err
}

// isRemoved always returns false: on this system the store cannot tell whether
// an open directory was removed.
func isRemoved(fs.FileInfo) bool { return false }

// hasLocks returns false: the store uses lock files on this system.
func (d *disk) hasLocks() bool { return false }

// lockFile opens the file, or creates it if create is set, and does not lock it.
func (d *disk) lockFile(name string, create bool) (unlock func(), locked bool, err error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := d.root.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, false, err
	}
	return func() { f.Close() }, false, nil
}

const unblocked = 0

func transient(error) bool { return false }
