package overlay_test

import (
	"context"
	"iter"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/overlay"
)

// meanwhile is a store that calls a function in the middle of the next read, to change
// the content before the read returns its result.
type meanwhile struct {
	registry.Store
	happens func()
}

func (m *meanwhile) happen() {
	if f := m.happens; f != nil {
		m.happens = nil
		f()
	}
}

func (m *meanwhile) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	defer m.happen()
	return m.Store.GetManifest(ctx, repo, reference)
}

func (m *meanwhile) StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error) {
	defer m.happen()
	return m.Store.StatBlob(ctx, repo, d)
}

func (m *meanwhile) Tags(ctx context.Context, repo, after string) iter.Seq2[string, error] {
	return ended(m.Store.Tags(ctx, repo, after), m.happen)
}

func (m *meanwhile) Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return ended(m.Store.Referrers(ctx, repo, subject, after), m.happen)
}

// ended returns a sequence that yields the list, and calls a function at its end.
func ended[T any](list iter.Seq2[T, error], then func()) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		list(yield)
		then()
	}
}

// If content is pushed again, or a tag moves, in the middle of a read, the read still
// finds the content.
func TestReadersMissNothing(t *testing.T) {
	t.Parallel()
	type situation struct {
		*overlay.Store
		lower, upper *meanwhile
	}
	put := func(t *testing.T, s situation, ref string, c content.Content) {
		require.NoError(t, content.Put(t.Context(), s.Store, ref, c))
	}
	for name, test := range map[string]func(t *testing.T, s situation){
		"a tag that gets another manifest": func(t *testing.T, s situation) {
			s.upper.happens = func() { put(t, s, "app:v1", third()) }
			m, err := s.GetManifest(t.Context(), "app", "v1")
			require.NoError(t, err)
			require.Contains(t, []digest.Digest{first().Digest, third().Digest}, m.Digest)
		},
		"a tag that moves before its first manifest is deleted": func(t *testing.T, s situation) {
			s.lower.happens = func() {
				put(t, s, "app:v1", third())
				require.NoError(t, s.DeleteManifest(t.Context(), "app", first().Digest))
			}
			m, err := s.GetManifest(t.Context(), "app", "v1")
			require.NoError(t, err)
			require.Equal(t, third().Digest, m.Digest)
		},
		"a manifest that is deleted and pushed again": func(t *testing.T, s situation) {
			s.lower.happens = func() {
				require.NoError(t, s.DeleteManifest(t.Context(), "app", first().Digest))
				put(t, s, "app", first())
			}
			_, err := s.GetManifest(t.Context(), "app", string(first().Digest))
			require.NoError(t, err)
		},
		"a blob that is deleted and pushed again": func(t *testing.T, s situation) {
			b := first().Layers[0]
			s.upper.happens = func() {
				// This stores only the manifest and config: the blob exists already.
				put(t, s, "app", content.Image(b))
				require.NoError(t, s.DeleteBlob(t.Context(), "app", b.Digest))
				require.NoError(t, content.PutBlob(t.Context(), s.Store, "app", b))
			}
			_, err := s.StatBlob(t.Context(), "app", b.Digest)
			require.NoError(t, err)
		},
		"a list of tags, one of which moves": func(t *testing.T, s situation) {
			s.upper.happens = func() { put(t, s, "app:v1", third()) }
			require.Equal(t, []string{"old", "v1", "v2"}, collect(t, s.Tags(t.Context(), "app", "")))
		},
		"a list of tags, one of which moves before its manifest is deleted": func(t *testing.T, s situation) {
			s.upper.happens = func() {
				put(t, s, "app:v1", third())
				require.NoError(t, s.DeleteManifest(t.Context(), "app", first().Digest))
			}
			require.Equal(t, []string{"old", "v1"}, collect(t, s.Tags(t.Context(), "app", "")))
		},
		"a list of referrers, one of which is pushed again": func(t *testing.T, s situation) {
			r := signed(first(), 1)
			s.upper.happens = func() { put(t, s, "app", r) }
			require.Equal(t, []digest.Digest{r.Digest}, digests(t, s, first().Digest))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := situation{lower: &meanwhile{Store: memstore.New()}, upper: &meanwhile{Store: memstore.New()}}
			s.Store = overlay.New(s.lower, s.upper)
			seed(t, s.lower)
			test(t, s)
		})
	}
}

// If a client pushes a referrer of the lower store again, with a media type that has no
// subject, the manifest is no longer a referrer.
func TestUpperManifestDecidesSubject(t *testing.T) {
	t.Parallel()
	lower := memstore.New()
	seed(t, lower)
	s := overlay.New(lower, memstore.New())
	r := signed(first(), 1)
	opaque := registry.Manifest{MediaType: "text/plain", Digest: r.Digest, Content: r.Manifest}
	require.NoError(t, s.PutManifest(t.Context(), "app", opaque, nil, nil))
	require.Empty(t, digests(t, s, first().Digest))
}
