package content

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/typecheck"
)

// A call of Image, Artifact, Index or a function of package referrer compiles only if
// all of its parts fit.
func TestPartsCompileWhereTheyBelong(t *testing.T) {
	t.Parallel()
	check := typecheck.New(t, []string{
		"github.com/ocireg/registry/registrytest/content",
		"github.com/ocireg/registry/registrytest/content/referrer",
		"github.com/opencontainers/image-spec/specs-go/v1",
	}, "image content.Content", "blob content.Blob")
	for expr, want := range map[string]string{
		"content.Index(content.Layers(1))":                               "content.LayerPart does not implement content.IndexPart",
		"content.Index(content.Layers(1).Absent())":                      "content.LayerPart does not implement content.IndexPart",
		"content.Index(content.LayerSizes(1))":                           "content.LayerPart does not implement content.IndexPart",
		"content.Index(content.Files(nil), content.FS(nil))":             "content.LayerPart does not implement content.IndexPart",
		"content.Index(blob)":                                            "content.Blob does not implement content.IndexPart",
		"content.Index(content.Config(blob))":                            "content.ArtifactPart does not implement content.IndexPart",
		"content.Index(content.Seed(1))":                                 "content.ArtifactPart does not implement content.IndexPart",
		"content.Index(content.ImageConfig(v1.ImageConfig{}))":           "content.ImagePart does not implement content.IndexPart",
		"content.Image(image)":                                           "content.Content does not implement content.ImagePart",
		"content.Image(image.Absent())":                                  "content.ChildPart does not implement content.ImagePart",
		`content.Image(content.Platforms("linux/arm64"))`:                "content.ChildPart does not implement content.ImagePart",
		`content.Artifact("a/b", image)`:                                 "content.Content does not implement content.ArtifactPart",
		`content.Artifact("a/b", content.ImageConfig(v1.ImageConfig{}))`: "content.ImagePart does not implement content.ArtifactPart",
		`referrer.SPDX(image, content.Platforms("linux/arm64"))`:         "content.ChildPart does not implement content.ArtifactPart",
		"content.Layers(blob)":                                           "cannot use blob",
		"blob.Uncompressed()":                                            "has no field or method Uncompressed",

		"content.Index(image, image.Absent(), content.Platforms())":                                      "",
		`content.Index(content.Subject(image), content.Docker(), content.Annotation("a", "b"))`:          "",
		"content.Image(blob, blob.Absent(), content.Layers(1).Absent())":                                 "",
		"content.Image(content.Config(blob), content.Seed(1), content.ImageConfig(v1.ImageConfig{}))":    "",
		`content.Artifact("a/b", blob, content.Layers(1), content.Config(blob), content.Subject(image))`: "",
		`referrer.SPDX(image, content.Annotation("a", "b"))`:                                             "",
	} {
		if err := check(expr); want != "" {
			require.ErrorContains(t, err, want, expr)
		} else {
			require.NoError(t, err, expr)
		}
	}
}
