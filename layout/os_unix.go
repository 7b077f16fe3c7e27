//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lock waits until no other process, nor another Store of this one, has the
// lock on a layout, and takes it. The operating system releases it if the
// process ends. The lock is that of the directory itself (flock), so that it
// leaves no file. Where the file system has no locks, nothing is locked.
func (d *disk) lock(dir string) (unlock func(), err error) {
	for {
		f, err := d.root.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if err := d.root.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		for {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			if err != syscall.EINTR {
				break
			}
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && err != syscall.EBADF && err != syscall.EINVAL && err != syscall.ENOLCK {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		// While this process waited, the directory may have been removed and
		// made again.
		locked, err := f.Stat()
		if err == nil {
			if now, err := d.root.Stat(dir); err == nil && os.SameFile(locked, now) {
				return func() { f.Close() }, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// unblocked is a flag to read files with. What is no regular file, such as a
// named pipe, does not have its opener wait for somebody who writes to it. Nor
// has package os to find out that a regular file cannot be polled, by setting
// and removing the flag.
const unblocked = syscall.O_NONBLOCK | syscall.O_NOCTTY

// leased reports whether a file was not opened with that flag as somebody has a
// lease on it, who gives it up to those who wait (fcntl(2)).
func leased(err error) bool { return errors.Is(err, syscall.EAGAIN) }

func transient(error) bool { return false }
