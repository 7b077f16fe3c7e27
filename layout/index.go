package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/ordered"
)

// An index is what an index.json says. It is not changed once others see it:
// a write makes a draft of it and publishes that.
type index struct {
	layout *imageLayout

	// head and tail are the text of the file before and after the array of
	// entries.
	head, tail []byte

	// entries are in the order of the file.
	entries []*entry

	// repos are the repositories that the entries belong to.
	repos ordered.Map[*repository]

	// file is the file that was read or written, nil if there is none.
	file fs.FileInfo

	// settled says that the file cannot change without another size, time or
	// identity. Until it is, text is its content, to be compared.
	settled atomic.Bool
	text    []byte
}

// A repository is what an index says of one repository. Like the index, it is
// not changed once others see it.
type repository struct {
	// host is what to write before the name, as in docker.io/library/alpine.
	host string

	// tags and manifests have the entries with a tag or a digest, in the order
	// of the file. The first one counts, as it does for skopeo and regctl.
	tags      ordered.Map[[]*entry]
	manifests ordered.Map[[]*entry]

	// reach is the same in all versions of the repository, until somebody else
	// changes it.
	reach *reach
}

// An entry is one of the descriptors in an index.json. It is never changed.
type entry struct {
	reference
	mediaType string
	digest    digest.Digest // "" if it is not one that can be served
	size      int64
	raw       []byte // as it is in the file

	// attached says that the entry has the name of the image that it is a
	// signature or the like of, so that its tag is another entry's.
	attached bool
}

func (e *entry) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: e.mediaType, Digest: e.digest, Size: e.size}
}

// tagged returns the entry that a tag names, or nil.
func (r *repository) tagged(tag string) *entry {
	entries, _ := r.tags.Get(tag)
	return first(entries)
}

// manifest returns the entry that counts for a digest, or nil.
func (r *repository) manifest(d digest.Digest) *entry {
	entries, _ := r.manifests.Get(string(d))
	return first(entries)
}

// untagged returns an entry that names a manifest without a tag and can be given
// one, or nil.
func (r *repository) untagged(d digest.Digest) *entry {
	entries, _ := r.manifests.Get(string(d))
	for _, e := range entries {
		if e.tag == "" && !e.attached {
			return e
		}
	}
	return nil
}

