package layout

import (
	"errors"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// A manifestFile is the file of a manifest during PutManifest.
type manifestFile struct {
	layout  *imageLayout
	digest  digest.Digest
	name    string
	content []byte
	temp    string      // the temporary file, or "" if the layout already has the manifest
	seen    fs.FileInfo // the info of the manifest's file, if draftManifest found the file

	published bool
	isNew     bool // whether publish created the file
}

// draftManifest writes a manifest to a temporary file, unless the layout already
// has the manifest. Clients often push a manifest again to add a tag.
func (l *imageLayout) draftManifest(m registry.Manifest) (f *manifestFile, err error) {
	f = &manifestFile{layout: l, digest: m.Digest, name: l.path(blobPath(m.Digest)), content: m.Content}
	if f.seen = l.unchangedManifest(m.Descriptor()); f.seen != nil {
		return f, nil
	}
	if _, f.seen, err = l.readManifest(m.Descriptor()); err == nil {
		return f, nil
	}
	f.temp, err = l.disk.temps.write(m.Content)
	return f, err
}

// publish makes the manifest appear in the layout, by renaming the temporary
// file. If draftManifest found the manifest but its file has changed since,
// publish writes it again. The caller holds the lock on the layout.
func (f *manifestFile) publish() (err error) {
	disk := f.layout.disk
	if f.published && f.layout.exists(f.digest) {
		return nil // An earlier attempt of the same write has published it.
	}
	if f.temp == "" {
		if disk.unchanged(f.name, f.seen) {
			return nil
		}
		if f.temp, err = disk.temps.write(f.content); err != nil {
			return err
		}
	}
	_, err = disk.stat(f.name)
	f.isNew = errors.Is(err, fs.ErrNotExist)
	err = f.layout.place(f.digest, f.temp)
	if err != nil {
		f.discard() // keeps the file if it was renamed and only the sync of the directory failed
	}
	f.temp, f.published = "", true
	if err != nil {
		f.unpublish()
	}
	return err
}

// unpublish removes the file that publish created, because the write failed.
// It keeps the file if an entry of index.json names it, or if it was pushed as a
// blob in the meantime. The caller holds the lock on the layout.
func (f *manifestFile) unpublish() {
	if !f.published || !f.isNew {
		return
	}
	f.published = false
	l := f.layout
	l.blobs.Lock()
	defer l.blobs.Unlock()
	l.mu.RLock()
	_, pushed := l.pushed[f.digest]
	l.mu.RUnlock()
	// The write may have failed after replacing index.json.
	x, err := l.current()
	if errors.Is(err, errNoLayout) {
		x, err = l.leftover()
	}
	if err == nil && !pushed && !x.names(f.digest) {
		l.disk.remove(f.name)
	}
}

// names reports whether an entry of the index names the digest.
func (x *index) names(d digest.Digest) bool {
	for _, r := range x.repos.All() {
		if r.manifest(d) != nil {
			return true
		}
	}
	return false
}

// discard removes the temporary file unless publish has renamed it.
func (f *manifestFile) discard() {
	if f.temp != "" {
		f.layout.disk.remove(f.temp)
	}
}
