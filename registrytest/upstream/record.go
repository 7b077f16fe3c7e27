package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// A kind is a kind of content that an upstream may lack.
type kind int

const (
	manifestKind kind = iota
	blobKind
	listKind
)

// A recording has the facts about upstreams that the local store cannot hold.
type recording struct {
	file string // file name, or "" for a recording in memory only

	mu         sync.RWMutex // guards doc and generation
	doc        document
	generation int // number of changes of doc

	// saving is held while the file is written, and guards saved and seen: the
	// generation in the file, and the file as last read or written, or nil if it
	// did not exist.
	saving sync.Mutex
	saved  int
	seen   fs.FileInfo
}

// A document is the JSON object in the file of a recording.
type document struct {
	Version      int                    `json:"version"`
	Upstreams    []string               `json:"upstreams"`
	Repositories map[string]*repository `json:"repositories"` // by name in the local store
}

// A repository has the recorded facts about one repository.
type repository struct {
	// From is the full name of the repository, such as
	// "docker.io/library/alpine".
	From string `json:"from"`

	// MissingManifests and MissingBlobs map the tag or digest of content that
	// the upstream lacks to the error code of its response.
	MissingManifests map[string]registry.Code `json:"missingManifests,omitempty"`
	MissingBlobs     map[string]registry.Code `json:"missingBlobs,omitempty"`

	// BlobSizes maps the digests of blobs that clients requested only with HEAD
	// to their sizes.
	BlobSizes map[string]int64 `json:"blobSizes,omitempty"`

	Tags      *tagList                `json:"tags,omitempty"`
	Referrers map[string]referrerList `json:"referrers,omitempty"` // by the digest of the subject
}

// A tagList is a complete, sorted list of tags, or the error code that the
// upstream sent instead.
type tagList struct {
	Names   []string      `json:"names,omitempty"`
	Missing registry.Code `json:"missing,omitempty"`
}

// A referrerList is a complete list of referrers, sorted by digest.
type referrerList struct {
	// Source is "api" if the list is from the referrers API, or "tag" if it is
	// from the referrers tag (spec.md, Referrers Tag Schema).
	Source    string               `json:"source"`
	Manifests []ocispec.Descriptor `json:"manifests,omitempty"`
}

const (
	fromAPI = "api"
	fromTag = "tag"
)

const recordingVersion = 1

func newRecording(file string) *recording {
	return &recording{file: file, doc: document{Version: recordingVersion, Repositories: make(map[string]*repository)}}
}

// openRecording reads the file, which need not exist.
func openRecording(file string) (*recording, error) {
	r := newRecording(file)
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", file) // Reading a named pipe would wait for a writer.
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a recording: %w", err)
	}
	r.seen = info
	doc, err := parseDocument(text)
	if err != nil {
		return nil, fmt.Errorf("reading the recording %s: %w", file, err)
	}
	r.doc = *doc
	return r, nil
}

// parseDocument parses a recording. It accepts only text that a Store writes.
func parseDocument(text []byte) (*document, error) {
	d := new(document)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(d); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is text after the end")
	}
	if d.Version != recordingVersion {
		return nil, fmt.Errorf("its version is %d, not %d", d.Version, recordingVersion)
	}
	if d.Repositories == nil {
		d.Repositories = make(map[string]*repository)
	}
	for i, name := range d.Upstreams {
		if name == "" || canonicalName(name) != name || i > 0 && !names.Component(name) || slices.Index(d.Upstreams, name) < i {
			return nil, fmt.Errorf("%.100q is not the name of an upstream", name)
		}
	}
	for name, r := range d.Repositories {
		if !names.Repository(name) || r == nil {
			return nil, fmt.Errorf("%.100q is not a repository", name)
		}
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("repository %s: %w", name, err)
		}
	}
	return d, nil
}

func (r *repository) check() error {
	if r.From == "" {
		return errors.New("the field from is missing")
	}
	for ref, code := range r.MissingManifests {
		if !names.Tag(ref) && !isDigest(ref) || !isCode(code) {
			return fmt.Errorf("missingManifests has %.100q: %.100q; want a tag or a digest, and the code of an error", ref, code)
		}
	}
	for ref, code := range r.MissingBlobs {
		if !isDigest(ref) || !isCode(code) {
			return fmt.Errorf("missingBlobs has %.100q: %.100q; want a digest and the code of an error", ref, code)
		}
	}
	for d, size := range r.BlobSizes {
		if !isDigest(d) || size < 0 {
			return fmt.Errorf("blobSizes has %.100q: %d; want a digest and a number of bytes", d, size)
		}
	}
	if t := r.Tags; t != nil {
		if t.Missing != "" && (!isCode(t.Missing) || len(t.Names) > 0) || !ascending(t.Names, strings.Compare) ||
			slices.ContainsFunc(t.Names, func(tag string) bool { return !names.Tag(tag) }) {
			return errors.New("tags is not a list of tags in ascending order")
		}
	}
	for subject, list := range r.Referrers {
		if !isDigest(subject) || list.Source != fromAPI && list.Source != fromTag || !ascending(list.Manifests, byDigest) ||
			slices.ContainsFunc(list.Manifests, func(d ocispec.Descriptor) bool { return !validDescriptor(d) }) {
			return fmt.Errorf("referrers of %.100q is not a list of descriptors in ascending order", subject)
		}
	}
	return nil
}

