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

// lockPatience is the time for which lock tries again after an error that may
// mean that the file is in use. Windows returns the same error for a read-only
// directory.
const lockPatience = 10 * time.Second

// lock takes the lock on a layout, and creates the directory if necessary. It
// waits while another process or another Store of this process holds the lock.
// If ctx ends, the error wraps ctx.Err().
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

// isRemoved always returns false: on this system the store cannot tell whether
// an open directory was removed.
func isRemoved(fs.FileInfo) bool { return false }

// hasLocks returns true: the lock is an open handle, which every file system of
// Windows has.
func (d *disk) hasLocks() bool { return true }

// lockFile opens a file, or creates it if create is set, and locks it. If
// another store holds the lock, it returns errLocked. The lock is an open handle
// that excludes others. The operating system deletes the file when the handle is
// closed and when the process ends. If the file does not exist and create is not
// set, the error wraps fs.ErrNotExist.
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
