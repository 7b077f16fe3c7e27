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

// An index is the parsed content of an index.json. A published index never
// changes: a write edits a draft of it and publishes the draft.
type index struct {
	layout *imageLayout

	// head and tail are the text of the file before and after the array of
	// entries.
	head, tail []byte

	// entries are in file order.
	entries []*entry

	// repos are the repositories that the entries belong to.
	repos ordered.Map[*repository]

	// file describes the file that was read or written. It is nil if there is
	// none.
	file fs.FileInfo

	// settled is set once any change to the file would change its size, time or
	// identity. Before that, text holds its content for comparison.
	settled atomic.Bool
	text    []byte

	// merged is set if the index has entries that its file has lost. See merge.
	merged bool

	// given is set if the tag of the only entry is not in the file.
	given bool
}

// A repository holds the entries of an index that name one repository. Like the
// index, it never changes once it is published.
type repository struct {
	// host precedes the name in the file, as docker.io does in
	// docker.io/library/alpine.
	host string

	// tags and manifests map tags and digests to entries in file order. The
	// first entry counts, as for skopeo and regctl.
	tags      ordered.Map[[]*entry]
	manifests ordered.Map[[]*entry]

	// reach is shared by all versions of the repository until another program
	// changes index.json.
	reach *reach
}

// An entry is a descriptor in an index.json. It never changes.
type entry struct {
	reference
	mediaType string
	digest    digest.Digest // "" if the store cannot serve the algorithm
	size      int64
	raw       []byte // the text in the file

	// attached marks an entry, such as a signature, whose name is the name of the
	// image that it is attached to. Its tag is the tag of that image.
	attached bool

	// generated marks a referrers tag that the store maintains.
	generated bool
}

func (e *entry) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: e.mediaType, Digest: e.digest, Size: e.size}
}

// tagged returns the entry that a tag names, or nil.
func (r *repository) tagged(tag string) *entry {
	entries, _ := r.tags.Get(tag)
	return first(entries)
}

// manifest returns the first entry for a digest, or nil.
func (r *repository) manifest(d digest.Digest) *entry {
	entries, _ := r.manifests.Get(string(d))
	return first(entries)
}

// untagged returns an entry for a digest that has no tag and may get one, or
// nil.
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

// emptyIndex is the index.json of an empty layout.
const emptyIndex = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`

// parseIndex parses the text of an index.json.
func parseIndex(l *imageLayout, text []byte) (*index, error) {
	if !json.Valid(text) {
		return nil, fmt.Errorf("invalid JSON: %w", json.Unmarshal(text, new(any)))
	}
	whole := value{space(text, 0), len(bytes.TrimRight(text, " \t\r\n"))}
	if text[whole.start] != '{' {
		return nil, errors.New("not a JSON object")
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
			d.entries = append(d.entries, e)
		}
		d.registerAll()
	default:
		return nil, errors.New("manifests is not an array")
	}
	return d.index, nil
}

func parseEntry(l *imageLayout, raw []byte) (*entry, error) {
	if raw[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	e := &entry{raw: raw}
	var n entryNames
	for name, v := range members(raw, value{0, len(raw)}) {
		text, err := v.of(raw), error(nil)
		switch name {
		case "mediaType":
			e.mediaType, err = asType(text)
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
	if !isServed(e.digest) {
		if err := e.digest.Validate(); err != nil && err != digest.ErrDigestUnsupported {
			return nil, fmt.Errorf("digest %.100q: %w", e.digest, err)
		}
		e.digest = ""
	}
	e.reference = l.resolve(n.reference())
	e.generated = n.subject != "" && e.tag == referrersTag(digest.Digest(n.subject))
	if n.attached() {
		e.attached, e.tag = true, ""
	}
	return e, nil
}

// entryNames holds the annotations that name an entry.
type entryNames struct {
	ref, image, base string
	kind, subject    string
}

// parseNames reads the annotations of an entry.
func parseNames(text []byte) (n entryNames, err error) {
	if text[0] == 'n' {
		return n, nil
	}
	if text[0] != '{' {
		return n, errors.New("not a JSON object")
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
		case referrersAnnotation:
			n.subject = optionalString(v.of(text))
		}
		if err != nil {
			return n, fmt.Errorf("%s: %w", name, err)
		}
	}
	return n, nil
}

// encode appends the text of the index to text.
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

// newEntry returns an entry with the fields that a descriptor requires, and
// with the name refName unless it is empty.
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

// renamed returns a copy of the entry with another name, or without one if
// refName is empty. It keeps all other text of the entry.
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
					// If the entry has no other name, the name of the base
					// image would become its name.
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

// appendMember appends a member to the text of a JSON object that lacks its
// closing brace.
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
