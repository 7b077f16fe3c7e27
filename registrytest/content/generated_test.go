package content

import (
	"bytes"
	"io"
	"io/fs"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

const large = maxHeld + 1

// listed returns the names that seq yields.
func listed(t *testing.T, seq func(func(string, error) bool)) (all []string) {
	t.Helper()
	for name, err := range seq {
		require.NoError(t, err)
		all = append(all, name)
	}
	return all
}

// keeping is a writeLog whose store can keep the source of a blob instead of its
// bytes, as a memstore.Store does.
type keeping struct{ *writeLog }

func (k keeping) PutBlob(repo string, d digest.Digest, size int64, source io.ReaderAt) {
	k.Store.(*memstore.Store).PutBlob(repo, d, size, source)
}

// foreign is a store that cannot keep the source of a blob.
type foreign struct{ registry.Store }

func TestGeneratedBlobsAreBlobs(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := &writeLog{Store: memstore.New()}
	b := Random("a/b", large, 1)
	require.NoError(t, PutBlob(ctx, keeping{s}, "app", b))
	require.Empty(t, s.lines, "PutBlob writes no byte of a generated blob")
	small := Random("a/b", maxHeld, 1)
	require.NoError(t, PutBlob(ctx, keeping{s}, "app", small))
	require.Equal(t, []string{"blob app " + string(small.Digest)}, s.lines)

	size, err := s.StatBlob(ctx, "app", b.Digest)
	require.NoError(t, err)
	require.Equal(t, int64(large), size)
	r, err := s.OpenBlob(ctx, "app", b.Digest)
	require.NoError(t, err)
	d, err := digest.FromReader(r)
	require.NoError(t, err)
	require.Equal(t, b.Digest, d)

	// Other repositories do not have the blob.
	_, err = s.OpenBlob(ctx, "other", b.Digest)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, s.MountBlob(ctx, "x", b.Digest, "other"), fs.ErrNotExist)
	require.NoError(t, s.MountBlob(ctx, "other", b.Digest, "app"))
	require.NoError(t, s.MountBlob(ctx, "third", b.Digest, ""))
	require.NoError(t, s.DeleteBlob(ctx, "app", b.Digest))
	require.ErrorIs(t, s.DeleteBlob(ctx, "app", b.Digest), fs.ErrNotExist)
	_, err = s.StatBlob(ctx, "app", b.Digest)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = s.StatBlob(ctx, "other", b.Digest)
	require.NoError(t, err)
	_, err = r.Seek(-9, io.SeekEnd)
	require.NoError(t, err)
	var end bytes.Buffer
	n, err := io.Copy(&end, r)
	require.NoError(t, err)
	require.Equal(t, int64(9), n)
	require.Equal(t, contentOf(t, b)[large-9:], end.Bytes())
	_, err = r.Seek(0, io.SeekStart)
	require.NoError(t, err)
	d, err = digest.FromReader(r)
	require.NoError(t, err)
	require.Equal(t, b.Digest, d, "an open reader goes on after the blob was deleted")
	require.NoError(t, r.Close())

	// A client may push the same bytes to another repository, and delete them there.
	w, err := s.CreateBlob(ctx, "other", large)
	require.NoError(t, err)
	_, err = io.Copy(w, b.Open())
	require.NoError(t, err)
	require.NoError(t, w.Commit(ctx, b.Digest))
	require.NoError(t, w.Close())
	require.NoError(t, s.DeleteBlob(ctx, "other", b.Digest))
	_, err = s.StatBlob(ctx, "other", b.Digest)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestRepositoriesOfGeneratedBlobsAreListed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := memstore.New()
	require.Empty(t, listed(t, s.Repositories(ctx, "")))
	for _, repo := range []string{"b", "d", "f"} {
		require.NoError(t, Put(ctx, s, repo+":v1", Image()))
	}
	b := Random("a/b", large, 1)
	for _, repo := range []string{"a", "b", "c", "f", "g", "h"} {
		require.NoError(t, PutBlob(ctx, s, repo, b))
	}
	all := []string{"a", "b", "c", "d", "f", "g", "h"}
	require.Equal(t, all, listed(t, s.Repositories(ctx, "")))
	for i, repo := range all {
		require.Equal(t, all[i+1:], append([]string{}, listed(t, s.Repositories(ctx, repo))...))
		var first []string
		for repo := range s.Repositories(ctx, "") {
			if first = append(first, repo); len(first) == i+1 {
				break
			}
		}
		require.Equal(t, all[:i+1], first)
	}
	require.Equal(t, []string{"v1"}, listed(t, s.Tags(ctx, "b", "")))
	require.Empty(t, listed(t, s.Tags(ctx, "a", "")), "the repository exists, without tags")
	require.NoError(t, s.DeleteBlob(ctx, "a", b.Digest))
	require.Empty(t, listed(t, s.Tags(ctx, "a", "")), "the repository stays")
	for _, err := range s.Tags(ctx, "x", "") {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// This test is not parallel, because it measures the allocations of the process.
func TestLargeImagesTakeNoMemory(t *testing.T) {
	const size = 8 << 20
	s := memstore.New()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	app := State{s}.Push(t, "app:v1", Image(LayerSizes(size), LayerSizes(size).Uncompressed()))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	got, err := s.OpenBlob(t.Context(), "app", app.Layers[0].Digest)
	require.NoError(t, err)
	end, err := got.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.Equal(t, int64(size), end)

	// A clone of the store shares the layers, and keeps a layer that is deleted from
	// the store.
	runtime.ReadMemStats(&before)
	clone := s.Clone()
	require.NoError(t, s.DeleteBlob(t.Context(), "app", app.Layers[0].Digest))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	State{clone}.CheckRepository(t, "app", map[string]Content{"v1": app})
	require.Equal(t, contentOf(t, app.Layers[0]), State{clone}.GetBlob(t, "app", app.Layers[0].Digest))
}

func TestStoresThatKeepNoSourceGetTheBytes(t *testing.T) {
	t.Parallel()
	s := &writeLog{Store: memstore.New()}
	b := Random("a/b", large, 1)
	require.NoError(t, PutBlob(t.Context(), s, "app", b))
	require.Equal(t, []string{"blob app " + string(b.Digest)}, s.lines)
	require.Equal(t, contentOf(t, b), State{s}.GetBlob(t, "app", b.Digest))
}
