//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lock takes the lock on a layout, and creates the directory if necessary. It
// waits while another process or another Store of this process holds the lock.
// The operating system releases the lock when the process ends. The lock is on
// the directory itself (flock), so it leaves no file. If the file system has no
// such locks, lock uses a lock file and locked is false. If ctx ends, the error
// wraps ctx.Err().
func (d *disk) lock(ctx context.Context, dir string) (unlock func(), locked bool, err error) {
	w := lockWait{disk: d, dir: dir}
	for removed := 0; ; {
		f, err := d.root.OpenFile(dir, os.O_RDONLY|unblocked, 0)
		if errors.Is(err, fs.ErrNotExist) && removed < maxRemoved {
			// Another store may remove the directory again after a failed write.
			removed++
			if err = d.mkdirAll(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			return nil, false, err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, false, err
		}
		unlock, locked, err := d.flock(f, dir, syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil && !locked:
			unlock()
			unlock, err = d.lockByFile(ctx, dir)
			return unlock, false, err
		case err == errLocked:
			if err := w.wait(ctx, func() string { return holder(info) }); err != nil {
				return nil, false, err
			}
		case !errors.Is(err, fs.ErrNotExist):
			return unlock, locked, err
		}
	}
}

// holder describes the process that holds the lock on the file info. Linux lists
// locks in /proc/locks.
func holder(info fs.FileInfo) string {
	const unknown = "another process"
	stat, ok := info.Sys().(*syscall.Stat_t)
	text, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return unknown
	}
	for line := range strings.Lines(string(text)) {
		// A line has the form: 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || !strings.HasSuffix(fields[5], fmt.Sprintf(":%d", stat.Ino)) {
			continue
		}
		if fields[4] == strconv.Itoa(os.Getpid()) {
			return "another store of this process"
		}
		return "process " + fields[4]
	}
	return unknown
}

// isRemoved reports whether the open directory that info describes has been
// removed.
func isRemoved(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}

// hasLocks reports whether the file system can lock the directory that was
// opened.
func (d *disk) hasLocks() bool {
	f, err := d.root.Open(".")
	if err != nil {
		return true
	}
	unlock, locked, err := d.flock(f, ".", syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		unlock()
	}
	return err != nil || locked
}

// lockFile opens a file, or creates it if create is set, and locks it. If
// another store holds the lock, it returns errLocked. If the file does not exist
// and create is not set, the error wraps fs.ErrNotExist.
func (d *disk) lockFile(name string, create bool) (unlock func(), locked bool, err error) {
	flag := os.O_RDWR
	if create {
		flag |= os.O_CREATE
	}
	f, err := d.root.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, false, err
	}
	return d.flock(f, name, syscall.LOCK_EX|syscall.LOCK_NB)
}

// flock locks an open file with flock(2). If another file now has the name, the
// error wraps fs.ErrNotExist.
func (d *disk) flock(f *os.File, name string, how int) (unlock func(), locked bool, err error) {
	for {
		if err = d.lockError; err == nil {
			err = syscall.Flock(int(f.Fd()), how)
		}
		if err != syscall.EINTR {
			break
		}
	}
	locked = err == nil
	switch {
	case err == syscall.EWOULDBLOCK:
		err = errLocked
	case errors.Is(err, errors.ErrUnsupported), err == syscall.EBADF, err == syscall.EINVAL, err == syscall.ENOLCK:
		err = nil
	case err != nil:
		err = fmt.Errorf("locking %s: %w", name, err)
	}
	if err == nil {
		err = d.isFile(f, name)
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return func() { f.Close() }, locked, nil
}

// isFile returns an error unless f is the file that has the name now.
func (d *disk) isFile(f *os.File, name string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := d.root.Stat(name)
	if err == nil && !os.SameFile(info, now) {
		err = fs.ErrNotExist
	}
	return err
}

// unblocked holds the flags with which the store opens files, so that opening a
// named pipe does not wait for a writer. The store then refuses the pipe because
// of its type.
//
// Checking the type before opening the file would make ServeHTTP twice as slow
// (blob-get-1k 69 instead of 35 us, manifest-get-digest 90 instead of 41 us on
// tmpfs, fastest of 8 runs), and requests over HTTP a sixth slower. O_NONBLOCK
// also saves 4 system calls for each open file, by which package os would set and
// clear the flag.
const unblocked = syscall.O_NONBLOCK | syscall.O_NOCTTY | largeFile

func transient(error) bool { return false }
