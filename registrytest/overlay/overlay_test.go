package overlay_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/tempdir"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/overlay"
)

// plain is a store in memory that cannot keep the source of a blob, and so copies the
// bytes of every blob.
type plain struct{ registry.Store }

func newTree(t testing.TB) registry.Store {
	s, err := layout.Open(tempdir.New(t))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func newLayout(t testing.TB) registry.Store {
	dir := tempdir.New(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o600))
	s, err := layout.Open(dir, layout.Repository("app"))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func newMemory(testing.TB) registry.Store { return memstore.New() }

func newPlain(testing.TB) registry.Store { return plain{memstore.New()} }

// stores has the pairs of stores that the tests combine.
var stores = map[string]struct {
	lower, upper func(testing.TB) registry.Store
}{
	"memory above a tree":     {newTree, newMemory},
	"memory above one layout": {newLayout, newMemory},
	"a tree above memory":     {newMemory, newTree},
	"a store that copies":     {newTree, newPlain},
	"one layout above memory": {newMemory, newLayout},
	"memory above an overlay": {func(t testing.TB) registry.Store { return overlay.New(newTree(t), newMemory(t)) }, newMemory},
}

func TestStore(t *testing.T) {
	t.Parallel()
	// conformance.Store takes ten times as long with an upper layout as with memory,
	// so only one of these pairs has an upper layout.
	for _, name := range []string{"memory above a tree", "memory above one layout", "a tree above memory", "a store that copies"} {
		s := stores[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Store(t, func(t *testing.T) registry.Store { return overlay.New(s.lower(t), s.upper(t)) })
		})
	}
}

// each runs the test for each pair of stores. The lower store has two images and
// a referrer in repository app, and one image in repository below.
func each(t *testing.T, test func(t *testing.T, s *overlay.Store)) {
	t.Parallel()
	for name, pair := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lower := pair.lower(t)
			seed(t, lower)
			test(t, overlay.New(lower, pair.upper(t)))
		})
	}
}

// first, second and signed build the content of the lower stores. third builds another
// image.
var (
	first  = func() content.Content { return content.Image(content.Seed(1)) }
	second = func() content.Content { return content.Image(content.Seed(2)) }
	third  = func() content.Content { return content.Image(content.Seed(3)) }
	signed = func(of content.Content, seed uint64) content.Content {
		return content.Artifact("application/vnd.example.signature", content.Subject(of), content.Seed(seed), content.Layers(1))
	}
)

func seed(t *testing.T, lower registry.Store) {
	s := content.State{Store: lower}
	s.Push(t, "app:v1", first())
	s.Push(t, "app:v2", first())
	s.Push(t, "app:old", second())
	s.Push(t, "app", signed(first(), 1))
	s.Push(t, "below:v1", first())
}

func collect[T any](t *testing.T, list func(func(T, error) bool)) (all []T) {
	t.Helper()
	for item, err := range list {
		require.NoError(t, err)
		all = append(all, item)
	}
	return all
}

func digests(t *testing.T, s registry.Store, subject digest.Digest) (all []digest.Digest) {
	t.Helper()
	for _, d := range collect(t, s.Referrers(t.Context(), "app", subject, "")) {
		all = append(all, d.Digest)
	}
	return all
}

