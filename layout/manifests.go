package layout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
)

// maxManifest is the size in bytes of the largest manifest. The store treats a
// larger file as missing, even if an index lists it as a manifest, and never
// reads it into memory.
const maxManifest = 64 << 20

// readManifest reads the manifest with the descriptor d and verifies its size
// and digest. It returns the content and the info of the file.
func (l *imageLayout) readManifest(d ocispec.Descriptor) ([]byte, fs.FileInfo, error) {
	name := l.path(blobPath(d.Digest))
	if d.Size > maxManifest {
		return nil, nil, fmt.Errorf("%s is treated as missing, since it has %d bytes, more than the %d that a manifest may have: %w", name, d.Size, maxManifest, fs.ErrNotExist)
	}
	now := time.Now()
	known := l.verified(d.Digest)
	f, info, err := l.disk.openKnown(name, known)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is missing, although an index names it: %w", name, fs.ErrNotExist)
		}
		return nil, nil, err
	}
	defer f.Close()
	if info.Size() != d.Size {
		return nil, nil, fmt.Errorf("%s has %d bytes, not %d as its descriptor says", name, info.Size(), d.Size)
	}
	content := make([]byte, d.Size)
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if got := d.Digest.Algorithm().FromBytes(content); got != d.Digest {
		return nil, nil, fmt.Errorf("%s is damaged: its content has the digest %s", name, got)
	}
	if !sameFile(known, info) && settled(info, now) {
		l.mu.Lock()
		l.verdicts[d.Digest] = verdict{file: info}
		l.mu.Unlock()
	}
	return content, info, nil
}

// unchangedManifest returns the info of the file of a manifest if the file has
// not changed since the store verified it and has the size of the descriptor.
// Otherwise, it returns nil.
func (l *imageLayout) unchangedManifest(d ocispec.Descriptor) fs.FileInfo {
	known := l.verified(d.Digest)
	if known == nil || known.Size() != d.Size || !l.disk.unchanged(l.path(blobPath(d.Digest)), known) {
		return nil
	}
	return known
}

// statManifest returns the descriptor of the manifest that ref, a tag or digest,
// names.
func (l *imageLayout) statManifest(ctx context.Context, repo, ref string) (ocispec.Descriptor, error) {
	d, err := l.find(ctx, repo, ref)
	if err != nil || d.MediaType != "" && l.unchangedManifest(d) != nil {
		return d, err
	}
	m, err := l.getManifest(ctx, repo, ref)
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Content))}, err
}

// getManifest returns the manifest that ref, a tag or digest, names.
func (l *imageLayout) getManifest(ctx context.Context, repo, ref string) (registry.Manifest, error) {
	d, err := l.find(ctx, repo, ref)
	if err != nil {
		return registry.Manifest{}, err
	}
	content, _, err := l.readManifest(d)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("manifest %s in repository %s: %w", ref, repo, err)
	}
	if d.MediaType == "" {
		if doc, err := manifest.Parse("", content); err == nil {
			d.MediaType = doc.Type()
		}
	}
	return registry.Manifest{MediaType: d.MediaType, Digest: d.Digest, Content: content}, nil
}

// find returns the descriptor of the manifest that ref, a tag or digest, names.
// It does not read the file of the manifest.
func (l *imageLayout) find(ctx context.Context, repo, ref string) (ocispec.Descriptor, error) {
	x, err := l.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	r, ok := x.repos.Get(repo)
	if !ok {
		return ocispec.Descriptor{}, names.Missing(repo, "manifest", ref)
	}
	if !strings.Contains(ref, ":") {
		if e := r.tagged(ref); e != nil {
			return e.descriptor(), nil
		}
		return ocispec.Descriptor{}, names.Missing(repo, "tag", ref)
	}
	if e := r.manifest(digest.Digest(ref)); e != nil {
		return e.descriptor(), nil
	}
	d, ok, err := r.reach.manifest(ctx, digest.Digest(ref))
	if err == nil && !ok {
		err = names.Missing(repo, "manifest", ref)
	}
	return d, err
}

// there reports whether the repository has the manifest in the index x: an entry
// names the manifest, or an index of the repository names it and its file
// exists.
func (l *imageLayout) there(x *index, repo string, d digest.Digest) bool {
	r, ok := x.repos.Get(repo)
	if !ok {
		return false
	}
	if r.manifest(d) != nil {
		return true
	}
	_, ok, err := r.reach.manifest(context.Background(), d)
	if err != nil || !ok {
		return false
	}
	_, err = l.disk.stat(l.path(blobPath(d)))
	return err == nil
}

// putManifest puts a manifest into a repository. See
// [registry.Store.PutManifest].
func (l *imageLayout) putManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(tag string, current digest.Digest) error) error {
	if blobPath(m.Digest) == "" {
		return fmt.Errorf("manifest %s: %w", m.Digest, digest.ErrDigestUnsupported)
	}
	if len(m.Content) > maxManifest {
		return fmt.Errorf("manifest %s has %d bytes, more than %d", m.Digest, len(m.Content), maxManifest)
	}
	file, err := l.draftManifest(m)
	if err != nil {
		return err
	}
	defer file.discard()
	return l.make(ctx, &write{undo: file.unpublish, apply: func(d *draft) (func() error, error) {
		if err := l.check(d, repo, m.Digest, tags, check); err != nil {
			return nil, err
		}
		if err := file.publish(); err != nil {
			return nil, err
		}
		d.put(repo, m.Descriptor(), tags)
		if l.referrersTags {
			d.refer(repo, m.Descriptor(), newFacts(m.MediaType, m.Content), false)
		}
		return func() error {
			r := d.edit(repo)
			r.reach.put(r, m)
			return nil
		}, nil
	}})
}

