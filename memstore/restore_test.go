package memstore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

func TestRestore(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	shared := push(t, s, "kept", []byte("shared"))
	require.Equal(t, shared, push(t, s, "team/app", []byte("shared")))
	old := push(t, s, "team/app", []byte("old"))
	require.NoError(t, s.PutManifest(ctx, "team/app", newManifest(0), []string{"v1"}, nil))
	before := s.Clone()

	has := func(repo string, d digest.Digest) bool {
		_, err := s.StatBlob(ctx, repo, d)
		return err == nil
	}
	tag := func(repo string) digest.Digest {
		m, err := s.StatManifest(ctx, repo, "v1")
		if err != nil {
			return ""
		}
		return m.Digest
	}
	change := func() (fresh digest.Digest) {
		require.NoError(t, s.DeleteBlob(ctx, "team/app", old))
		require.NoError(t, s.PutManifest(ctx, "team/app", newManifest(1), []string{"v1"}, nil))
		push(t, s, "team/new", []byte("new"))
		return push(t, s, "kept", []byte("fresh"))
	}
	fresh := change()
	inFlight := create(t, s, "team/app", -1)
	_, err := inFlight.Write([]byte("late"))
	require.NoError(t, err)

	s.Restore(before, func(repo string) bool { return strings.HasPrefix(repo, "team/") })
	require.True(t, has("team/app", old))
	require.Equal(t, newManifest(0).Digest, tag("team/app"))
	require.False(t, has("team/new", digest.FromString("new")))
	require.True(t, has("kept", fresh), "Restore must keep a repository that does not match")
	require.NoError(t, inFlight.Commit(ctx, digest.FromString("late")))
	require.True(t, has("team/app", digest.FromString("late")), "an upload must continue after Restore")

	change()
	s.Restore(before, nil)
	require.Equal(t, newManifest(0).Digest, tag("team/app"))
	require.False(t, has("kept", fresh))
	require.True(t, has("kept", shared))
	require.False(t, has("team/app", digest.FromString("late")))

	// Changes of the restored store do not reach the store that it was restored
	// from.
	require.NoError(t, s.DeleteBlob(ctx, "team/app", shared))
	require.True(t, has("kept", shared), "the other repository still has the blob")
	require.NoError(t, s.DeleteBlob(ctx, "kept", shared))
	require.ErrorContains(t, s.MountBlob(ctx, "other", shared, ""), "any repository")
	_, err = before.StatBlob(ctx, "team/app", shared)
	require.NoError(t, err)

	s.Restore(New(), nil)
	for repo := range s.Repositories(ctx, "") {
		t.Errorf("Restore kept repository %s", repo)
	}
	push(t, s, "again", []byte("x"))
	New().Restore(before, nil)
}

// Readers see all content of the restored repositories at every moment, while
// other goroutines write and restore.
func TestRestoreWhileOthersReadAndWrite(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := New()
	blob := push(t, s, "app", []byte("x"))
	require.NoError(t, s.PutManifest(ctx, "app", newManifest(0), []string{"v1"}, nil))
	full := s.Clone()
	var running sync.WaitGroup
	errs := make(chan error, 1000)
	for i := range 8 {
		running.Go(func() {
			for n := range 50 {
				if _, err := s.StatBlob(ctx, "app", blob); err != nil {
					errs <- err
				}
				if _, err := s.GetManifest(ctx, "app", "v1"); err != nil {
					errs <- err
				}
				repo := fmt.Sprint("other/", i)
				w, err := s.CreateBlob(ctx, repo, 1)
				if err == nil {
					_, err = fmt.Fprint(w, n)
				}
				if err = errors.Join(err, w.Commit(ctx, digest.FromString(fmt.Sprint(n)))); err != nil {
					errs <- err
				}
			}
		})
	}
	for range 50 {
		s.Restore(full, nil)
		s.Restore(full, func(repo string) bool { return repo == "app" })
	}
	running.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}
