package referrer

import (
	"encoding/json"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

// Users compare content with constants, so a digest must never change.
func TestDigestsAreForever(t *testing.T) {
	t.Parallel()
	image := content.Image()
	for name, test := range map[string]struct {
		content content.Content
		digest  digest.Digest
	}{
		"signature by cosign":      {CosignSignature(image), "sha256:123e9d53d251fc83fdca28040577533fc6f9bcf999fe30f945c36c7f5c56eb77"},
		"signature by notation":    {NotationSignature(image), "sha256:98c4ed43f3ae23f805e34f9d4b8cf11e6eafecaf9450df25ad2075008ea9bcac"},
		"attestation":              {Attestation(content.Index(image)), "sha256:228911a5eb793567253a092962022d9d04ed0018d0ca6b641a6d7cd8f2e74828"},
		"SPDX":                     {SPDX(image, content.Annotation("a", "1")), "sha256:e5a8d792ea2466e91a3c22d8cf7ba04a95b40a1a10db5f3946c383efb05184a8"},
		"CycloneDX":                {CycloneDX(image), "sha256:a8826d56ed3d10555284438ab4cb05bc2c4d40d775c7d6a3c7359c5584a753cd"},
		"signature of a signature": {CosignSignature(CosignSignature(image)), "sha256:9c15beb469a7846f760914afe503dc42a1d0d743bbd84acf633ef44f9648fdd0"},
	} {
		require.NoError(t, test.content.Err(), name)
		require.Equal(t, test.digest, test.content.Digest, name)
		require.Equal(t, content.Raw(test.content.MediaType, test.content.Manifest).Annotations, test.content.Annotations, name)
	}
}

// Clients look for referrers by the artifact type in the list.
func TestTypesAreListed(t *testing.T) {
	t.Parallel()
	s := content.State{Store: memstore.New()}
	subject := s.Push(t, "app:v1", content.Image())
	types := map[string]content.Content{
		"application/vnd.dev.sigstore.bundle.v0.3+json": CosignSignature(subject),
		"application/vnd.cncf.notary.signature":         NotationSignature(subject),
		"application/vnd.in-toto+json":                  Attestation(subject),
		"application/spdx+json":                         SPDX(subject),
		"application/vnd.cyclonedx+json":                CycloneDX(subject),
	}
	for _, c := range types {
		s.Push(t, "app", c)
		require.True(t, json.Valid(documentOf(t, c)))
	}
	listed := s.Referrers(t, "app:v1")
	require.Len(t, listed, len(types))
	for _, r := range listed {
		require.Equal(t, types[r.ArtifactType].Digest, r.Digest, r.ArtifactType)
	}
}

func TestDocumentsNameTheirSubject(t *testing.T) {
	t.Parallel()
	subject := content.Image()
	for _, c := range []content.Content{Attestation(subject), SPDX(subject), CycloneDX(subject)} {
		require.Contains(t, string(documentOf(t, c)), subject.Digest.Encoded())
	}
}

func TestPartsOfTheCallerOverrideThoseOfTheArtifact(t *testing.T) {
	t.Parallel()
	subject := content.Image()
	require.Equal(t, "mine", SPDX(subject, content.ArtifactType("mine")).ArtifactType)
	signature := CosignSignature(subject, content.Annotation("dev.sigstore.bundle.content", "mine"))
	require.Equal(t, "mine", signature.Annotations["dev.sigstore.bundle.content"])
}

func TestBrokenSubject(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, CosignSignature(content.Image(content.Platform("linux"))).Err(), `"linux" is not a platform`)
	elsewhere := content.Content{MediaType: "a/b", Digest: digest.FromString("x"), Size: 9}
	require.NoError(t, SPDX(elsewhere).Err())
}

func documentOf(t *testing.T, c content.Content) []byte {
	t.Helper()
	document, err := io.ReadAll(c.Layers[0].Open())
	require.NoError(t, err)
	return document
}
