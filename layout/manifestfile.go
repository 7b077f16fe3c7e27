package layout

import (
	"errors"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// A manifestFile is the file of a manifest that is being put.
type manifestFile struct {
	layout  *imageLayout
	digest  digest.Digest
	name    string
	content []byte
	temp    string      // "" if the file is where it belongs
	seen    fs.FileInfo // the file there, if it was found to have the content

	published bool
	isNew     bool // published where no file was before
}

// draftManifest writes the content of a manifest to a temporary file, unless
// the layout already has the manifest, which clients often put again to add a
// tag.
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

// publish moves the file to its place. The caller holds the lock on the layout.
// A file that draftManifest found may have been removed or changed since.
func (f *manifestFile) publish() (err error) {
	disk := f.layout.disk
	if f.published && f.layout.exists(f.digest) {
		return nil // The write is applied again.
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
		f.discard() // unless it is in its place, which is not synced
	}
	f.temp, f.published = "", true
	if err != nil {
		f.unpublish()
	}
	return err
}

// unpublish removes a file that no index names, because the write has failed,
// unless it was pushed as a blob meanwhile. The caller holds the lock on the
// layout.
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
	// The write may have failed after it replaced index.json.
	x, err := l.current()
	if errors.Is(err, errNoLayout) {
		x, err = l.leftover()
	}
	if err == nil && !pushed && !x.names(f.digest) {
		l.disk.remove(f.name)
	}
}

// names reports whether an entry names the digest.
func (x *index) names(d digest.Digest) bool {
	for _, r := range x.repos.All() {
		if r.manifest(d) != nil {
			return true
		}
	}
	return false
}

// discard removes the temporary file if it was not published.
func (f *manifestFile) discard() {
	if f.temp != "" {
		f.layout.disk.remove(f.temp)
	}
}
