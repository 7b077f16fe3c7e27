package layout

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"
)

// What Windows answers while somebody else has a file open in a way that
// excludes others.
const (
	errorAccessDenied     = syscall.Errno(5)
	errorSharingViolation = syscall.Errno(32)
	errorLockViolation    = syscall.Errno(33)
)

const fileFlagDeleteOnClose = 0x04000000

// lockPatience is how long lock waits. An answer for good, such as that the
// directory is read-only, cannot be told from one that will pass.
const lockPatience = 10 * time.Second

// lock waits until no other process, nor another Store of this one, has the
// lock on a layout, and takes it.
func (d *disk) lock(dir string) (unlock func(), locked bool, err error) {
	if err := d.root.MkdirAll(dir, 0o755); err != nil {
		return nil, false, err
	}
	name := join(dir, tempDir+lockSuffix)
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(time.Millisecond) {
		unlock, locked, err := d.lockFile(name, true)
		if err != errLocked {
			return unlock, locked, err
		}
		if time.Now().After(deadline) {
			return nil, false, fmt.Errorf("locking %s: another process has had the lock for %v", dir, lockPatience)
		}
	}
}

// lockFile takes the lock on a file, or returns errLocked if another store has
// it. The lock is that the file is open and cannot be opened again; the
// operating system removes the file when it is closed, also if the process
// ends. If the file is not there, the error wraps fs.ErrNotExist, unless it is
// to be created.
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

// transient reports whether an error may be gone in a moment: somebody else
// has the file open or is just removing it.
func transient(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) &&
		(errno == errorAccessDenied || errno == errorSharingViolation || errno == errorLockViolation)
}