func TestListsHaveContentOfBothStores(t *testing.T) {
	each(t, func(t *testing.T, s *overlay.Store) {
		state := content.State{Store: s}
		require.Equal(t, []string{"app", "below"}, collect(t, s.Repositories(t.Context(), "")))
		require.Equal(t, []string{"old", "v1", "v2"}, state.Tags(t, "app"))

		state.Push(t, "app:v1", third())
		state.Push(t, "app:a", third())
		state.Push(t, "app:z", first())
		state.Push(t, "app:signed", signed(first(), 2))
		state.Push(t, "above:v1", third())
		require.Equal(t, []string{"above", "app", "below"}, collect(t, s.Repositories(t.Context(), "")))
		require.Equal(t, []string{"app", "below"}, collect(t, s.Repositories(t.Context(), "above")))
		require.Equal(t, []string{"a", "old", "signed", "v1", "v2", "z"}, state.Tags(t, "app"))
		require.Equal(t, []string{"v2", "z"}, collect(t, s.Tags(t.Context(), "app", "v1")))
		require.Equal(t, []string{"v1"}, state.Tags(t, "above"))
		for _, err := range s.Tags(t.Context(), "none", "") {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		state.CheckTag(t, "app:v1", third())
		state.CheckTag(t, "app:v2", first())

		want := []digest.Digest{signed(first(), 1).Digest, signed(first(), 2).Digest}
		slices.Sort(want)
		require.Equal(t, want, digests(t, s, first().Digest))
		// A referrer that both stores have is listed once.
		state.Push(t, "app", signed(first(), 1))
		require.Equal(t, want, digests(t, s, first().Digest))
		// The caller can stop a list after the first item.
		for range s.Tags(t.Context(), "app", "") {
			break
		}
	})
}

func TestDeletedContentIsGone(t *testing.T) {
	each(t, func(t *testing.T, s *overlay.Store) {
		ctx, state := t.Context(), content.State{Store: s}
		gone := func(ref string) {
			t.Helper()
			_, err := s.GetManifest(ctx, "app", ref)
			require.ErrorIs(t, err, fs.ErrNotExist)
			_, err = s.StatManifest(ctx, "app", ref)
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		require.NoError(t, s.DeleteTag(ctx, "app", "old"))
		gone("old")
		require.ErrorIs(t, s.DeleteTag(ctx, "app", "old"), fs.ErrNotExist)
		require.ErrorContains(t, s.DeleteTag(ctx, "app", "old"), "tag old in repository app: ")
		require.Equal(t, []string{"v1", "v2"}, state.Tags(t, "app"))
		state.Get(t, "app@"+string(second().Digest))

		// Deleting a manifest removes its tags in both stores.
		state.Push(t, "app:more", first())
		require.NoError(t, s.DeleteManifest(ctx, "app", first().Digest))
		require.ErrorIs(t, s.DeleteManifest(ctx, "app", first().Digest), fs.ErrNotExist)
		gone("v1")
		gone("more")
		gone(string(first().Digest))
		require.Empty(t, state.Tags(t, "app"))
		state.Get(t, "below:v1")

		// After another push, the manifest has only its new tag.
		state.Push(t, "app:again", first())
		require.Equal(t, []string{"again"}, state.Tags(t, "app"))
		gone("v1")

		require.NoError(t, s.DeleteManifest(ctx, "app", signed(first(), 1).Digest))
		require.Empty(t, digests(t, s, first().Digest))

		// If a client moves a tag and deletes its new manifest, the tag is gone, and
		// does not point at the old manifest again.
		state.Push(t, "below:v1", third())
		require.NoError(t, s.DeleteManifest(ctx, "below", third().Digest))
		require.Empty(t, state.Tags(t, "below"))
		_, err := s.GetManifest(ctx, "below", "v1")
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}

func TestDeletedBlobsAreGone(t *testing.T) {
	each(t, func(t *testing.T, s *overlay.Store) {
		ctx, state, d := t.Context(), content.State{Store: s}, second().Layers[0].Digest
		require.Len(t, state.GetBlob(t, "app", d), int(second().Layers[0].Size))
		require.NoError(t, s.DeleteBlob(ctx, "app", d))
		require.ErrorIs(t, s.DeleteBlob(ctx, "app", d), fs.ErrNotExist)
		_, err := s.StatBlob(ctx, "app", d)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = s.OpenBlob(ctx, "app", d)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorIs(t, s.MountBlob(ctx, "other", d, "app"), fs.ErrNotExist)

		state.PushBlob(t, "app", second().Layers[0])
		require.Len(t, state.GetBlob(t, "app", d), int(second().Layers[0].Size))
		require.NoError(t, s.DeleteBlob(ctx, "app", d))
		_, err = s.StatBlob(ctx, "app", d)
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}

func TestBlobsBelowCanBeMounted(t *testing.T) {
	each(t, func(t *testing.T, s *overlay.Store) {
		ctx, state, b := t.Context(), content.State{Store: s}, first().Layers[0]
		want := state.GetBlob(t, "app", b.Digest)
		require.NoError(t, s.MountBlob(ctx, "named", b.Digest, "app"))
		require.NoError(t, s.MountBlob(ctx, "any", b.Digest, ""))
		require.NoError(t, s.MountBlob(ctx, "app", b.Digest, "below"))
		if !s.SharesBlobs() { // Otherwise this would delete the blob from all repositories.
			require.NoError(t, s.DeleteBlob(ctx, "app", b.Digest))
		}
		for _, repo := range []string{"named", "any"} {
			require.Equal(t, want, state.GetBlob(t, repo, b.Digest))
			size, err := s.StatBlob(ctx, repo, b.Digest)
			require.NoError(t, err)
			require.Equal(t, b.Size, size)
			r, err := s.OpenBlob(ctx, repo, b.Digest)
			require.NoError(t, err)
			_, err = r.Seek(-3, io.SeekEnd)
			require.NoError(t, err)
			end, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, want[len(want)-3:], end)
			require.NoError(t, r.Close())
		}
		require.ErrorIs(t, s.MountBlob(ctx, "named", digest.FromString("none"), ""), fs.ErrNotExist)
		require.ErrorIs(t, s.MountBlob(ctx, "named", digest.FromString("none"), "app"), fs.ErrNotExist)
	})
}

func TestCheckSeesTagsOfBothStores(t *testing.T) {
	each(t, func(t *testing.T, s *overlay.Store) {
		var seen []string
		put := func(c content.Content, tags ...string) {
			t.Helper()
			for b := range c.Blobs() {
				require.NoError(t, content.PutBlob(t.Context(), s, "app", b))
			}
			m := registry.Manifest{MediaType: c.MediaType, Digest: c.Digest, Content: c.Manifest}
			require.NoError(t, s.PutManifest(t.Context(), "app", m, tags, func(tag string, current digest.Digest) error {
				seen = append(seen, tag+" "+string(current))
				return nil
			}))
		}
		put(third(), "v1", "new")
		put(second(), "v1")
		put(first())
		require.NoError(t, s.DeleteManifest(t.Context(), "app", first().Digest))
		put(second(), "v2")
		put(first())
		require.Equal(t, []string{
			"v1 " + string(first().Digest), "new ", "v1 " + string(third().Digest),
			" " + string(first().Digest), "v2 ", " ",
		}, seen)
		// If the check fails, the tag of the lower store stays.
		err := s.PutManifest(t.Context(), "app", registry.Manifest{MediaType: third().MediaType, Digest: third().Digest, Content: third().Manifest}, []string{"old"},
			func(string, digest.Digest) error { return io.ErrUnexpectedEOF })
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		content.State{Store: s}.CheckTag(t, "app:old", second())
	})
}

// While a tag moves, every reader and every list finds it, even if its old manifest is
// deleted.
func TestTagsMoveAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s *overlay.Store) {
		content.State{Store: s}.Push(t, "app", third())
		moved := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for last := false; !last; {
					select {
					case <-moved:
						last = true
					default:
					}
					if _, err := s.GetManifest(t.Context(), "app", "v1"); err != nil {
						t.Errorf("reading the tag: %v", err)
						return
					}
					listed := false
					for tag, err := range s.Tags(t.Context(), "app", "old") {
						listed = listed || err == nil && tag == "v1"
					}
					if !listed {
						t.Error("the list of tags lacks v1")
						return
					}
				}
			})
		}
		content.State{Store: s}.Push(t, "app:v1", third())
		if err := s.DeleteManifest(t.Context(), "app", first().Digest); err != nil {
			t.Error(err)
		}
		close(moved)
		readers.Wait()
	})
}

