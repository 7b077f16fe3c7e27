// Package manifest reads what a registry has to know of a manifest: what it
// refers to and how it is listed as a referrer.
package manifest

import (
	"bytes"
	// go-digest knows the algorithms that are linked into the program.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/names"
)

// The media types of manifests that image-spec does not name.
const (
	DockerManifest       = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList   = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerSchema1        = "application/vnd.docker.distribution.manifest.v1+json"
	DockerSchema1Signed  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	OCIArtifactManifest  = "application/vnd.oci.artifact.manifest.v1+json"
	dockerForeignLayer   = "application/vnd.docker.image.rootfs.foreign."
	ociNonDistributable  = "application/vnd.oci.image.layer.nondistributable."
	maxMediaTypeInErrors = 100
)

// A Document is the part of a manifest that a registry reads. Manifests of
// every kind are read alike; those of a kind that nobody has heard of are
// believed where they use the same fields.
type Document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Blobs         []ocispec.Descriptor `json:"blobs"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// Opaque reports whether manifests of the type are stored and served without
// being looked into: those of Docker's schema 1 name their blobs in ways of
// their own.
func Opaque(mediaType string) bool {
	return mediaType == DockerSchema1 || mediaType == DockerSchema1Signed
}

// Index reports whether manifests of the type list other manifests.
func Index(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == DockerManifestList
}

// Image reports whether manifests of the type have a config and layers.
func Image(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == DockerManifest
}

// Known reports whether the type is one of those that a registry knows the
// form of, and so the only ones that Check has an opinion about.
func Known(mediaType string) bool {
	return Index(mediaType) || Image(mediaType) || Opaque(mediaType) || mediaType == OCIArtifactManifest
}

// Parse reads the content of a manifest.
func Parse(content []byte) (Document, error) {
	var d Document
	if err := json.Unmarshal(content, &d); err != nil {
		return Document{}, fmt.Errorf("manifest is not valid JSON: %w", err)
	}
	if trimmed := bytes.TrimLeft(content, " \t\r\n"); trimmed[0] != '{' {
		return Document{}, errors.New("manifest is not a JSON object")
	}
	return d, nil
}

// Type returns the media type of a manifest that does not come with one: that
// of its own mediaType field or else the one that its fields show, or "".
func (d *Document) Type() string {
	switch {
	case d.MediaType != "":
		return d.MediaType
	case d.SchemaVersion == 1:
		return DockerSchema1
	case d.Config != nil:
		return ocispec.MediaTypeImageManifest
	case d.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	}
	return ""
}

// Check returns an error if the document is not a valid manifest of the type.
func (d *Document) Check(mediaType string) error {
	if d.MediaType != "" && d.MediaType != mediaType {
		return fmt.Errorf("mediaType is %.*q in the manifest, but it was pushed as %.*q",
			maxMediaTypeInErrors, d.MediaType, maxMediaTypeInErrors, mediaType)
	}
	switch {
	case Image(mediaType):
		if d.Config == nil {
			return errors.New("image manifest has no config")
		}
		if d.Manifests != nil {
			return errors.New("image manifest has a manifests field, as only an index does")
		}
	case Index(mediaType):
		if d.Config != nil || d.Layers != nil {
			return errors.New("index has a config or layers, as only an image manifest does")
		}
	}
	if (Image(mediaType) || Index(mediaType)) && d.SchemaVersion != 2 {
		return fmt.Errorf("schemaVersion is %d, not 2", d.SchemaVersion)
	}
	for desc, field := range d.references {
		if err := validate(desc.Digest); err != nil {
			return fmt.Errorf("%s has digest %q: %w", field, desc.Digest, err)
		}
		if desc.Size < 0 {
			return fmt.Errorf("%s %s has size %d", field, desc.Digest, desc.Size)
		}
	}
	return nil
}

// validate is d.Validate, without its regular expressions for what nearly all
// digests are.
func validate(d digest.Digest) error {
	if encoded, ok := strings.CutPrefix(string(d), "sha256:"); ok && len(encoded) == 64 && names.Hex(encoded) {
		return nil
	}
	return d.Validate()
}

// references yields every descriptor with the name of the field it is in.
func (d *Document) references(yield func(*ocispec.Descriptor, string) bool) {
	if d.Config != nil && !yield(d.Config, "config") {
		return
	}
	for _, list := range []struct {
		field       string
		descriptors []ocispec.Descriptor
	}{{"layers", d.Layers}, {"blobs", d.Blobs}, {"manifests", d.Manifests}} {
		for i := range list.descriptors {
			if !yield(&list.descriptors[i], list.field) {
				return
			}
		}
	}
	if d.Subject != nil {
		yield(d.Subject, "subject")
	}
}

// RequiredBlobs yields the digests of the blobs that the manifest is made of
// and that a registry can be expected to have: all but the layers that are
// not to be distributed.
func (d *Document) RequiredBlobs(yield func(digest.Digest) bool) {
	if d.Config != nil && !yield(d.Config.Digest) {
		return
	}
	for _, list := range [][]ocispec.Descriptor{d.Layers, d.Blobs} {
		for i := range list {
			if !nonDistributable(&list[i]) && !yield(list[i].Digest) {
				return
			}
		}
	}
}

func nonDistributable(d *ocispec.Descriptor) bool {
	return strings.HasPrefix(d.MediaType, ociNonDistributable) ||
		strings.HasPrefix(d.MediaType, dockerForeignLayer)
}

// SubjectDigest returns the digest of the manifest's subject, or "" if it has
// none that is valid.
func (d *Document) SubjectDigest() digest.Digest {
	if d.Subject == nil || validate(d.Subject.Digest) != nil {
		return ""
	}
	return d.Subject.Digest
}

// ReferrerType returns the artifactType with which the manifest is listed as
// a referrer (distribution spec, Listing Referrers): its own or else, except
// in an index, the media type of its config.
func (d *Document) ReferrerType() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}
