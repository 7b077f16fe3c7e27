package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tempDir is the directory for files that are being written, which the store
// then renames to their final names. It is in the directory that was opened,
// which may be a layout or a tree. Other tools ignore it, since its name begins
// with a dot.
const tempDir = ".ocireg"

// lockSuffix ends the names of lock files. In tempDir, each name begins with the
// identifier of a store. The lock file of a layout is tempDir+lockSuffix.
const lockSuffix = ".lock"

// tempExpiry is the age at which a temporary file counts as abandoned on a file
// system without locks.
const tempExpiry = 24 * time.Hour

// A temps manages the temporary files of one store. The names of these files
// begin with the identifier of the store and a hyphen. While the store is open,
// it holds a lock on a file with its identifier, which shows other processes
// that the temporary files are in use. The operating system releases the lock
// when the process ends. On a file system without locks, the modification time
// of the lock file shows the last use.
type temps struct {
	disk *disk

	// mu guards the fields below. The method create holds it for reading until the
	// file exists, so that close removes all files.
	mu     sync.RWMutex
	id     string // "" until the store needs a temporary file
	unlock func()
	locked bool
	closed bool

	// seen reports whether the store found or created the temporary directory.
	seen bool
}

// create creates a temporary file and returns it with its name. The caller
// renames or removes the file.
func (t *temps) create() (*os.File, string, error) {
	for missing := ""; ; {
		t.mu.RLock()
		id, closed := t.id, t.closed
		var f *os.File
		name, err := "", error(nil)
		if id != missing && !closed {
			name = tempDir + "/" + id + "-" + strconv.FormatUint(rand.Uint64(), 36)
			if err = t.use(); err == nil {
				f, err = t.disk.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|unblocked, 0o644)
			}
		}
		t.mu.RUnlock()
		switch {
		case closed:
			return nil, "", fmt.Errorf("creating a temporary file: %w", fs.ErrClosed)
		case id != missing && !errors.Is(err, fs.ErrNotExist):
			return f, name, err
		}
		// The store has no identifier yet, or another process has removed the
		// temporary directory together with the lock file.
		if err := t.begin(id); err != nil {
			return nil, "", err
		}
		missing = id
	}
}

