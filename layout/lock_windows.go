package layout

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

const fileFlagDeleteOnClose = 0x04000000

// lockPatience is the time for which lock tries again. Windows returns the same
// error for a read-only directory as for a file in use.
const lockPatience = 10 * time.Second

// lock waits for the lock on a layout and takes it, and creates the directory if
// necessary. No other process and no other Store of this process can have it at
// the same time. If ctx ends, the error wraps that of ctx.
func (d *disk) lock(ctx context.Context, dir string) (unlock func(), locked bool, err error) {
	if err := d.mkdirAll(dir); err != nil {
		return nil, false, err
	}
	name := join(dir, tempDir+lockSuffix)
	w := lockWait{disk: d, dir: dir}
	for deadline := time.Now().Add(lockPatience); ; {
		unlock, locked, err := d.lockFile(name, true)
		if err != errLocked {
			return unlock, locked, err
		}
		if time.Now().After(deadline) {
			return nil, false, fmt.Errorf("locking %s: another process has had the lock for %v", dir, lockPatience)
		}
		if err := w.wait(ctx, func() string { return "another process" }); err != nil {
			return nil, false, err
		}
	}
}

// isRemoved reports false: this system does not tell whether an open directory was
// removed, or does not remove it.
func isRemoved(fs.FileInfo) bool { return false }

// hasLocks reports true.
func (d *disk) hasLocks() bool { return true }

// lockFile takes the lock on a file, or returns errLocked if another store
// holds it. The lock is an open handle that excludes others; the operating
// system deletes the file when the handle is closed, and when the process ends.
// Unless create is set, the error wraps fs.ErrNotExist if the file does not
// exist.
func (d *disk) lockFile(name string, create bool) (unlock func(), locked bool, err error) {
	path, err := syscall.UTF16PtrFromString(filepath.Join(d.root.Name(), filepath.FromSlash(name)))
	if err != nil {
		return nil, false, err
	}
	disposition := uint32(syscall.OPEN_EXISTING)
	if create {
		disposition = syscall.OPEN_ALWAYS
	}
	h, err := syscall.CreateFile(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, disposition,
		syscall.FILE_ATTRIBUTE_HIDDEN|fileFlagDeleteOnClose, 0)
	if transient(err) {
		return nil, false, errLocked
	}
	if err != nil {
		return nil, false, fmt.Errorf("locking %s: %w", name, err)
	}
	return func() { syscall.CloseHandle(h) }, true, nil
}

const unblocked = 0