// files returns the content and the modification time of each file in a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = info.ModTime().String() + " " + string(text)
		return err
	}))
	return all
}

// The writes of the conformance suite, and of this test, do not change a byte of the
// lower store.
func TestLowerStoreIsNeverChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lower, err := layout.Open(dir)
	require.NoError(t, err)
	defer lower.Close()
	seed(t, lower)
	before := files(t, dir)
	s := overlay.New(lower, memstore.New())
	h := registry.New(s)
	conformance.Registry(t, conformance.Target{Handler: h, ManifestLimit: 4 << 20})
	state := content.State{Store: s}
	for _, repo := range []string{"app", "below"} {
		require.NoError(t, s.DeleteManifest(t.Context(), repo, first().Digest))
		state.Push(t, repo+":v1", third())
		require.NoError(t, s.DeleteTag(t.Context(), repo, "v1"))
		for _, b := range []content.Blob{first().Config, first().Layers[0]} {
			require.NoError(t, s.DeleteBlob(t.Context(), repo, b.Digest))
		}
	}
	require.Equal(t, before, files(t, dir))
	content.State{Store: lower}.CheckTag(t, "app:v1", first())
}

func TestSharedBlobsAreKnown(t *testing.T) {
	t.Parallel()
	require.False(t, overlay.New(newTree(t), newMemory(t)).SharesBlobs())
	require.True(t, overlay.New(newLayout(t), newMemory(t)).SharesBlobs())
	require.True(t, overlay.New(newMemory(t), newLayout(t)).SharesBlobs())
}
