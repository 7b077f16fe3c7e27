package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest/content"
)

// The user of the image is not root, and has no name, because the image has no
// /etc/passwd.
const (
	userID = 65532
	user   = "65532:65532"
)

// A recipe holds the input for the images of all platforms.
type recipe struct {
	version  string
	revision string // the commit of the source, or ""
	license  []byte
}

// labels returns the annotations of the index and the images, which are also the
// labels in the config of each image.
func (r recipe) labels() map[string]string {
	labels := map[string]string{
		ocispec.AnnotationTitle:       "ocireg",
		ocispec.AnnotationDescription: "An OCI registry for tests",
		ocispec.AnnotationLicenses:    "Apache-2.0",
		ocispec.AnnotationVersion:     r.version,
	}
	if r.revision != "" {
		labels[ocispec.AnnotationRevision] = r.revision
	}
	return labels
}

// image returns the image for a platform. Its only layer contains the program.
func (r recipe) image(platform string, program []byte) (content.Content, error) {
	unpacked, err := r.layer(program)
	if err != nil {
		return content.Content{}, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(unpacked); err != nil {
		return content.Content{}, err
	}
	if err := z.Close(); err != nil {
		return content.Content{}, err
	}

	parts := []content.ImagePart{content.Platform(platform), content.Bytes(ocispec.MediaTypeImageLayerGzip, packed.Bytes())}
	for _, a := range r.annotations() {
		parts = append(parts, a)
	}
	image := content.Image(parts...)
	config, err := json.Marshal(ocispec.Image{
		Platform: *image.Platform,
		Config: ocispec.ImageConfig{
			User:         user,
			ExposedPorts: map[string]struct{}{"5000/tcp": {}},
			Env:          []string{"OCIREG_ADDR=0.0.0.0:5000"},
			Entrypoint:   []string{"/ocireg"},
			Labels:       r.labels(),
		},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(unpacked)}},
		History: []ocispec.History{{CreatedBy: "go run ./internal/image"}},
	})
	if err != nil {
		return content.Content{}, err
	}
	return content.Image(append(parts, content.Config(content.Bytes(ocispec.MediaTypeImageConfig, config)))...), nil
}

// index returns the index of the images for all platforms.
func (r recipe) index(images []content.IndexPart) content.Content {
	for _, a := range r.annotations() {
		images = append(images, a)
	}
	return content.Index(images...)
}

func (r recipe) annotations() (parts []content.Part) {
	labels := r.labels()
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, content.Annotation(key, labels[key]))
	}
	return parts
}

// layer returns a tar archive with the program, its license, a directory for temporary
// files, and a directory for content that the user of the image may write to.
func (r recipe) layer(program []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		tar.Header
		content []byte
	}{
		{tar.Header{Name: "LICENSE", Mode: 0o644}, r.license},
		{tar.Header{Name: "data/", Mode: 0o755, Uid: userID, Gid: userID}, nil},
		{tar.Header{Name: "ocireg", Mode: 0o755}, program},
		{tar.Header{Name: "tmp/", Mode: 0o1777}, nil},
	} {
		h := f.Header
		h.Typeflag, h.Size = tar.TypeReg, int64(len(f.content))
		if f.content == nil {
			h.Typeflag = tar.TypeDir
		}
		// Some clients treat the year 1970 as a missing time.
		h.ModTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