// ascending reports whether the items are sorted and without duplicates.
func ascending[T any](items []T, compare func(a, b T) int) bool {
	for i := range items[:max(len(items)-1, 0)] {
		if compare(items[i], items[i+1]) >= 0 {
			return false
		}
	}
	return true
}

func byDigest(a, b ocispec.Descriptor) int {
	return strings.Compare(string(a.Digest), string(b.Digest))
}

func isDigest(s string) bool {
	_, _, err := names.Digest(s)
	return err == nil
}

func validDescriptor(d ocispec.Descriptor) bool { return isDigest(string(d.Digest)) && d.Size >= 0 }

// isCode reports whether c has the form of an error code of the spec.
func isCode(c registry.Code) bool {
	return c != "" && len(c) <= 64 && strings.Trim(string(c), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

func (r *recording) upstreams() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.doc.Upstreams)
}

// setUpstreams records the names of the upstreams. The first one is the default.
func (r *recording) setUpstreams(all []string) error {
	if slices.Equal(r.upstreams(), all) {
		return nil
	}
	return r.change(func(d *document) { d.Upstreams = all })
}

// missing returns the recorded error code for content that the upstream lacks.
func (r *recording) missing(repo string, k kind, name string) (code registry.Code, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if in := r.doc.Repositories[repo]; in != nil {
		code, known = in.missing(k)[name]
	}
	return code, known
}

func (r *repository) missing(k kind) map[string]registry.Code {
	switch k {
	case manifestKind:
		return r.MissingManifests
	case blobKind:
		return r.MissingBlobs
	}
	return nil
}

// addMissing records the error code for content that the upstream lacks.
func (r *recording) addMissing(p place, k kind, name string, code registry.Code) error {
	return r.edit(p, func(in *repository) {
		to := &in.MissingManifests
		if k == blobKind {
			to = &in.MissingBlobs
			delete(in.BlobSizes, name)
		}
		if *to == nil {
			*to = make(map[string]registry.Code)
		}
		(*to)[name] = code
	})
}

// found records that the content is in the local store, so it is not missing.
func (r *recording) found(p place, k kind, name string) error {
	r.mu.RLock()
	in := r.doc.Repositories[p.local]
	known := in != nil
	if known {
		_, isMissing := in.missing(k)[name]
		_, hasSize := in.BlobSizes[name]
		known = !isMissing && !(k == blobKind && hasSize)
	}
	r.mu.RUnlock()
	if known {
		return nil
	}
	return r.edit(p, func(in *repository) {
		delete(in.missing(k), name)
		if k == blobKind {
			delete(in.BlobSizes, name)
		}
	})
}

// forgetSize removes the recorded size of a blob, which is from a HEAD. The
// response to a GET was not the blob, so the size may be wrong, too.
func (r *recording) forgetSize(p place, d digest.Digest) error {
	known := false
	r.look(p.local, func(in *repository) { _, known = in.BlobSizes[string(d)] })
	if !known {
		return nil
	}
	return r.edit(p, func(in *repository) { delete(in.BlobSizes, string(d)) })
}

// look calls read with the facts about the repository, if there are any. The
// function read must not keep them, except for the lists, which never change.
func (r *recording) look(repo string, read func(*repository)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if in := r.doc.Repositories[repo]; in != nil {
		read(in)
	}
}

// edit calls change to edit the facts about a repository, and writes the file.
func (r *recording) edit(p place, change func(*repository)) error {
	return r.change(func(d *document) {
		in := d.Repositories[p.local]
		if in == nil {
			in = &repository{From: p.from}
			d.Repositories[p.local] = in
		}
		change(in)
	})
}

// change calls the function change to edit the document, and writes the file.
func (r *recording) change(change func(*document)) error {
	r.mu.Lock()
	change(&r.doc)
	r.generation++
	mine := r.generation
	r.mu.Unlock()
	if r.file == "" {
		return nil
	}
	// Of several waiting calls, the first writes the changes of all.
	r.saving.Lock()
	defer r.saving.Unlock()
	if r.saved >= mine {
		return nil
	}
	r.mu.RLock()
	text, err := json.MarshalIndent(r.doc, "", "\t")
	now := r.generation
	r.mu.RUnlock()
	if err == nil {
		err = r.unchanged()
	}
	var written fs.FileInfo
	if err == nil {
		written, err = writeFile(r.file, append(text, '\n'))
	}
	if err != nil {
		// The error is not wrapped: fs.ErrNotExist means missing content to the
		// caller.
		return fmt.Errorf("writing the recording %s: %v", r.file, err)
	}
	r.saved, r.seen = now, written
	return nil
}

// unchanged returns an error if another process changed the file after r
// last read or wrote it: writing would undo that change. The caller holds
// r.saving.
func (r *recording) unchanged() error {
	now, err := os.Stat(r.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case r.seen == nil || !os.SameFile(now, r.seen) || now.Size() != r.seen.Size() || !now.ModTime().Equal(r.seen.ModTime()):
		return errors.New("another process changed it; only one process at a time may record")
	}
	return nil
}

// writeFile replaces the content of a file atomically.
func writeFile(name string, content []byte) (written fs.FileInfo, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".ocireg-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		written, err = f.Stat()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return written, os.Rename(f.Name(), name)
}
