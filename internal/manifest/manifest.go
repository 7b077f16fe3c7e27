// Package manifest reads the parts of a manifest that a registry needs: its
// type, the content that it refers to, and its entry in a list of referrers.
package manifest

import (
	// go-digest supports the algorithms whose packages the program links
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

// A Document holds the properties of a manifest that a registry reads. Only the
// properties of the manifest's type are set: Parse ignores layers in an index,
// and blobs in an image. In a manifest of a type that is not [Known], it reads
// all properties, but ignores those with a value of a wrong type, and objects
// without a digest in the place of descriptors.
type Document struct {
	SchemaVersion int64
	MediaType     string
	ArtifactType  string
	Config        *ocispec.Descriptor
	Layers        []ocispec.Descriptor
	Blobs         []ocispec.Descriptor
	Manifests     []ocispec.Descriptor
	Subject       *ocispec.Descriptor
	Annotations   map[string]string

	inferred string // the type that the document's own properties show
	err      error  // the first error in the properties, for Check
}

// Parse reads a manifest of the media type or, if mediaType is "", of the type that
// its own fields show (see [Document.Type]). It returns an error if the content
// is not JSON. [Document.Check] reports everything else.
func Parse(mediaType string, content []byte) (Document, error) {
	root, err := parse(content)
	if err != nil {
		return Document{}, err
	}
	var version, ownType, artifactType, config, layers, blobs, manifests, subject, annotations, signatures value
	properties := [...]struct {
		name  string
		value *value
	}{
		{"schemaVersion", &version}, {"mediaType", &ownType}, {"artifactType", &artifactType}, {"config", &config}, {"layers", &layers},
		{"blobs", &blobs}, {"manifests", &manifests}, {"subject", &subject}, {"annotations", &annotations}, {"signatures", &signatures},
	}
	var r reader
	r.object(path{name: "manifest"}, root, func(name string, v value) {
		for _, p := range properties {
			if p.name == name && v != "null" {
				*p.value = v
			}
		}
	})

	var d Document
	r.integer(path{name: "schemaVersion"}, version, &d.SchemaVersion)
	r.string(path{name: "mediaType"}, ownType, &d.MediaType)
	switch {
	case d.MediaType != "":
		d.inferred = Canonical(d.MediaType)
	case d.SchemaVersion == 1 && signatures != "":
		d.inferred = DockerSchema1Signed
	case d.SchemaVersion == 1:
		d.inferred = DockerSchema1
	case config != "":
		d.inferred = ocispec.MediaTypeImageManifest
	case manifests != "":
		d.inferred = ocispec.MediaTypeImageIndex
	}
	if mediaType == "" {
		mediaType = d.inferred
	}
	image, index, unknown := Image(mediaType), Index(mediaType), !Known(mediaType)
	r.onlyDigested = unknown
	if image || unknown {
		d.Config = r.descriptor(path{name: "config"}, config)
		r.descriptors(path{name: "layers"}, layers, &d.Layers)
	}
	if index || unknown {
		r.descriptors(path{name: "manifests"}, manifests, &d.Manifests)
	}
	if mediaType == OCIArtifactManifest || unknown {
		r.descriptors(path{name: "blobs"}, blobs, &d.Blobs)
	}
	r.string(path{name: "artifactType"}, artifactType, &d.ArtifactType)
	d.Subject = r.descriptor(path{name: "subject"}, subject)
	r.texts(path{name: "annotations"}, annotations, &d.Annotations)

	switch {
	case root[0] != '{':
		d.err = fmt.Errorf("manifest is %s, not an object", root.kind())
	case unknown:
	case image && manifests != "":
		d.err = errors.New("image manifest has manifests, as only an index does")
	case index && config+layers != "":
		d.err = errors.New("index has a config or layers, as only an image manifest does")
	case signatures != "" && Opaque(mediaType):
		d.err = errSigned
	default:
		d.err = r.err
	}
	return d, nil
}

// Type returns the media type for a manifest that was pushed without one: its own
// mediaType, or the type that its properties show, or "".
func (d *Document) Type() string { return d.inferred }

// ErrNoVersion is the error of [Document.Check] for an image manifest or index
// whose schemaVersion is missing or 0, if nothing else is wrong with it.
var ErrNoVersion = errors.New("schemaVersion is missing, and must be 2")

// errSigned is the error for a signed manifest of Docker's schema 1. The digest
// of such a manifest is that of its payload (Docker Registry HTTP API V2, Digest
// Header), and not, as in this registry, that of its bytes.
var errSigned = errors.New("signed manifests of Docker's schema 1 are not supported")

// Check returns an error if the document is not a valid manifest of the type. If
// the document has a mediaType, it must be the type. If the type is not [Known],
// the document need only be an object, and have valid digests and sizes in the
// descriptors that Parse found.
func (d *Document) Check(mediaType string) error {
	if d.MediaType != "" && !strings.EqualFold(d.MediaType, mediaType) {
		return fmt.Errorf("mediaType is %.*q in the manifest, but the manifest was pushed as %.*q",
			maxTypeInErrors, d.MediaType, maxTypeInErrors, mediaType)
	}
	if d.err != nil {
		return d.err
	}
	if mediaType == DockerSchema1Signed {
		return errSigned
	}
	if Image(mediaType) && d.Config == nil {
		return errors.New("image manifest has no config")
	}
	versioned := Image(mediaType) || Index(mediaType)
	if versioned && d.SchemaVersion != 2 && d.SchemaVersion != 0 {
		return fmt.Errorf("schemaVersion is %d, not 2", d.SchemaVersion)
	}
	for desc, field := range d.references {
		if _, _, err := names.Digest(string(desc.Digest)); err != nil {
			return fmt.Errorf("%s has digest %.*q: %w", field, maxDigestInErrors, desc.Digest, err)
		}
		if desc.Size < 0 {
			return fmt.Errorf("%s %s has size %d", field, desc.Digest, desc.Size)
		}
	}
	if versioned && d.SchemaVersion == 0 {
		return ErrNoVersion
	}
	return nil
}

// Error messages quote at most these numbers of characters of a client's text.
const (
	maxTypeInErrors   = 100
	maxDigestInErrors = 200
)

// references yields every descriptor with the name of its property.
func (d *Document) references(yield func(*ocispec.Descriptor, string) bool) {
	if d.Config != nil && !yield(d.Config, "config") {
		return
	}
	for _, list := range []struct {
		property    string
		descriptors []ocispec.Descriptor
	}{{"layers", d.Layers}, {"blobs", d.Blobs}, {"manifests", d.Manifests}} {
		for i := range list.descriptors {
			if !yield(&list.descriptors[i], list.property) {
				return
			}
		}
	}
	if d.Subject != nil {
		yield(d.Subject, "subject")
	}
}

// RequiredBlobs yields the digests of the blobs that the manifest consists of. It
// leaves out blobs that the registry need not have, because they are not
// distributable or have URLs.
func (d *Document) RequiredBlobs(yield func(digest.Digest) bool) {
	if d.Config != nil && !yield(d.Config.Digest) {
		return
	}
	for _, list := range [][]ocispec.Descriptor{d.Layers, d.Blobs} {
		for i := range list {
			if len(list[i].URLs) == 0 && !nonDistributable(list[i].MediaType) && !yield(list[i].Digest) {
				return
			}
		}
	}
}

func nonDistributable(mediaType string) bool {
	mediaType = strings.ToLower(mediaType)
	return strings.HasPrefix(mediaType, ociNonDistributable) || strings.HasPrefix(mediaType, dockerForeignLayer)
}

// SubjectDigest returns the digest of the manifest's subject, or "" if the
// manifest has no subject with a valid digest.
func (d *Document) SubjectDigest() digest.Digest {
	if d.Subject == nil {
		return ""
	}
	if _, _, err := names.Digest(string(d.Subject.Digest)); err != nil {
		return ""
	}
	return d.Subject.Digest
}

// ReferrerType returns the artifactType of the manifest's entry in a list of
// referrers (distribution spec, section Listing Referrers). It is the
// artifactType of the manifest. If that is missing and the manifest is no index,
// it is the media type of the config.
func (d *Document) ReferrerType() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}

