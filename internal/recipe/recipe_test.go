package recipe_test

import (
	"encoding/json"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/recipe"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

const limit = 1 << 20

// Build builds the same content as the functions of package content.
func TestBuild(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	base := content.Image()
	require.NoError(t, content.Put(t.Context(), s, "app:v0", base))
	for text, want := range map[string]content.Content{
		`{"image": {}}`:                       content.Image(),
		`{"image": {"layers": 0}}`:            content.Image(content.Layers(0)),
		`{"image": {"layers": 2, "seed": 7}}`: content.Image(content.Layers(2), content.Seed(7)),
		`{"image": {"layerSizes": [10, 3000], "platform": "linux/arm64"}}`: content.Image(content.LayerSizes(10, 3000), content.Platform("linux/arm64")),
		`{"image": {"files": [{"a": "x"}, {"b": "y"}], "annotations": {"k": "v"}}}`: content.Image(
			content.Files(map[string]string{"a": "x"}), content.Files(map[string]string{"b": "y"}), content.Annotation("k", "v")),
		`{"image": {"docker": true, "labels": {"l": "x"}}}`:   content.Image(content.Docker(), content.ImageConfig(ocispec.ImageConfig{Labels: map[string]string{"l": "x"}})),
		`{"image": {"subject": "v0", "artifactType": "a/b"}}`: content.Image(content.Subject(base), content.ArtifactType("a/b")),
		`{"image": {"layers": 1, "platforms": ["linux/amd64"], "docker": true}}`: content.Index(
			content.Docker(), content.Image(content.Layers(1), content.Docker(), content.Platform("linux/amd64"))),
		`{"image": {"platforms": ["linux/amd64", "linux/arm64"], "subject": "app:v0"}}`: content.Index(content.Subject(base), content.Platforms("linux/amd64", "linux/arm64")),
		`{"artifact": {"artifactType": "a/b", "layers": 1, "subject": "` + string(base.Digest) + `"}}`: content.Artifact(
			"a/b", content.Layers(1), content.Subject(base)),
		`{"raw": {"mediaType": "a/b", "content": "{"}}`: content.Raw("a/b", []byte("{")),
	} {
		r := recipe.Recipe{}
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		r.Ref = "app:v1"
		got, err := r.Build(t.Context(), s, limit)
		require.NoError(t, err, text)
		require.Equal(t, string(want.Manifest), string(got.Manifest), text)
		require.NoError(t, content.Put(t.Context(), s, r.Ref, got))
		sum := recipe.Summarize(r.Ref, got)
		require.Equal(t, want.Digest, sum.Digest)
		require.Len(t, sum.Manifests, len(want.Children))
	}
}

func TestRecipesThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                        "give one of image, artifact and raw",
		`{"image": {}, "raw": {}}`:  "give one of",
		`{"ref": "A", "image": {}}`: "ref: ",
		`{"image": {"layers": -1}}`: "cannot have -1 layers",
		`{"image": {"layers": 9223372036854775807}}`:                            "at most 1000 layers",
		`{"image": {"layerSizes": [-1]}}`:                                       "layerSizes: want sizes from 0",
		`{"image": {"layerSizes": [1048577]}}`:                                  "at most 1048576 bytes together",
		`{"image": {"layerSizes": [600000, 600000]}}`:                           "at most 1048576 bytes together",
		`{"image": {"layerSizes": [600000], "platforms": ["a/b", "a/c"]}}`:      "at most 1048576 bytes together",
		`{"image": {"layerSizes": [9223372036854775807, 9223372036854775807]}}`: "at most 1048576 bytes together",
		`{"image": {"platform": "linux"}}`:                                      "linux",
		`{"image": {"platform": "a/b", "platforms": []}}`:                       "not both",
		`{"image": {"subject": "none"}}`:                                        "subject: ",
		`{"image": {"subject": ":x"}}`:                                          "is not a reference",
		`{"image": {"files": [{"/x": ""}]}}`:                                    "/x",
		`{"artifact": {"labels": {"a": "b"}}}`:                                  "are for images",
	} {
		r := recipe.Recipe{Ref: "app:v1"}
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		_, err := r.Build(t.Context(), memstore.New(), limit)
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzBuild(f *testing.F) {
	for _, text := range []string{`{"ref": "a:v1", "image": {"layers": 2, "platforms": ["linux/amd64"]}}`, `{"ref": "a:v1", "artifact": {"layerSizes": [10]}}`, `{"ref": "a:v1", "raw": {"mediaType": "x"}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r recipe.Recipe
		if json.Unmarshal([]byte(text), &r) != nil {
			return
		}
		s := memstore.New()
		c, err := r.Build(t.Context(), s, 1<<16)
		if err != nil {
			return
		}
		again, err := r.Build(t.Context(), s, 1<<16)
		require.NoError(t, err)
		require.Equal(t, c.Digest, again.Digest)
		require.NoError(t, content.Put(t.Context(), s, r.Ref, c))
	})
}
