//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package layout

import (
	"context"
	"os"
)

// lock only creates the directory. On these systems, two processes that write
// to one layout may lose each other's tags.
func (d *disk) lock(_ context.Context, dir string) (unlock func(), locked bool, err error) {
	return func() {}, false, d.mkdirAll(dir)
}

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
