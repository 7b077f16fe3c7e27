package content

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
)

// fill puts content of every kind into a store. It returns the content of repository
// team/app: the tagged content by tag, and the rest.
func fill(t *testing.T, s State) (tagged map[string]Content, untagged []Content) {
	app, arm, old := Image(Layers(2)), Image(Docker(), Platform("linux/arm64")), Image(Seed(9))
	sig := refer(app, Bytes("a/b", []byte("signature")))
	tagged = map[string]Content{
		"v1":       app,
		"latest":   app,
		"nested":   Index(Index(app, arm), Image(Platform("linux/s390x")).Absent()),
		"list":     Index(Docker(), arm),
		"sparse":   Image(Layers(1).Absent(), Layers(1).NonDistributable("https://example.com"), Layers(1)),
		"sha512":   Image(Algorithm(digest.SHA512)),
		"artifact": Artifact("application/vnd.example", Bytes("text/plain", []byte("hello"))),
		"large":    Image(LayerSizes(large)),
		"junk":     Raw(ocispec.MediaTypeImageManifest, []byte("{")),
		"wrong":    Raw(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{"digest":"v1"},{"digest":"a:b"}],"layers":[{"digest":"../x"}]}`)),
		"schema1":  Raw(manifest.DockerSchema1, []byte(`{"schemaVersion":1}`)),
		"old.sig":  refer(old),
	}
	untagged = []Content{sig, refer(sig), Artifact("", Config(Bytes("a/b", []byte("{}"))), Subject(arm)), Index(Subject(app), app), old}
	for tag, c := range tagged {
		s.Push(t, "team/app:"+tag, c)
	}
	for _, c := range untagged {
		s.Push(t, "team/app", c)
	}
	s.Push(t, "other:v1", app)
	s.PushBlob(t, "blobs", Bytes("a/b", []byte("x")))
	return tagged, untagged
}

// particular is a store that fails the test if it is asked for a malformed digest.
type particular struct {
	t *testing.T
	registry.Store
}

func (p particular) GetManifest(ctx context.Context, repo, ref string) (registry.Manifest, error) {
	if strings.Contains(ref, ":") {
		require.NoError(p.t, digest.Digest(ref).Validate())
	}
	return p.Store.GetManifest(ctx, repo, ref)
}

func (p particular) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	require.NoError(p.t, d.Validate())
	return p.Store.OpenBlob(ctx, repo, d)
}

func TestCopyLeavesNothingOut(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) registry.Store{
		"memory":          func(*testing.T) registry.Store { return memstore.New() },
		"another's store": func(*testing.T) registry.Store { return foreign{memstore.New()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst := State{particular{t, open(t)}}, State{open(t)}
			tagged, untagged := fill(t, src)
			require.NoError(t, Copy(t.Context(), dst.Store, src.Store))
			for range 2 {
				dst.CheckRepository(t, "team/app", tagged, untagged...)
				dst.CheckTag(t, "other:v1", tagged["v1"])
				require.Equal(t, []string{"other", "team/app"}, listed(t, dst.Store.Repositories(t.Context(), "")))
				require.Equal(t, src.Referrers(t, "team/app:v1"), dst.Referrers(t, "team/app:v1"))
				for tag, c := range tagged {
					for b := range c.Blobs() {
						require.Equal(t, contentOf(t, b), dst.GetBlob(t, "team/app", b.Digest), tag)
					}
				}
				// The second round checks that copying again changes nothing.
				require.NoError(t, Copy(t.Context(), dst.Store, src.Store))
			}
		})
	}
}

// Content survives a copy from memory to a layout and back.
func TestCopyToLayoutAndBack(t *testing.T) {
	t.Parallel()
	src := State{memstore.New()}
	tagged, untagged := fill(t, src)
	dir := t.TempDir()
	store, err := layout.Open(dir)
	require.NoError(t, err)
	require.NoError(t, Copy(t.Context(), store, src.Store))
	require.NoError(t, store.Close())

	store, err = layout.Open(dir)
	require.NoError(t, err)
	defer store.Close()
	State{store}.CheckRepository(t, "team/app", tagged, untagged...)
	back := State{memstore.New()}
	require.NoError(t, Copy(t.Context(), back.Store, store))
	back.CheckRepository(t, "team/app", tagged, untagged...)
}

func TestCopyOfNamedRepositories(t *testing.T) {
	t.Parallel()
	src, dst := State{memstore.New()}, State{memstore.New()}
	fill(t, src)
	before := dst.Push(t, "other:old", Image(Seed(5)))
	require.NoError(t, Copy(t.Context(), dst.Store, src.Store, "other", "blobs"))
	require.Equal(t, []string{"other"}, listed(t, dst.Store.Repositories(t.Context(), "")))
	require.Equal(t, []string{"old", "v1"}, dst.Tags(t, "other"))
	dst.CheckTag(t, "other:old", before)
}

func TestCopiedBlobsStayGenerated(t *testing.T) {
	t.Parallel()
	src, dst := memstore.New(), memstore.New()
	app := State{src}.Push(t, "app:v1", Image(LayerSizes(large)))
	require.NoError(t, Copy(t.Context(), dst, src))
	r, err := dst.OpenBlob(t.Context(), "app", app.Layers[0].Digest)
	require.NoError(t, err)
	kept, ok := sourceOf(r)
	require.True(t, ok)
	require.Equal(t, app.Layers[0].source, kept)
	_, ok = sourceOf(app.Layers[0].Open())
	require.False(t, ok)
	_, ok = sourceOf(strings.NewReader(""))
	require.False(t, ok)
}

func TestErrorsOfCopy(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	app := State{s}.Push(t, "app:v1", Image())
	State{s}.Push(t, "app", refer(app))
	broken := errors.New("broken")
	for on, want := range map[string]string{
		"open":       "copying repository app: manifest " + string(app.Digest) + ": blob " + string(app.Config.Digest) + ": broken",
		"get":        "copying repository app: tag v1: broken",
		"get digest": "copying repository app: manifest ",
	} {
		require.ErrorContains(t, Copy(t.Context(), memstore.New(), failing{s, on, broken}), want)
		require.ErrorIs(t, Copy(t.Context(), memstore.New(), failing{s, on, broken}), broken)
	}
	require.ErrorContains(t, Copy(t.Context(), failing{memstore.New(), "create", broken}, s), "blob "+string(app.Config.Digest)+": broken")
	require.ErrorContains(t, Copy(t.Context(), failing{memstore.New(), "manifest", broken}, s), "manifest "+string(app.Digest)+": broken")
	require.ErrorContains(t, Copy(t.Context(), memstore.New(), s, "nothing"), "copying repository nothing: tags: ")
}

// Copy also copies manifests without a tag if the store lists them, as a layout does.
// Differences ignores them, because other stores do not list them.
func TestCopyFollowsListsOfUntaggedManifests(t *testing.T) {
	t.Parallel()
	src, err := layout.Open(t.TempDir())
	require.NoError(t, err)
	defer src.Close()
	app, alone := Image(), Index(Image(Seed(1)))
	State{src}.Push(t, "app:v1", app)
	State{src}.Push(t, "app", alone)
	dst := State{memstore.New()}
	require.NoError(t, Copy(t.Context(), dst.Store, src))
	dst.CheckRepository(t, "app", map[string]Content{"v1": app}, alone)
	State{src}.CheckRepository(t, "app", map[string]Content{"v1": app})
}
