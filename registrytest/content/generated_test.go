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
	"github.com/ocireg/registry/registrytest/conformance"
)

func TestGeneratedIsAStore(t *testing.T) {
	t.Parallel()
	conformance.Store(t, func(*testing.T) registry.Store { return Generated(memstore.New()) })
}

const large = maxHeld + 1

// listed collects a listing.
func listed(t *testing.T, seq func(func(string, error) bool)) (all []string) {
	t.Helper()
	for name, err := range seq {
		require.NoError(t, err)
		all = append(all, name)
	}
	return all
}

func TestGeneratedBlobsAreBlobs(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	below := memstore.New()
	s := Generated(below)
	require.Same(t, s, Generated(s))
	b := Random("a/b", large, 1)
	require.NoError(t, PutBlob(ctx, s, "app", b))
	require.NoError(t, PutBlob(ctx, s, "app", Random("a/b", maxHeld, 1)))
	_, err := below.StatBlob(ctx, "app", b.Digest)
	require.ErrorIs(t, err, fs.ErrNotExist, "nothing of it was written")
	_, err = below.StatBlob(ctx, "app", Random("a/b", maxHeld, 1).Digest)
	require.NoError(t, err, "what is small was written")

	size, err := s.StatBlob(ctx, "app", b.Digest)
	require.NoError(t, err)
	require.Equal(t, int64(large), size)
	r, err := s.OpenBlob(ctx, "app", b.Digest)
	require.NoError(t, err)
	d, err := digest.FromReader(r)
	require.NoError(t, err)
	require.Equal(t, b.Digest, d)

	// It belongs to the repositories that it was put into.
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
	require.Equal(t, b.Digest, d, "readers that are open go on")
	require.NoError(t, r.Close())

	// One that a client has pushed as well is gone from both.
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
	below := memstore.New()
	s := Generated(below)
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
	require.Empty(t, listed(t, s.Tags(ctx, "a", "")), "it is there, without tags")
	require.NoError(t, s.DeleteBlob(ctx, "a", b.Digest))
	require.Empty(t, listed(t, s.Tags(ctx, "a", "")), "it stays")
	for _, err := range s.Tags(ctx, "x", "") {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// Not parallel: it measures what the whole process allocates.
func TestLargeImagesTakeNoMemory(t *testing.T) {
	const size = 8 << 20
	s := Generated(memstore.New())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	app := State{s}.Push(t, "app:v1", Image(LayerSizes(size), Uncompressed(LayerSizes(size))))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	got, err := s.OpenBlob(t.Context(), "app", app.Layers[0].Digest)
	require.NoError(t, err)
	end, err := got.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.Equal(t, int64(size), end)

	// Without that, they are written out.
	s = memstore.New()
	State{s}.Push(t, "app:v1", Image(LayerSizes(large)))
}
