//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package layout

import (
	"context"
	"io/fs"
	"os"
)

// lock takes a lock file, and creates the directory if necessary.
func (d *disk) lock(ctx context.Context, dir string) (unlock func(), locked bool, err error) {
	unlock, err = d.lockByFile(ctx, dir)
	return unlock, false, err
}

// isRemoved reports false: this system does not tell whether an open directory was
// removed, or does not remove it.
func isRemoved(fs.FileInfo) bool { return false }

// hasLocks reports false.
func (d *disk) hasLocks() bool { return false }

// lockFile opens or creates the file without locking it.
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
