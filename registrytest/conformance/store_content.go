package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

func (t *storeTest) create(repo string, size int64) registry.BlobWriter {
	t.Helper()
	w, err := t.store.CreateBlob(t.ctx, repo, size)
	if err != nil {
		t.Fatalf("CreateBlob(%s, %d): %v", repo, size, err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func (t *storeTest) write(w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write(%d bytes) = %d, %v", len(p), n, err)
	}
}

func (t *storeTest) commit(w registry.BlobWriter, d digest.Digest) {
	t.Helper()
	if err := w.Commit(t.ctx, d); err != nil {
		t.Fatalf("Commit(%s): %v", d, err)
	}
}

// push puts the content as a blob and returns its digest.
func (t *storeTest) push(repo string, content []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(content)
	w := t.create(repo, int64(len(content)))
	t.write(w, content)
	t.commit(w, d)
	return d
}

func (t *storeTest) open(repo string, d digest.Digest) io.ReadSeekCloser {
	t.Helper()
	r, err := t.store.OpenBlob(t.ctx, repo, d)
	if err != nil {
		t.Fatalf("OpenBlob(%s, %s): %v", repo, d, err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func (t *storeTest) delete(repo string, d digest.Digest) {
	t.Helper()
	if err := t.store.DeleteBlob(t.ctx, repo, d); err != nil {
		t.Fatalf("DeleteBlob(%s, %s): %v", repo, d, err)
	}
}

// An imageSpec describes an image manifest for a test.
type imageSpec struct {
	algorithm    digest.Algorithm // "" stands for SHA-256
	noMediaType  bool
	artifactType string
	annotations  map[string]string
	subject      digest.Digest
}

// image puts the blobs of an image in the store. It returns the manifest
// without putting it in the store.
func (t *storeTest) image(repo string, spec imageSpec) registry.Manifest {
	t.Helper()
	config := t.json(map[string]any{"architecture": "amd64", "os": "linux", "author": t.bytes(8)})
	layer := t.bytes(64)
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: spec.artifactType,
		Config:       ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: t.push(repo, config), Size: int64(len(config))},
		Layers:       []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: t.push(repo, layer), Size: int64(len(layer))}},
		Annotations:  spec.annotations,
	}
	if spec.noMediaType {
		m.MediaType = ""
	}
	if spec.subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: spec.subject, Size: 100}
	}
	algorithm := spec.algorithm
	if algorithm == "" {
		algorithm = digest.SHA256
	}
	return t.parse(algorithm, ocispec.MediaTypeImageManifest, t.json(m))
}

// index puts the manifests in the store. It returns an index of them without
// putting it in the store.
func (t *storeTest) index(repo string, manifests ...registry.Manifest) registry.Manifest {
	t.Helper()
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
	for _, m := range manifests {
		t.put(repo, m)
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))})
	}
	return t.parse(digest.SHA256, ocispec.MediaTypeImageIndex, t.json(index))
}

// referrers puts n manifests with the subject, and returns the manifests.
func (t *storeTest) referrers(repo string, subject digest.Digest, n int) []registry.Manifest {
	t.Helper()
	manifests := t.newReferrers(repo, subject, n)
	for _, m := range manifests {
		t.put(repo, m)
	}
	return manifests
}

// newReferrers pushes the blobs of n manifests with the subject, and returns the
// manifests.
func (t *storeTest) newReferrers(repo string, subject digest.Digest, n int) []registry.Manifest {
	t.Helper()
	base := t.image(repo, imageSpec{subject: subject})
	manifests := make([]registry.Manifest, n)
	for i := range manifests {
		doc := map[string]any{}
		if err := json.Unmarshal(base.Content, &doc); err != nil {
			t.Fatal(err)
		}
		doc["annotations"] = map[string]string{"number": fmt.Sprint(i)}
		manifests[i] = t.parse(digest.SHA256, base.MediaType, t.json(doc))
	}
	return manifests
}

func (t *storeTest) json(v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// parse returns a manifest with the content, whose fields are set as a handler
// sets them.
func (t *storeTest) parse(algorithm digest.Algorithm, mediaType string, content []byte) registry.Manifest {
	t.Helper()
	m := registry.Manifest{MediaType: mediaType, Digest: algorithm.FromBytes(content), Content: content}
	doc := t.document(m)
	m.Subject, m.ArtifactType, m.Annotations = doc.SubjectDigest(), doc.ReferrerType(), doc.Annotations
	return m
}

func (t *storeTest) document(m registry.Manifest) *manifest.Document {
	t.Helper()
	doc, err := manifest.Parse(m.MediaType, m.Content)
	if err == nil {
		err = doc.Check(m.MediaType)
	}
	if err != nil {
		t.Fatalf("the test built an invalid manifest: %v", err)
	}
	return &doc
}

// copyBlobs mounts the blobs of a manifest from one repository in another.
func (t *storeTest) copyBlobs(from, to string, m registry.Manifest) {
	t.Helper()
	for d := range t.document(m).RequiredBlobs {
		if err := t.store.MountBlob(t.ctx, to, d, from); err != nil {
			t.Fatalf("MountBlob(%s, %s, %s): %v", to, d, from, err)
		}
	}
}

// put puts a manifest with the tags. Then it clears the slice of tags, since the
// store must not keep it.
func (t *storeTest) put(repo string, m registry.Manifest, tags ...string) {
	t.Helper()
	passed := slices.Clone(tags)
	if err := t.store.PutManifest(t.ctx, repo, m, passed, nil); err != nil {
		t.Fatalf("PutManifest(%s, %s, %q): %v", repo, m.Digest, tags, err)
	}
	clear(passed)
}

func (t *storeTest) deleteManifest(repo string, d digest.Digest) {
	t.Helper()
	if err := t.store.DeleteManifest(t.ctx, repo, d); err != nil {
		t.Fatalf("DeleteManifest(%s, %s): %v", repo, d, err)
	}
}