// check calls the check function of PutManifest, unless it is nil, with the
// digest that each tag names before the write.
func (l *imageLayout) check(d *draft, repo string, dig digest.Digest, tags []string, check func(tag string, current digest.Digest) error) error {
	if check == nil {
		return nil
	}
	if len(tags) == 0 {
		if !l.there(d.index, repo, dig) {
			dig = ""
		}
		return check("", dig)
	}
	r, ok := d.repos.Get(repo)
	for _, tag := range tags {
		current := digest.Digest("")
		if ok {
			if e := r.tagged(tag); e != nil {
				current = e.digest
			}
		}
		if err := check(tag, current); err != nil {
			return err
		}
	}
	return nil
}

// deleteTag deletes a tag of a repository. See [registry.Store.DeleteTag].
func (l *imageLayout) deleteTag(ctx context.Context, repo, tag string) error {
	return l.write(ctx, func(d *draft) (func() error, error) {
		if r, ok := d.repos.Get(repo); !ok || r.tagged(tag) == nil {
			return nil, names.Missing(repo, "tag", tag)
		}
		d.deleteTag(repo, tag)
		return nil, nil
	})
}

// deleteManifest deletes a manifest and its tags. See
// [registry.Store.DeleteManifest].
func (l *imageLayout) deleteManifest(ctx context.Context, repo string, d digest.Digest) error {
	return l.write(ctx, func(dr *draft) (func() error, error) {
		if !l.there(dr.index, repo, d) {
			return nil, names.Missing(repo, "manifest", string(d))
		}
		if err := l.checkDeletable(ctx, dr.index, repo, d); err != nil {
			return nil, err
		}
		if l.referrersTags {
			if e := dr.lookup(repo, "", d); e != nil {
				dr.refer(repo, e.descriptor(), l.factsOf(e.descriptor()), true)
			}
		}
		dr.deleteManifest(repo, d)
		return func() error { return l.removeManifest(ctx, dr, repo, d) }, nil
	})
}

// checkDeletable returns an error if the repository would still have the
// manifest after the deletion, because an index names the manifest and its file
// must stay.
func (l *imageLayout) checkDeletable(ctx context.Context, x *index, repo string, d digest.Digest) error {
	r, ok := x.repos.Get(repo)
	if !ok {
		return nil
	}
	_, nested, err := r.reach.manifest(ctx, d)
	if err != nil || !nested {
		return err
	}
	return l.checkRemovable(ctx, x, repo, d)
}

// checkRemovable returns an error if the file of a manifest must stay when the
// repository deletes the manifest: it was pushed as a blob too, or another
// repository needs it.
func (l *imageLayout) checkRemovable(ctx context.Context, x *index, repo string, d digest.Digest) error {
	l.mu.RLock()
	_, pushed := l.pushed[d]
	l.mu.RUnlock()
	if pushed {
		return fmt.Errorf("%s cannot be deleted from %s before the blob with that digest: %w", d, repo, errors.ErrUnsupported)
	}
	return l.checkUnused(ctx, x, repo, d)
}

// removeManifest removes the file of a manifest that a repository deleted,
// unless the file must stay.
func (l *imageLayout) removeManifest(ctx context.Context, dr *draft, repo string, d digest.Digest) error {
	r, ok := dr.repos.Get(repo)
	if ok && r.manifest(d) != nil {
		return nil // A later write of the same batch has put the manifest again.
	}
	l.blobs.Lock()
	defer l.blobs.Unlock()
	err := l.checkRemovable(ctx, dr.index, repo, d)
	if err == nil {
		err = l.removeFile(d)
	} else if errors.Is(err, errors.ErrUnsupported) {
		// The file must stay, which is an error only if the repository would still
		// have the manifest. A write of the same batch may be the reason.
		err = l.checkDeletable(ctx, dr.index, repo, d)
	}
	if err == nil && ok {
		deleted := ocispec.Descriptor{Digest: d} // if only an index named it, the media type is not known
		if e := dr.base.lookup(repo, "", d); e != nil {
			deleted = e.descriptor()
		}
		r.reach.delete(deleted)
	}
	return err
}

// isManifest reports whether any repository of the index x has the manifest.
func (l *imageLayout) isManifest(x *index, d digest.Digest) bool {
	for repo := range x.repos.All() {
		if l.there(x, repo, d) {
			return true
		}
	}
	return false
}

// usedBy returns the name of another repository that has the manifest d, or that
// has a manifest naming d. It returns "" if no other repository needs d.
func (l *imageLayout) usedBy(ctx context.Context, x *index, repo string, d digest.Digest) (string, error) {
	for name, r := range x.repos.All() {
		if name == repo {
			continue
		}
		if r.manifest(d) != nil {
			return name, nil
		}
		if leads, err := r.reach.leadsTo(ctx, r, d); err != nil || leads {
			return name, err
		}
	}
	return "", nil
}
