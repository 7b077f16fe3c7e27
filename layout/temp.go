package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tempDir is the directory of the files that are being written and are to be
// renamed to where they belong. It is in the directory that was opened, be that
// a layout or a tree. Its name begins with a dot, as the temporary files of
// other tools do, so that they leave it alone.
const tempDir = ".ocireg"

// lockSuffix follows the identifier of a store in the name of its lock file.
const lockSuffix = ".lock"

// tempExpiry is the age at which a temporary file counts as left by a killed
// process where locks cannot tell.
const tempExpiry = 24 * time.Hour

// temps are the temporary files of one store. Their names begin with the
// store's identifier and a hyphen. While the store is open, it holds a lock on
// a file that is named after the identifier, so that other processes know that
// the files are in use. The operating system releases the lock when the process
// ends, however it ends.
type temps struct {
	disk *disk

	// mu is held for writing to begin and to close, and for reading while a
	// file is created, so that close misses none.
	mu     sync.RWMutex
	id     string // "" until a file is needed
	unlock func()
	closed bool
}

// create creates a file that is to be renamed or removed.
func (t *temps) create() (*os.File, string, error) {
	for missing := ""; ; {
		t.mu.RLock()
		id, closed := t.id, t.closed
		var f *os.File
		name, err := "", error(nil)
		if id != missing && !closed {
			name = tempDir + "/" + id + "-" + strconv.FormatUint(rand.Uint64(), 36)
			f, err = t.disk.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		}
		t.mu.RUnlock()
		switch {
		case closed:
			return nil, "", fmt.Errorf("creating a temporary file: %w", fs.ErrClosed)
		case id != missing && !errors.Is(err, fs.ErrNotExist):
			return f, name, err
		}
		// The directory is yet to be made, or was removed with all that is in
		// it, the lock file included.
		if err := t.begin(id); err != nil {
			return nil, "", err
		}
		missing = id
	}
}

// begin gives the store another identifier than the old one, and locks it.
func (t *temps) begin(old string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.id != old {
		return nil
	}
	for {
		if err := t.disk.root.Mkdir(tempDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := t.disk.root.Lstat(tempDir); err == nil && !info.IsDir() {
			return fmt.Errorf("%s is no directory", tempDir)
		}
		id := strconv.FormatUint(rand.Uint64(), 36)
		unlock, _, err := t.disk.lockFile(tempDir+"/"+id+lockSuffix, true)
		if errors.Is(err, fs.ErrNotExist) || err == errLocked {
			continue // Another store has just removed the directory or the file.
		}
		if err != nil {
			return err
		}
		if t.unlock != nil {
			t.unlock()
		}
		t.id, t.unlock = id, unlock
		return nil
	}
}

// close removes the temporary files of the store.
func (t *temps) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.id != "" {
		t.remove(t.id)
		t.unlock()
		t.disk.root.Remove(tempDir + "/" + t.id + lockSuffix)
	}
	t.disk.root.Remove(tempDir) // It stays if another store has files there.
}

// remove removes the files of the identifier, all but the lock file.
func (t *temps) remove(id string) {
	entries, _ := fs.ReadDir(t.disk.FS, tempDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id+"-") {
			t.disk.root.Remove(tempDir + "/" + e.Name())
		}
	}
}

// removeStale removes the files that stores of killed processes have left.
func (t *temps) removeStale(now time.Time) {
	if info, err := t.disk.stat(tempDir); err != nil || !info.IsDir() {
		return
	}
	entries, _ := fs.ReadDir(t.disk.FS, tempDir)
	for _, e := range entries {
		id, isLock := strings.CutSuffix(e.Name(), lockSuffix)
		if !isLock {
			id, _, _ = strings.Cut(e.Name(), "-")
		}
		lock := tempDir + "/" + id + lockSuffix
		unlock, locked, err := t.disk.lockFile(lock, false)
		noLock := errors.Is(err, fs.ErrNotExist)
		switch {
		case err == nil && locked:
			t.remove(id)
			unlock()
			t.disk.root.Remove(lock)
		case noLock && !isLock && id != e.Name():
			// A store has its lock file for as long as it has others.
			t.disk.root.Remove(tempDir + "/" + e.Name())
		case err == nil, noLock:
			info, err := e.Info()
			if err == nil && now.Sub(info.ModTime()) > tempExpiry {
				t.disk.root.Remove(tempDir + "/" + e.Name())
			}
		}
	}
}

// write creates a temporary file with the content.
func (t *temps) write(content []byte) (string, error) {
	f, name, err := t.create()
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.disk.root.Remove(name)
		return "", err
	}
	return name, nil
}

// settle sets the time of a temporary file that is complete to one that the
// clock of the file system has passed: a later change to the file gives it
// another time. It returns what the file is then, and whether the file system
// can tell such times apart.
func (t *temps) settle(temp string) (fs.FileInfo, bool, error) {
	root := t.disk.root
	info, err := root.Stat(temp)
	if err != nil {
		return nil, false, err
	}
	// The random part makes it a time that the next file with the same size,
	// in what may be the same place on the disk, does not have.
	at := info.ModTime().Add(-clockStep - rand.N(time.Millisecond)).Truncate(100 * time.Nanosecond)
	if err := root.Chtimes(temp, time.Time{}, at); err != nil {
		return nil, false, err
	}
	if info, err = root.Stat(temp); err != nil {
		return nil, false, err
	}
	return info, info.ModTime().Equal(at), nil
}

// rename moves a temporary file to where it belongs, over what is there. It
// makes the directory if there is none.
func (t *temps) rename(temp, name string) error {
	err := retry(func() error { return t.disk.root.Rename(temp, name) })
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.disk.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return retry(func() error { return t.disk.root.Rename(temp, name) })
}
