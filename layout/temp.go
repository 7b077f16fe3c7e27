package layout

import (
	"errors"
	"fmt"
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

// tempDir is the directory for files that are being written. They are renamed
// to their final places. It is in the directory that was opened, a layout or a
// tree. Other tools ignore it, since its name begins with a dot.
const tempDir = ".ocireg"

// lockSuffix is the suffix of lock files, whose names begin with the identifier
// of a store.
const lockSuffix = ".lock"

// tempExpiry is the age at which a temporary file is considered abandoned if
// locks cannot tell.
const tempExpiry = 24 * time.Hour

// temps manages the temporary files of one store. Their names begin with the
// identifier of the store and a hyphen. The store holds a lock on a file with
// that identifier while it is open, which shows other processes that the files
// are in use. The operating system releases the lock when the process ends. If
// the file system has no locks, the time of the file shows the last use.
type temps struct {
	disk *disk

	// mu is held for writing by begin and close, and for reading while a file
	// is created, so that close misses none.
	mu     sync.RWMutex
	id     string // "" until a file is needed
	unlock func()
	locked bool
	closed bool
}

// create creates a temporary file. The caller renames or removes it.
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
		// The directory does not exist yet, or was removed together with the
		// lock file.
		if err := t.begin(id); err != nil {
			return nil, "", err
		}
		missing = id
	}
}

// use sets the time of the lock file to now, unless the file is locked. It writes
// to the file, because some network file systems do not let times be set.
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

// begin replaces the identifier old of the store with a new one, and locks its
// file.
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
			return fmt.Errorf("%s is not a directory", tempDir)
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
	t.disk.root.Remove(tempDir) // The directory stays if another store has files in it.
}

// remove removes the temporary files for an identifier, except the lock file.
func (t *temps) remove(id string) {
	entries, _ := fs.ReadDir(t.disk.FS, tempDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id+"-") {
			t.disk.root.Remove(tempDir + "/" + e.Name())
		}
	}
}

// removeStale removes the files that killed processes have left.
func (t *temps) removeStale(now time.Time) {
	if info, err := t.disk.stat(tempDir); err != nil || !info.IsDir() {
		return
	}
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
			// The lock file exists as long as the other files do.
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

// tempID returns the identifier in the name of a temporary file or lock file.
func tempID(name string) (id string, isLock bool) {
	id, isLock = strings.CutSuffix(name, lockSuffix)
	if !isLock {
		id, _, _ = strings.Cut(name, "-")
	}
	return id, isLock
}

// lastUse returns, for each identifier, the time of its file that changed last.
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

// write creates a temporary file with the given content.
func (t *temps) write(content []byte) (string, error) {
	f, name, err := t.create()
	if err != nil {
		return "", err
	}
	if _, err = f.Write(content); err == nil && t.disk.sync {
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
// the past, so that any later change results in another time. It returns the
// file info, and whether the file system supports such times.
func (t *temps) settle(temp string) (fs.FileInfo, bool, error) {
	info, err := t.disk.statTemp(temp)
	if err != nil {
		return nil, false, err
	}
	// The random part gives another time to the next file with the same size,
	// which may even get the same inode.
	at := mark(info.ModTime().Add(-clockStep - rand.N(100*time.Millisecond)))
	if err := t.disk.root.Chtimes(temp, time.Time{}, at); err != nil {
		return info, false, nil // Some network file systems do not let times be set.
	}
	if info, err = t.disk.statTemp(temp); err != nil {
		return nil, false, err
	}
	return info, info.ModTime().Equal(at), nil
}

// rename moves a temporary file to its final name, and replaces the file there.
// It creates the directory if necessary.
func (t *temps) rename(temp, name string) error {
	err := retry(func() error { return t.disk.root.Rename(temp, name) })
	if errors.Is(err, fs.ErrNotExist) {
		dir := path.Dir(name)
		made := t.disk.firstMissing(dir)
		if err := t.disk.mkdirAll(dir); err != nil {
			return err
		}
		err = retry(func() error { return t.disk.root.Rename(temp, name) })
		for ; err == nil && t.disk.sync && made != "" && dir != path.Dir(made); dir = path.Dir(dir) {
			err = t.syncDir(path.Dir(dir))
		}
	}
	if err != nil {
		return err
	}
	return t.syncDir(path.Dir(name))
}

// sync writes a file through to the disk, if the store syncs.
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

// syncDir writes the names in a directory through to the disk, if the store
// syncs and the system can do that.
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
