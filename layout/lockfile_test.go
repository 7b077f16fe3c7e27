package layout

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// unlockable returns two stores of one tree, and the path of the lock file of
// repository app. The stores behave as on a file system without locks.
func unlockable(t *testing.T, dir string) (a, b *Store, lock string) {
	a, b = reopened(t, dir), reopened(t, dir)
	a.disk.lockError, b.disk.lockError = syscall.ENOLCK, syscall.ENOLCK
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "app"), 0o755))
	return a, b, filepath.Join(dir, "app", tempDir+lockSuffix)
}

func namesIn(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Lock files are distinct if their content differs, even with the same name,
// size and time. A store that waits does not break a lock that was just taken.
func TestLockFilesThatLookTheSame(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, _, lock := unlockable(t, dir)
		at := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*lockExpiry)
		defer cancel()
		hold := func(owner int) {
			require.NoError(t, os.WriteFile(lock, fmt.Append(nil, "owner", owner), 0o644))
			require.NoError(t, os.Chtimes(lock, at, at))
		}
		hold(0)
		written := make(chan error)
		go func() { written <- s.PutManifest(ctx, "app", numbered(0), []string{"v"}, nil) }()
		for i := range 6 {
			time.Sleep(lockExpiry - time.Second)
			hold(i + 1)
		}
		require.ErrorIs(t, <-written, context.DeadlineExceeded)
		require.FileExists(t, lock)
	})
}

// If a store is so slow that another store breaks its lock, it leaves the lock
// file of the other store in place when it unlocks.
func TestLockFileOfSlowOwner(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a, b, lock := unlockable(t, dir)
		unlockA, err := a.disk.lockByFile(t.Context(), "app")
		require.NoError(t, err)
		unlockB, err := b.disk.lockByFile(t.Context(), "app")
		require.NoError(t, err)
		unlockA()
		require.FileExists(t, lock)
		unlockB()
		require.Empty(t, namesIn(t, filepath.Join(dir, "app")))
	})
}

// If two stores break an abandoned lock at once, the second finds the new lock
// of the first and keeps it.
func TestLockFileIsBrokenOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _, lock := unlockable(t, dir)
	require.NoError(t, os.WriteFile(lock, []byte("abandoned"), 0o644))
	s.disk.root = failing{files: s.disk.root, rename: func(oldname, _ string) error {
		return os.WriteFile(filepath.Join(dir, filepath.FromSlash(oldname)), []byte("new"), 0o644)
	}}
	require.NoError(t, s.disk.removeLock("app/"+tempDir+lockSuffix, "abandoned"))
	text, err := os.ReadFile(lock)
	require.NoError(t, err)
	require.Equal(t, "new", string(text))
	require.Equal(t, []string{filepath.Base(lock)}, namesIn(t, filepath.Join(dir, "app")))
}

// A store stops waiting for a lock file if the disk fails, or if ctx ends while
// the file appears and disappears.
func TestUnreadableLockFile(t *testing.T) {
	t.Parallel()
	for _, want := range []error{syscall.EIO, context.Canceled} {
		s, _, lock := unlockable(t, t.TempDir())
		require.NoError(t, os.WriteFile(lock, nil, 0o644))
		works := s.disk.openFile
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		reads := 0
		s.disk.openFile = func(name string, flag int, perm fs.FileMode) (*os.File, error) {
			if filepath.Base(name) != filepath.Base(lock) {
				return works(name, flag, perm)
			}
			if want == syscall.EIO {
				return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EIO}
			}
			if reads++; reads == 3 {
				cancel()
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		_, err := s.disk.lockByFile(ctx, "app")
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "waiting for the lock on app")
	}
}

// A write waits for the lock of another store until its context ends. It keeps
// the directories that the other store is about to write to.
func TestWaitingForALockKeepsDirectories(t *testing.T) {
	t.Parallel()
	for name, lockError := range map[string]error{"locks": nil, "no locks": syscall.ENOLCK} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, other := reopened(t, dir), reopened(t, dir)
			s.disk.lockError, other.disk.lockError = lockError, lockError
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var unlock func()
			// The other store takes the lock after the first store found no
			// directory.
			s.disk.root = opening{s.disk.root, func(name string) {
				if name != "team/app" && name != "team/app/"+tempDir+lockSuffix || unlock != nil {
					return
				}
				var err error
				unlock, _, err = other.disk.lock(t.Context(), "team/app")
				require.NoError(t, err)
				require.NoError(t, other.disk.mkdirAll("team/app/blobs/sha256"))
				cancel()
			}}
			err := s.PutManifest(ctx, "team/app", numbered(0), nil, nil)
			if unlock == nil {
				t.Skip("the store does not lock files with flock on this system")
			}
			require.ErrorIs(t, err, context.Canceled)
			require.DirExists(t, filepath.Join(dir, "team/app/blobs/sha256"))
			unlock()
		})
	}
}

// opening is a file system that calls before with the name of each file that it
// opens.
type opening struct {
	files
	before func(name string)
}

func (o opening) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	o.before(name)
	return o.files.OpenFile(name, flag, perm)
}

// On a file system without locks, the temporary files of a store are removed
// only when none of them was used for a day.
func TestUseOfTemporaryFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, other, _ := unlockable(t, dir)
	temps, now := s.disk.temps, time.Now()
	create := func() string {
		f, name, err := temps.create()
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return filepath.Base(name)
	}
	age := func(names ...string) {
		for _, name := range names {
			old := now.Add(-tempExpiry - time.Hour)
			require.NoError(t, os.Chtimes(filepath.Join(dir, tempDir, name), old, old))
		}
	}
	first := create()
	lock := temps.id + lockSuffix
	if temps.locked {
		t.Skip("the store does not lock files with flock on this system")
	}

	// The first store has an upload and has created no file for a day. Another
	// store keeps the file of the upload.
	age(lock)
	other.disk.temps.removeStale(now)
	require.Equal(t, []string{first, lock}, namesIn(t, filepath.Join(dir, tempDir)))

	// A new temporary file shows that the first store is in use.
	second := create()
	age(first, second)
	other.disk.temps.removeStale(now)
	require.ElementsMatch(t, []string{first, second, lock}, namesIn(t, filepath.Join(dir, tempDir)))

	age(lock)
	other.disk.temps.removeStale(now)
	require.Empty(t, namesIn(t, filepath.Join(dir, tempDir)))
	third := create()
	require.ElementsMatch(t, []string{third, temps.id + lockSuffix}, namesIn(t, filepath.Join(dir, tempDir)))
}
