package content

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/memstore"
)

// said returns the messages with which f fails its test. They begin with "fatal: " if
// the last message ended the test, and with "error: " otherwise.
func said(f func(t TB)) string {
	t := faketb.New(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(t)
	}()
	<-done
	switch lines := strings.Join(t.Errors(), "\n"); {
	case lines == "":
		return ""
	case t.Fatal():
		return "fatal: " + lines
	default:
		return "error: " + lines
	}
}

func TestPushedContentIsReadBack(t *testing.T) {
	t.Parallel()
	s := State{memstore.New()}
	app := s.Push(t, "team/app:v1", Image(Layers(2), Annotation("a", "1")))
	index := s.Push(t, "team/app:all", Index(app))
	sbom := s.Push(t, "team/app", refer(app, Annotation("b", "2")))
	other := s.PushBlob(t, "team/app", Bytes("a/b", []byte("other")))

	got := s.Get(t, "team/app:v1")
	require.Equal(t, app.Manifest, got.Manifest)
	require.Equal(t, app.Descriptor(), got.Descriptor())
	require.Equal(t, app.Annotations, got.Annotations)
	require.Equal(t, app.Layers[1].Descriptor, got.Layers[1].Descriptor)
	require.Equal(t, app.Config.Descriptor, got.Config.Descriptor)
	require.Equal(t, app.Descriptor(), s.Get(t, "team/app:all").Children[0].Descriptor())
	require.Equal(t, index.Manifest, s.Get(t, "team/app@"+string(index.Digest)).Manifest)

	require.Equal(t, contentOf(t, app.Layers[1]), s.GetBlob(t, "team/app", app.Layers[1].Digest))
	require.Equal(t, "other", string(s.GetBlob(t, "team/app", other.Digest)))
	require.Equal(t, []string{"all", "v1"}, s.Tags(t, "team/app"))
	require.Empty(t, s.Tags(t, "nothing/here"))

	want := []ocispec.Descriptor{{
		MediaType: sbom.MediaType, Digest: sbom.Digest, Size: sbom.Size,
		ArtifactType: "application/spdx+json", Annotations: map[string]string{"b": "2"},
	}}
	require.Equal(t, want, s.Referrers(t, "team/app:v1"))
	require.Equal(t, want, s.Referrers(t, "team/app@"+string(app.Digest)))
	require.Empty(t, s.Referrers(t, "team/app:all"))
	require.Empty(t, s.Referrers(t, "nothing/here@"+string(app.Digest)))

	s.CheckTag(t, "team/app:v1", app)
	s.CheckRepository(t, "team/app", map[string]Content{"v1": app, "all": index}, sbom)
	s.CheckRepository(t, "nothing/here", nil)
}

func TestFailureMessages(t *testing.T) {
	t.Parallel()
	s := State{memstore.New()}
	app := s.Push(t, "team/app:v1", Image())
	s.Push(t, "team/app:v2", app)
	s.Push(t, "untagged", app)
	d := digest.FromString("x")
	broken := State{failing{s.Store, "get", errors.New("broken")}}
	for want, f := range map[string]func(TB){
		"fatal: content: putting App: \"App\" is not the name of a repository":                           func(t TB) { s.Push(t, "App", app) },
		"only its descriptor is known, not its content":                                                  func(t TB) { s.PushBlob(t, "app", Blob{}) },
		"fatal: content: reading team/app:v3: ":                                                          func(t TB) { s.Get(t, "team/app:v3") },
		"; team/app has the tags v1, v2":                                                                 func(t TB) { s.Get(t, "team/app:v3") },
		"; untagged has no tags":                                                                         func(t TB) { s.Get(t, "untagged:v1") },
		"; repository other does not exist":                                                              func(t TB) { s.Get(t, "other@"+string(d)) },
		"the reference has neither a tag nor a digest":                                                   func(t TB) { s.Get(t, "team/app") },
		"fatal: content: reading :: \"\" is not a tag":                                                   func(t TB) { s.Get(t, ":") },
		"fatal: content: reading blob " + string(d) + " of team/app: ":                                   func(t TB) { s.GetBlob(t, "team/app", d) },
		"fatal: content: listing the referrers of team/app:":                                             func(t TB) { s.Referrers(t, "team/app:") },
		"fatal: content: listing the referrers of team/app: reading team/app: the reference has neither": func(t TB) { s.Referrers(t, "team/app") },
		"error: content: reading team/app:v3: ":                                                          func(t TB) { s.CheckTag(t, "team/app:v3", app) },
		"error: content: team/app:v1 has a different manifest":                                           func(t TB) { s.CheckTag(t, "team/app:v1", Image(Seed(1))) },
		"error: content: reading team/app:v1: broken":                                                    func(t TB) { broken.CheckTag(t, "team/app:v1", app) },
		"fatal: content: checking repository team/app: tag v1: broken":                                   func(t TB) { broken.CheckRepository(t, "team/app", nil) },
		`error: content: team/app:v1 has media type "` + app.MediaType + `", want "a/b"`:                 func(t TB) { other := app; other.MediaType = "a/b"; s.CheckTag(t, "team/app:v1", other) },
	} {
		require.Contains(t, said(f), want)
	}
	require.Empty(t, said(func(t TB) { s.CheckTag(t, "team/app:v1", app) }))
}

func TestStateNeedsATest(t *testing.T) {
	t.Parallel()
	var none *testing.T
	require.PanicsWithValue(t, "content: State.Push needs a test, but t is nil", func() { State{}.Push(nil, "app", Content{}) })
	require.PanicsWithValue(t, "content: State.CheckTag needs a test, but t is nil", func() { State{}.CheckTag(none, "app", Content{}) })
}