func first(entries []*entry) *entry {
	if len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// emptyIndex is the index.json of a layout that has nothing yet.
const emptyIndex = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`

// parseIndex reads the text of an index.json of the layout.
func parseIndex(l *imageLayout, text []byte) (*index, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("no valid JSON: %w", json.Unmarshal(text, new(any)))
	}
	whole := value{space(text, 0), len(bytes.TrimRight(text, " \t\r\n"))}
	if text[whole.start] != '{' {
		return nil, errors.New("no JSON object")
	}
	var list value
	first := true
	for name, v := range members(text, whole) {
		if first = false; name == "manifests" {
			list = v
		}
	}
	d := draft{index: &index{layout: l}}
	if list.end == 0 {
		d.head = slices.Concat(text[:whole.end-1], []byte(`,"manifests":`))
		if first {
			d.head = slices.Concat(text[:whole.end-1], []byte(`"manifests":`))
		}
		d.tail = text[whole.end-1:]
		return d.index, nil
	}
	d.head, d.tail = text[:list.start], text[list.end:]
	switch text[list.start] {
	case 'n': // null, as Go programs write an empty list
	case '[':
		for v := range elements(text, list) {
			e, err := parseEntry(l, v.of(text))
			if err != nil {
				return nil, fmt.Errorf("entry %d of manifests: %w", len(d.entries), err)
			}
			d.add(e)
		}
	default:
		return nil, errors.New("manifests is no array")
	}
	return d.index, nil
}

func parseEntry(l *imageLayout, raw []byte) (*entry, error) {
	if raw[0] != '{' {
		return nil, errors.New("no JSON object")
	}
	e := &entry{raw: raw}
	var n entryNames
	for name, v := range members(raw, value{0, len(raw)}) {
		text, err := v.of(raw), error(nil)
		switch name {
		case "mediaType":
			e.mediaType, err = asString(text)
		case "digest":
			var s string
			s, err = asString(text)
			e.digest = digest.Digest(s)
		case "size":
			e.size, err = asSize(text)
		case "annotations":
			n, err = parseNames(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if blobPath(e.digest) == "" {
		if err := e.digest.Validate(); err != nil && err != digest.ErrDigestUnsupported {
			return nil, fmt.Errorf("digest %.100q: %w", e.digest, err)
		}
		e.digest = ""
	}
	e.reference = l.resolve(n.reference())
	if n.attached() {
		e.attached, e.tag = true, ""
	}
	return e, nil
}

// entryNames are the annotations of an entry that say what it is called.
type entryNames struct {
	ref, image, base string
	kind             string
}

// parseNames reads the annotations of an entry.
func parseNames(text []byte) (n entryNames, err error) {
	if text[0] == 'n' {
		return n, nil
	}
	if text[0] != '{' {
		return n, errors.New("no JSON object")
	}
	for name, v := range members(text, value{0, len(text)}) {
		switch name {
		case refNameAnnotation:
			n.ref, err = asString(v.of(text))
		case imageNameAnnotation:
			n.image, err = asString(v.of(text))
		case baseNameAnnotation:
			n.base = optionalString(v.of(text))
		case kindAnnotation:
			n.kind = optionalString(v.of(text))
		}
		if err != nil {
			return n, fmt.Errorf("%s: %w", name, err)
		}
	}
	return n, nil
}

// encode appends the text of the index.json.
func (x *index) encode(text []byte) []byte {
	size := len(x.head) + len(x.tail) + 2
	for _, e := range x.entries {
		size += len(e.raw) + 1
	}
	text = slices.Grow(text, size)
	text = append(text, x.head...)
	text = append(text, '[')
	for i, e := range x.entries {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, e.raw...)
	}
	text = append(text, ']')
	return append(text, x.tail...)
}

// newEntry returns an entry with no more than a descriptor has to have. An
// empty refName stands for none.
func newEntry(r reference, refName string, d ocispec.Descriptor) *entry {
	raw := []byte(`{"mediaType":`)
	raw = append(raw, quote(d.MediaType)...)
	raw = append(raw, `,"digest":`...)
	raw = append(raw, quote(string(d.Digest))...)
	raw = append(raw, `,"size":`...)
	raw = strconv.AppendInt(raw, d.Size, 10)
	if refName != "" {
		raw = append(raw, `,"annotations":{"`+refNameAnnotation+`":`...)
		raw = append(raw, quote(refName)...)
		raw = append(raw, '}')
	}
	raw = append(raw, '}')
	return &entry{reference: r, mediaType: d.MediaType, digest: d.Digest, size: d.Size, raw: raw}
}

// renamed returns an entry like e that is called otherwise, with all else that
// is in its text. An empty refName stands for none.
func (e *entry) renamed(r reference, refName string) *entry {
	c := *e
	c.reference = r
	c.raw = []byte{'{'}
	annotations := []byte{'{'}
	for name, v := range members(e.raw, value{0, len(e.raw)}) {
		text := v.of(e.raw)
		if name != "annotations" {
			c.raw = appendMember(c.raw, name, text)
		} else if text[0] == '{' {
			for name, v := range members(text, value{0, len(text)}) {
				switch {
				case name == refNameAnnotation, name == imageNameAnnotation:
				case name == baseNameAnnotation && refName == "":
					// It would be read as the name of an entry that has no other.
				default:
					annotations = appendMember(annotations, name, v.of(text))
				}
			}
		}
	}
	if refName != "" {
		annotations = appendMember(annotations, refNameAnnotation, quote(refName))
	}
	if len(annotations) > 1 {
		c.raw = appendMember(c.raw, "annotations", append(annotations, '}'))
	}
	c.raw = append(c.raw, '}')
	return &c
}

// appendMember appends a member to the text of an object that is not closed.
func appendMember(object []byte, name string, text []byte) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	object = append(object, quote(name)...)
	object = append(object, ':')
	return append(object, text...)
}

func quote(s string) []byte {
	text, _ := json.Marshal(s)
	return text
}
