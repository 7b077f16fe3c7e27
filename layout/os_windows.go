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
// lock on a layout, and takes it. The lock is a file that is open and cannot
// be opened again; the operating system removes it when it is closed, also if
// the process ends.
func (d *disk) lock(dir string) (unlock func(), err error) {
	if err := d.root.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	name, err := syscall.UTF16PtrFromString(filepath.Join(d.root.Name(), filepath.FromSlash(dir), tempDir+".lock"))
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(time.Millisecond) {
		h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS,
			syscall.FILE_ATTRIBUTE_HIDDEN|fileFlagDeleteOnClose, 0)
		if err == nil {
			return func() { syscall.CloseHandle(h) }, nil
		}
		if !transient(err) || time.Now().After(deadline) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
	}
}

const unblocked = 0

// transient reports whether an error may be gone in a moment: somebody else
// has the file open or is just removing it.
func transient(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) &&
		(errno == errorAccessDenied || errno == errorSharingViolation || errno == errorLockViolation)
}
