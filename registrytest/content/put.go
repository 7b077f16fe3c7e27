package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
)

// Put puts the content into a store: its blobs, then its children, then its
// manifest. The reference says where:
//
//	team/app:v1           in repository team/app, with a tag that points at it
//	team/app              in repository team/app, with no tag: by its digest alone
//	team/app@sha256:…     the same, but an error if the digest is another
//
// What is there already is not written again. To give content a second tag,
// put it again.
func Put(ctx context.Context, s registry.Store, ref string, c Content) error {
	if err := put(ctx, s, ref, c); err != nil {
		return fmt.Errorf("putting %s: %w", ref, err)
	}
	return nil
}

func put(ctx context.Context, s registry.Store, ref string, c Content) error {
	r, err := parseReference(ref)
	switch {
	case err != nil:
		return err
	case c.err != nil:
		return fmt.Errorf("building the content: %w", c.err)
	case c.Manifest == nil:
		return fmt.Errorf("there is no manifest to be put, only its digest %q", c.Digest)
	case r.digest != "" && r.digest != c.Digest:
		return fmt.Errorf("the digest of the content is %s", c.Digest)
	}
	for b := range c.Blobs() {
		if err := PutBlob(ctx, s, r.repo, b); err != nil {
			return err
		}
	}
	for m := range c.Manifests() {
		var tags []string
		if m.Digest == c.Digest && r.tag != "" {
			tags = []string{r.tag}
		}
		if err := s.PutManifest(ctx, r.repo, stored(m.MediaType, m.Digest, m.Manifest), tags, nil); err != nil {
			return fmt.Errorf("manifest %s: %w", m.Digest, err)
		}
	}
	return nil
}

// stored returns a manifest as a store gets it.
func stored(mediaType string, d digest.Digest, content []byte) registry.Manifest {
	m := registry.Manifest{MediaType: mediaType, Digest: d, Content: content}
	if doc, err := manifest.Parse(content); err == nil && !manifest.Opaque(mediaType) {
		m.Subject, m.ArtifactType, m.Annotations = doc.SubjectDigest(), doc.ReferrerType(), doc.Annotations
	}
	return m
}

// A sourceStore keeps the source of a blob in place of its bytes.
// [github.com/ocireg/registry/memstore.Store] is one.
type sourceStore interface {
	PutBlob(repo string, d digest.Digest, size int64, source io.ReaderAt)
}

// A keptSource is the source of a generated blob that a sourceStore keeps.
type keptSource struct{ source }

// PutBlob puts a blob into a repository of a store, unless it is there already.
//
// A [github.com/ocireg/registry/memstore.Store] does not hold the bytes of a
// blob that [Random] or [LayerSizes] generates, if it is larger than 1 MiB. It
// generates them again whenever the blob is read, so a blob of 10 GiB takes no
// memory and no time to put. Other stores are given the bytes.
func PutBlob(ctx context.Context, s registry.Store, repo string, b Blob) error {
	if b.err == nil && b.source == nil {
		b.err = errors.New("its content is not known here")
	}
	if b.err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest, b.err)
	}
	if keeper, ok := s.(sourceStore); ok && b.generated() {
		keeper.PutBlob(repo, b.Digest, b.source.Size(), keptSource{b.source})
		return nil
	}
	return putBlob(ctx, s, repo, b.Digest, b.Size, b.Open())
}

// putBlob puts a blob with the digest into a repository of a store, as cheaply
// as it can.
func putBlob(ctx context.Context, s registry.Store, repo string, d digest.Digest, size int64, r io.Reader) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("blob %s: %w", d, err)
		}
	}()
	if _, err := s.StatBlob(ctx, repo, d); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.MountBlob(ctx, repo, d, ""); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	w, err := s.CreateBlob(ctx, repo, size)
	if err != nil {
		return err
	}
	defer w.Close()
	// A store believes that what is committed has the digest.
	verifier := d.Verifier()
	if _, err := io.Copy(w, io.TeeReader(r, verifier)); err != nil {
		return err
	}
	if !verifier.Verified() {
		return errors.New("the content has another digest")
	}
	return w.Commit(ctx, d)
}

// A reference is where content is in a registry.
type reference struct {
	repo   string
	tag    string        // or ""
	digest digest.Digest // or ""
}

func parseReference(s string) (r reference, err error) {
	rest, d, hasDigest := strings.Cut(s, "@")
	repo, tag, hasTag := strings.Cut(rest, ":")
	switch {
	case hasDigest && digest.Digest(d).Validate() != nil:
		return r, fmt.Errorf("%q is not a digest: %w", d, digest.Digest(d).Validate())
	case hasTag && !names.Tag(tag):
		return r, fmt.Errorf("%q is not a tag", tag)
	case !names.Repository(repo):
		return r, fmt.Errorf("%q is not the name of a repository", repo)
	}
	return reference{repo, tag, digest.Digest(d)}, nil
}
