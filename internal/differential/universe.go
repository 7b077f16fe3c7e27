package differential

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

// A universe is the content that the requests of a sequence push, read and
// delete.
type universe struct {
	repos, tags []string
	blobs       []item
	manifests   []item
}

// An item is the content of a blob or manifest.
type item struct {
	mediaType string
	digest    digest.Digest
	content   string
}

const (
	numBlobs     = 6
	numManifests = 14
	unknownType  = "application/vnd.example.thing+json"
)

// newUniverse makes random content. If overlap is set, some content is both a
// blob and a manifest, and some manifests have several media types.
func newUniverse(rng *rand.Rand, repos []string, overlap bool) *universe {
	u := &universe{repos: repos, tags: []string{"v1", "v2", "latest"}}
	for i := range numBlobs {
		u.blobs = append(u.blobs, newItem(rng, "application/octet-stream", strings.Repeat(fmt.Sprintf("blob %d ", i), i*i)))
	}
	for i := range numManifests {
		mediaType, m := u.manifest(rng, i, overlap)
		content, _ := json.Marshal(m)
		u.manifests = append(u.manifests, newItem(rng, mediaType, string(content)))
	}
	if overlap {
		for range 3 {
			u.blobs = append(u.blobs, u.manifests[rng.IntN(numManifests)])
		}
		for range 2 {
			// Add the content of a manifest again under another media type.
			m := u.manifests[rng.IntN(numManifests)]
			m.mediaType = []string{manifest.DockerManifestList, ocispec.MediaTypeImageIndex, unknownType}[rng.IntN(3)]
			u.manifests = append(u.manifests, m)
		}
	}
	return u
}

func newItem(rng *rand.Rand, mediaType, content string) item {
	algorithm := digest.SHA256
	if rng.IntN(8) == 0 {
		algorithm = digest.SHA512
	}
	return item{mediaType, algorithm.FromString(content), content}
}

func (i item) descriptor(mediaType string) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": i.digest, "size": len(i.content)}
}

// manifest returns the media type and the content of a random manifest. The
// manifest names some of the blobs and manifests that the universe already has.
func (u *universe) manifest(rng *rand.Rand, i int, overlap bool) (mediaType string, m map[string]any) {
	blob := func() item { return u.blobs[rng.IntN(len(u.blobs))] }
	m = map[string]any{"schemaVersion": 2, "annotations": map[string]string{"n": fmt.Sprint(i)}}
	earlier := func() item {
		if len(u.manifests) == 0 {
			return newItem(rng, ocispec.MediaTypeImageManifest, "missing")
		}
		return u.manifests[rng.IntN(len(u.manifests))]
	}
	switch kind := rng.IntN(10); {
	case kind < 5:
		mediaType = pick(rng, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageManifest, manifest.DockerManifest)
		m["config"] = blob().descriptor("application/vnd.oci.image.config.v1+json")
		layers := []any{}
		for range rng.IntN(3) {
			layer := blob()
			if overlap && rng.IntN(4) == 0 {
				layer = earlier()
			}
			layers = append(layers, layer.descriptor(ocispec.MediaTypeImageLayer))
		}
		if rng.IntN(6) == 0 {
			layers = append(layers, newItem(rng, "", "elsewhere").descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar"))
		}
		m["layers"] = layers
	case kind < 8:
		mediaType = pick(rng, ocispec.MediaTypeImageIndex, manifest.DockerManifestList)
		children := []any{}
		for range rng.IntN(4) {
			child := earlier()
			childType := child.mediaType
			switch n := rng.IntN(8); {
			case n == 0:
				child, childType = blob(), ocispec.MediaTypeImageLayer
			case n == 1:
				childType = unknownType
			case n < 4 && overlap:
				childType = pick(rng, ocispec.MediaTypeImageIndex, manifest.DockerManifestList, ocispec.MediaTypeImageManifest)
			}
			children = append(children, child.descriptor(childType))
		}
		m["manifests"] = children
	case kind < 9:
		mediaType = manifest.OCIArtifactManifest
		m["artifactType"] = "application/vnd.example.artifact"
		m["blobs"] = []any{blob().descriptor("text/plain")}
	default:
		mediaType = unknownType
		m["manifests"] = []any{earlier().descriptor(ocispec.MediaTypeImageManifest)}
	}
	if rng.IntN(3) == 0 {
		m["subject"] = earlier().descriptor(ocispec.MediaTypeImageManifest)
		m["artifactType"] = pick(rng, "application/vnd.example.a", "application/vnd.example.b")
	}
	if !overlap || rng.IntN(2) == 0 {
		m["mediaType"] = mediaType
	}
	return mediaType, m
}

func pick(rng *rand.Rand, choices ...string) string { return choices[rng.IntN(len(choices))] }