func TestDifferencesAreShown(t *testing.T) {
	t.Parallel()
	s := State{memstore.New()}
	got := s.Push(t, "app:v1", Image(Annotation("version", "1"), Annotation("z", "same")))
	want := Image(Annotation("version", "2"), Annotation("z", "same"))
	require.Equal(t, `error: content: app:v1 has a different manifest:
  want `+string(want.Digest)+`, application/vnd.oci.image.manifest.v1+json, `+fmt.Sprint(want.Size)+` bytes
  got  `+string(got.Digest)+`, application/vnd.oci.image.manifest.v1+json, `+fmt.Sprint(got.Size)+` bytes
  … 13 lines that are the same
      }
    ],
    "annotations": {
-     "version": "2",
+     "version": "1",
      "z": "same"
    }
  }
`, said(func(t TB) { s.CheckTag(t, "app:v1", want) }))

	// If the wanted content has only a digest, the message has no lines of manifests.
	byDigest := said(func(t TB) { s.CheckTag(t, "app:v1", Content{Digest: want.Digest}) })
	require.Contains(t, byDigest, "has a different manifest")
	require.NotContains(t, byDigest, "annotations")

	// Messages cut long differences, and replace bytes that are not UTF-8.
	s.Push(t, "app:v1", Raw("a/b", []byte(strings.Repeat("\xff", 100)+strings.Repeat("x", 1000)+strings.Repeat("\n", 1000))))
	text := said(func(t TB) { s.CheckTag(t, "app:v1", want) })
	require.Contains(t, text, "+ …\n")
	require.Less(t, len(text), 2000)
	require.True(t, strings.ToValidUTF8(text, "") == text)
}

func TestCheckRepositorySeesEverything(t *testing.T) {
	t.Parallel()
	s := State{memstore.New()}
	ctx := t.Context()
	app, arm := Image(), Image(Platform("linux/arm64"))
	index := s.Push(t, "app:all", Index(app, arm))
	s.Push(t, "app:v1", app)
	sig := s.Push(t, "app", refer(arm))
	sigOfSig := s.Push(t, "app", refer(sig))
	tags := map[string]Content{"all": index, "v1": app}
	check := func(want string, tags map[string]Content, untagged ...Content) {
		t.Helper()
		got := said(func(t TB) { s.CheckRepository(t, "app", tags, untagged...) })
		if want != "" {
			want = "error: content: repository app differs from the content wanted:\n" + want
		}
		require.Equal(t, want, got)
	}
	line := func(c Content) string { return inBrief(c.MediaType, c.Digest, c.Size) }

	check("", tags, sig, sigOfSig)
	check("unexpected manifest "+line(sigOfSig)+", a referrer of "+string(sig.Digest), tags, sig)
	check("missing tag v2: "+line(app), map[string]Content{"all": index, "v1": app, "v2": app}, sig, sigOfSig)
	check("unexpected tag v1: "+line(app), map[string]Content{"all": index}, sig, sigOfSig)
	check("tag v1 has a different manifest:\n  want "+line(arm)+"\n  got  "+line(app)+"\n"+manifestDiff(arm.Manifest, app.Manifest),
		map[string]Content{"all": index, "v1": arm}, sig, sigOfSig)
	more := Image(Seed(1))
	check("missing manifest "+line(more)+": "+errorOf(s, "app", more)+
		"\nmissing blob "+inBrief(more.Config.MediaType, more.Config.Digest, more.Config.Size)+": "+blobErrorOf(s, "app", more.Config)+
		"\nmissing blob "+inBrief(more.Layers[0].MediaType, more.Layers[0].Digest, more.Layers[0].Size)+": "+blobErrorOf(s, "app", more.Layers[0]),
		tags, sig, sigOfSig, more)

	// The store has a child that the wanted index does not have.
	check("unexpected manifest "+line(arm)+", listed by "+string(index.Digest),
		map[string]Content{"all": Index(app, arm.Absent()), "v1": app}, sig, sigOfSig)

	require.NoError(t, s.Store.DeleteBlob(ctx, "app", arm.Config.Digest))
	check("missing blob "+inBrief(arm.Config.MediaType, arm.Config.Digest, arm.Config.Size)+": "+blobErrorOf(s, "app", arm.Config),
		tags, sig, sigOfSig)
	wrongSize := arm
	wrongSize.Config = Bytes(arm.Config.MediaType, []byte("x"))
	wrongSize.Config.Digest = app.Config.Digest
	check("blob "+inBrief(arm.Config.MediaType, app.Config.Digest, 1)+fmt.Sprintf(" has %d bytes", app.Config.Size)+
		"\nunexpected tag all: "+line(index)+"\nunexpected tag v1: "+line(app)+
		"\nunexpected manifest "+line(app)+", listed by "+string(index.Digest)+
		"\nunexpected manifest "+line(sig)+", a referrer of "+string(arm.Digest)+
		"\nunexpected manifest "+line(sigOfSig)+", a referrer of "+string(sig.Digest)+
		"\nunexpected manifest "+line(index)+", tagged all",
		nil, wrongSize)
	require.Contains(t, said(func(t TB) { s.CheckRepository(t, "nothing", map[string]Content{"v1": app}) }), "missing tag v1")
}

func errorOf(s State, repo string, c Content) string {
	_, err := s.Store.GetManifest(context.Background(), repo, string(c.Digest))
	return err.Error()
}

func blobErrorOf(s State, repo string, b Blob) string {
	_, err := s.Store.StatBlob(context.Background(), repo, b.Digest)
	return err.Error()
}

func TestStateInCleanup(t *testing.T) {
	s := State{memstore.New()}
	t.Run("test", func(t *testing.T) {
		t.Cleanup(func() { s.CheckTag(t, "app:v1", s.Push(t, "app:v1", Image())) })
	})
}