// use sets the modification time of the lock file to now, unless the file system
// has locks. It does so by writing to the file, because some network file
// systems do not let programs set times.
func (t *temps) use() error {
	if t.locked {
		return nil
	}
	f, err := t.disk.root.OpenFile(tempDir+"/"+t.id+lockSuffix, os.O_WRONLY|unblocked, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(t.id)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// begin gives the store a new identifier in place of old, and locks the file of
// the new identifier. It does nothing if the store no longer has the identifier
// old.
func (t *temps) begin(old string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.id != old {
		return nil
	}
	t.seen = true
	for {
		if err := t.disk.root.Mkdir(tempDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := t.disk.root.Lstat(tempDir); err == nil && !info.IsDir() {
			return fmt.Errorf("%s, where the store keeps temporary files, is not a directory; remove it", tempDir)
		}
		id := strconv.FormatUint(rand.Uint64(), 36)
		unlock, locked, err := t.disk.lockFile(tempDir+"/"+id+lockSuffix, true)
		if errors.Is(err, fs.ErrNotExist) || err == errLocked {
			continue // Another store has just removed the directory or the file.
		}
		if err != nil {
			return err
		}
		if t.unlock != nil {
			t.unlock()
		}
		t.id, t.unlock, t.locked = id, unlock, locked
		return nil
	}
}

// close removes the temporary files, the lock file and, if it is empty, the
// temporary directory.
func (t *temps) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.id != "" {
		t.remove(t.id)
		t.unlock()
		t.disk.root.Remove(tempDir + "/" + t.id + lockSuffix)
	}
	if t.seen {
		t.disk.root.Remove(tempDir) // Fails, as it should, if another store has files in the directory.
	}
}

// remove removes the temporary files of the store with the identifier, except
// its lock file.
func (t *temps) remove(id string) {
	entries, _ := fs.ReadDir(t.disk.FS, tempDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id+"-") {
			t.disk.root.Remove(tempDir + "/" + e.Name())
		}
	}
}

// removeStale removes the temporary files of stores that are no longer open:
// their lock is free or, without locks, none of their files was used for a day.
func (t *temps) removeStale(now time.Time) {
	if info, err := t.disk.stat(tempDir); err != nil || !info.IsDir() {
		return
	}
	t.seen = true
	entries, _ := fs.ReadDir(t.disk.FS, tempDir)
	used := sync.OnceValue(func() map[string]time.Time { return lastUse(entries) })
	for _, e := range entries {
		id, isLock := tempID(e.Name())
		lock := tempDir + "/" + id + lockSuffix
		unlock, locked, err := t.disk.lockFile(lock, false)
		noLock := errors.Is(err, fs.ErrNotExist)
		switch {
		case err == nil && locked:
			t.remove(id)
			unlock()
			t.disk.root.Remove(lock)
		case noLock && !isLock && id != e.Name():
			// A store removes its temporary files before its lock file, so no store
			// uses this file.
			t.disk.root.Remove(tempDir + "/" + e.Name())
		case err == nil, noLock:
			if err == nil {
				unlock()
			}
			if last := used()[id]; !last.IsZero() && now.Sub(last) > tempExpiry {
				t.disk.root.Remove(tempDir + "/" + e.Name())
			}
		}
	}
}

// tempID returns the identifier of the store in the name of a temporary file or
// lock file.
func tempID(name string) (id string, isLock bool) {
	id, isLock = strings.CutSuffix(name, lockSuffix)
	if !isLock {
		id, _, _ = strings.Cut(name, "-")
	}
	return id, isLock
}

// lastUse returns the latest modification time among the files of each
// identifier.
func lastUse(entries []fs.DirEntry) map[string]time.Time {
	last := map[string]time.Time{}
	for _, e := range entries {
		id, _ := tempID(e.Name())
		if info, err := e.Info(); err == nil && info.ModTime().After(last[id]) {
			last[id] = info.ModTime()
		}
	}
	return last
}

// write creates a temporary file with the given content and returns its name.
func (t *temps) write(content []byte) (string, error) {
	return t.writeBy(func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// writeBy creates a temporary file with the content that the function write
// writes, and returns its name.
func (t *temps) writeBy(write func(io.Writer) error) (string, error) {
	f, name, err := t.create()
	if err != nil {
		return "", err
	}
	if err = write(f); err == nil && t.disk.sync {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.disk.root.Remove(name)
		return "", err
	}
	return name, nil
}

// settle sets the modification time of a complete temporary file to a time in
// the past, so that any later change results in a different time. It returns the
// info of the file, and whether the file system has stored exactly that time.
func (t *temps) settle(temp string) (fs.FileInfo, bool, error) {
	info, err := t.disk.statTemp(temp)
	if err != nil {
		return nil, false, err
	}
	// The random part makes the next file differ in time, even if it has the same
	// size and gets the same inode.
	at := mark(info.ModTime().Add(-clockStep - rand.N(100*time.Millisecond)))
	if err := t.disk.root.Chtimes(temp, time.Time{}, at); err != nil {
		return info, false, nil // Some network file systems do not let programs set times.
	}
	if info, err = t.disk.statTemp(temp); err != nil {
		return nil, false, err
	}
	return info, info.ModTime().Equal(at), nil
}

// rename renames a temporary file to its final name, replacing any file with
// that name. It creates the directory if necessary.
func (t *temps) rename(temp, name string) error {
	err := retry(func() error { return t.disk.root.Rename(temp, name) })
	if errors.Is(err, fs.ErrNotExist) {
		if err := t.disk.mkdirAll(path.Dir(name)); err != nil {
			return err
		}
		err = retry(func() error { return t.disk.root.Rename(temp, name) })
	}
	if err != nil {
		return err
	}
	return t.syncDir(path.Dir(name))
}

// sync writes a file through to the disk, if the store has the option [Sync].
func (t *temps) sync(name string) error {
	if !t.disk.sync {
		return nil
	}
	f, err := t.disk.root.OpenFile(name, os.O_RDWR|unblocked, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// syncDir writes the entries of a directory through to the disk, if the store
// has the option [Sync]. It does nothing on Windows, which cannot do so.
func (t *temps) syncDir(name string) error {
	if !t.disk.sync || runtime.GOOS == "windows" {
		return nil
	}
	f, err := t.disk.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
