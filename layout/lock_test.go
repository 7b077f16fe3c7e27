package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// TestWaitingForALockEnds ends the contexts of writes while they wait for the
// lock that another store holds. These writes fail without an effect. A write
// with more time succeeds.
func TestWaitingForALockEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		s := reopened(t, dir, Warnings(func(err error) { told = append(told, err.Error()) }))
		put(t, s, 0, "v0")
		other := reopened(t, dir)
		unlock, locked, err := other.disk.lock(t.Context(), "app")
		require.NoError(t, err)
		if !locked {
			t.Skip("the file system has no locks")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		errs := make([]error, 3)
		var wg sync.WaitGroup
		for i := range errs {
			if i == 2 {
				ctx = t.Context()
			}
			wg.Go(func() { errs[i] = s.PutManifest(ctx, "app", numbered(1), []string{fmt.Sprint("waiting-", i)}, nil) })
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		unlock()
		wg.Wait()
		require.ErrorIs(t, errs[0], context.DeadlineExceeded)
		require.ErrorIs(t, errs[1], context.DeadlineExceeded)
		require.ErrorContains(t, errs[0], "waiting for the lock on app, which ")
		require.NoError(t, errs[2])
		require.Equal(t, []string{"v0", "waiting-2"}, tagsIn(t, s, "app"))
		require.NotEmpty(t, told)
		require.Contains(t, told[0], "waiting for the lock on app, which ")
		if _, err := os.Stat("/proc/locks"); err == nil {
			require.Contains(t, told[0], "another store of this process")
		}
	})
}

// TestNoLocks writes tags to one layout with two stores at once, on a file
// system without locks. The layout keeps all tags.
func TestNoLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// In the synctest bubble, time stands still while a store is busy, so its lock
	// file does not expire.
	synctest.Test(t, func(t *testing.T) {
		a := reopened(t, dir)
		var warnings []string
		warn := Warnings(func(err error) { warnings = append(warnings, err.Error()) })
		a.disk.lockError = syscall.ENOLCK
		a.disk.warn = newWarner(func(err error) { warnings = append(warnings, err.Error()) })
		put(t, a, 0)
		if len(warnings) == 0 {
			t.Skip("the store does not lock files with flock on this system")
		}
		require.Equal(t, []string{"the file system has no locks: a process that is killed while it writes to a layout may delay others by 10s"}, warnings)
		b := reopened(t, dir, warn)
		require.Len(t, warnings, 1, "a store with locks must not warn")
		b.disk.lockError = syscall.ENOLCK

		const tags = 60
		var wg sync.WaitGroup
		for name, s := range map[string]*Store{"a": a, "b": b} {
			wg.Go(func() {
				for i := range tags {
					if err := s.PutManifest(t.Context(), "app", numbered(i%7), []string{fmt.Sprint(name, i)}, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Len(t, tagsIn(t, reopened(t, dir), "app"), 2*tags)
		lock := filepath.Join(dir, "app", tempDir+lockSuffix)
		require.NoFileExists(t, lock)

		// A failed write also removes its lock file.
		refused := errors.New("refused")
		require.ErrorIs(t, a.PutManifest(t.Context(), "new/app", numbered(0), nil, func(string, digest.Digest) error { return refused }), refused)
		require.NoDirExists(t, filepath.Join(dir, "new"))
	})
}

// TestAbandonedLockFile leaves the lock file of a killed process in a layout. A
// write waits until the file expires, and removes it.
func TestAbandonedLockFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := reopened(t, dir)
		s.disk.lockError = syscall.ENOLCK
		put(t, s, 0, "v0")
		lock := filepath.Join(dir, "app", tempDir+lockSuffix)
		require.NoError(t, os.WriteFile(lock, nil, 0o644))
		ctx, cancel := context.WithTimeout(t.Context(), lockExpiry/2)
		defer cancel()
		err := s.PutManifest(ctx, "app", numbered(1), []string{"v1"}, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.FileExists(t, lock)
		put(t, s, 2, "v2")
		require.NoFileExists(t, lock)
		require.Equal(t, []string{"v0", "v2"}, tagsIn(t, s, "app"))
	})
}