// A reader reads JSON values into the properties of a document. The value ""
// stands for a missing property.
type reader struct {
	decoder

	// onlyDigested is set for a manifest of a type that is not Known. Its config and
	// layers need not be descriptors (distribution spec, Definitions: a manifest is a
	// JSON document, and may have descriptors), so the document has only those with a
	// digest.
	onlyDigested bool
}

func (r *reader) integer(property path, v value, to *int64) {
	if v != "" {
		*to = r.decoder.integer(property, v)
	}
}

func (r *reader) string(property path, v value, to *string) {
	if v != "" {
		*to = r.decoder.string(property, v)
	}
}

// texts reads a map of strings, such as annotations.
func (r *reader) texts(property path, v value, to *map[string]string) {
	if v == "" {
		return
	}
	all := make(map[string]string)
	r.object(property, v, func(name string, v value) {
		all[strings.Clone(name)] = r.decoder.string(property, v)
	})
	if v[0] == '{' {
		*to = all
	}
}

func (r *reader) descriptors(property path, v value, to *[]ocispec.Descriptor) {
	if v == "" || !r.is(property, v, '[', "an array") {
		return
	}
	*to = []ocispec.Descriptor{}
	for e := range v.elements {
		*to = append(*to, ocispec.Descriptor{})
		last := len(*to) - 1
		if !r.readDescriptor(property, e, &(*to)[last]) {
			*to = (*to)[:last]
		}
	}
}

func (r *reader) descriptor(property path, v value) *ocispec.Descriptor {
	if v == "" {
		return nil
	}
	var d ocispec.Descriptor
	if !r.readDescriptor(property, v, &d) {
		return nil
	}
	return &d
}

// readDescriptor reads a descriptor into d. It returns false if the document must
// not have the descriptor, see onlyDigested.
func (r *reader) readDescriptor(property path, v value, d *ocispec.Descriptor) bool {
	r.object(property, v, func(name string, v value) { r.descriptorMember(property, name, v, d) })
	return d.Digest != "" || !r.onlyDigested
}

// descriptorMember reads a member of a descriptor's JSON object into d.
func (r *reader) descriptorMember(property path, name string, v value, d *ocispec.Descriptor) {
	switch name {
	case "mediaType":
		d.MediaType = r.decoder.string(path{property.name, "mediaType"}, v)
	case "digest":
		d.Digest = digest.Digest(r.decoder.string(path{property.name, "digest"}, v))
	case "size":
		d.Size = r.decoder.integer(path{property.name, "size"}, v)
	case "urls":
		d.URLs = r.strings(path{property.name, "urls"}, v)
	case "artifactType":
		d.ArtifactType = r.decoder.string(path{property.name, "artifactType"}, v)
	case "annotations":
		r.texts(path{property.name, "annotations"}, v, &d.Annotations)
	case "platform":
		// A registry keeps platform and data as they are, so their errors do not matter.
		var p ocispec.Platform
		if v[0] == '{' && json.Unmarshal([]byte(v), &p) == nil {
			d.Platform = &p
		}
	case "data":
		json.Unmarshal([]byte(v), &d.Data)
	}
}
