package content

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
)

// Put puts the content into a store: first its blobs, then its children, then
// its manifest. The reference has no host, because a store has none:
//
//	team/app:v1           in repository team/app, with the tag v1
//	team/app              in repository team/app, without a tag
//	team/app@sha256:…     the same; Put returns an error if the digest differs
//
// Put does not write a blob that the repository has already. To add a tag to
// content, put the content again with that tag.
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
		return fmt.Errorf("the content has no manifest, only its digest %q", c.Digest)
	case r.Digest != "" && r.Digest != c.Digest:
		return fmt.Errorf("the content has the digest %s", c.Digest)
	}
	for _, b := range c.blobs() {
		if err := PutBlob(ctx, s, r.Repository, *b); err != nil {
			return err
		}
	}
	for _, m := range c.manifests(make(map[digest.Digest]bool)) {
		var tags []string
		if m.Digest == c.Digest && r.Tag != "" {
			tags = []string{r.Tag}
		}
		if err := s.PutManifest(ctx, r.Repository, stored(m.MediaType, m.Digest, m.Manifest), tags, nil); err != nil {
			return fmt.Errorf("manifest %s: %w", m.Digest, err)
		}
	}
	return nil
}

// parseReference parses a reference without a host. It accepts docker.io/library/alpine
// as the name of a repository, because a mirror may have such a repository. It refuses
// a host with a port.
func parseReference(ref string) (names.Reference, error) {
	r, err := names.ParseReference(ref)
	if err == nil {
		return r, nil
	}
	if _, bare, ok := strings.Cut(ref, "://"); ok {
		host, rest, _ := strings.Cut(bare, "/")
		return r, fmt.Errorf("the reference is a URL: leave out the scheme and the host %s, as in %q", host, rest)
	}
	if host, rest := names.SplitHost(ref); strings.Contains(host, ":") {
		return r, fmt.Errorf("the reference begins with the host %s: leave it out, as in %q", host, rest)
	}
	return r, err
}

// stored returns the manifest as [registry.Store.PutManifest] takes it, with its
// subject, artifact type and annotations.
func stored(mediaType string, d digest.Digest, content []byte) registry.Manifest {
	m := registry.Manifest{MediaType: mediaType, Digest: d, Content: content}
	if doc, err := manifest.Parse(mediaType, content); err == nil && !manifest.Opaque(mediaType) {
		m.Subject, m.ArtifactType, m.Annotations = doc.SubjectDigest(), doc.ReferrerType(), doc.Annotations
	}
	return m
}

// A sourceStore is a store that can keep the source of a blob instead of its bytes, as
// [github.com/ocireg/registry/memstore.Store] does.
type sourceStore interface {
	PutBlob(repo string, d digest.Digest, size int64, source io.ReaderAt)
}

// A keptSource is the source of a blob in a sourceStore. Its type tells sourceOf that
// the source is one of this package.
type keptSource struct{ source }

var errOnlyDescriptor = errors.New("only its descriptor is known, not its content")

// PutBlob puts a blob into a repository of a store, unless it is there already.
//
// A [github.com/ocireg/registry/memstore.Store] does not hold the bytes of a
// blob that [Random] or [LayerSizes] generates, if it is larger than 1 MiB. It
// generates the bytes again whenever the blob is read, so a blob of 10 GiB takes no
// memory and no time to put. Other stores get the bytes.
func PutBlob(ctx context.Context, s registry.Store, repo string, b Blob) error {
	if b.err == nil && b.source == nil {
		b.err = errOnlyDescriptor
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

// putBlob puts a blob with the digest into a repository of a store. It mounts
// the blob if the store has it in another repository.
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
	// A store does not check the digest itself.
	verifier := d.Verifier()
	if _, err := io.Copy(w, io.TeeReader(r, verifier)); err != nil {
		return err
	}
	if !verifier.Verified() {
		return errors.New("the content does not match the digest")
	}
	return w.Commit(ctx, d)
}

// Get returns the manifest that the reference names by tag or digest in a store. Of
// its config, layers and children, the Content has only the descriptors. If the store
// does not have the manifest, the error wraps [io/fs.ErrNotExist] and lists the tags
// of the repository.
func Get(ctx context.Context, s registry.Store, ref string) (Content, error) {
	m, err := getManifest(ctx, s, ref)
	if err != nil {
		return Content{}, err
	}
	return read(m.MediaType, m.Digest, m.Content), nil
}

func getManifest(ctx context.Context, s registry.Store, ref string) (registry.Manifest, error) {
	r, err := parseReference(ref)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("reading %s: %w", ref, err)
	}
	reference := string(r.Digest)
	if reference == "" {
		reference = r.Tag
	}
	if reference == "" {
		return registry.Manifest{}, fmt.Errorf("reading %s: the reference has neither a tag nor a digest", ref)
	}
	m, err := s.GetManifest(ctx, r.Repository, reference)
	if err != nil {
		return registry.Manifest{}, fmt.Errorf("reading %s: %w; %s", ref, err, summary(ctx, s, r.Repository))
	}
	return m, nil
}

// summary describes the tags of a repository, for an error message.
func summary(ctx context.Context, s registry.Store, repo string) string {
	tags, err := listTags(ctx, s, repo)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("repository %s does not exist", repo)
	case err != nil:
		return fmt.Sprintf("listing the tags of %s: %v", repo, err)
	case len(tags) == 0:
		return fmt.Sprintf("%s has no tags", repo)
	}
	return fmt.Sprintf("%s has the tags %s", repo, strings.Join(tags, ", "))
}

func listTags(ctx context.Context, s registry.Store, repo string) (tags []string, err error) {
	for tag, err := range s.Tags(ctx, repo, "") {
		if err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// Copy copies repositories from src to dst. Without repos, it copies all of them. Copy
// removes nothing from dst.
//
// Copy finds manifests by following tags, the entries of indexes, subjects and
// referrers. If src has a method Untagged that lists the manifests without a tag, as
// a layout.Store has, Copy follows these manifests, too. It copies manifests byte by
// byte, with their tags, media types and blobs, and leaves out manifests and blobs
// that src does not have. It does not copy blobs that belong to none of these
// manifests.
func Copy(ctx context.Context, dst, src registry.Store, repos ...string) error {
	if len(repos) == 0 {
		for repo, err := range src.Repositories(ctx, "") {
			if err != nil {
				return fmt.Errorf("copying repositories: %w", err)
			}
			repos = append(repos, repo)
		}
	}
	for _, repo := range repos {
		if err := copyRepository(ctx, dst, src, repo); err != nil {
			return fmt.Errorf("copying repository %s: %w", repo, err)
		}
	}
	return nil
}

func copyRepository(ctx context.Context, dst, src registry.Store, repo string) error {
	all, err := reach(ctx, src, repo)
	if lister, ok := src.(untaggedLister); ok && err == nil {
		err = all.follow("manifests without a tag", lister.Untagged(ctx, repo), "without a tag")
	}
	if err != nil {
		return err
	}
	for _, m := range all.manifests {
		c := read(m.MediaType, m.Digest, m.Content)
		for _, b := range c.ownBlobs() {
			if err := copyBlob(ctx, dst, src, repo, *b); err != nil {
				return fmt.Errorf("manifest %s: %w", m.Digest, err)
			}
		}
		if err := dst.PutManifest(ctx, repo, stored(m.MediaType, m.Digest, m.Content), all.tags[m.Digest], nil); err != nil {
			return fmt.Errorf("manifest %s: %w", m.Digest, err)
		}
	}
	return nil
}

// copyBlob copies a blob. It does nothing if the digest is malformed, or if src does not
// have the blob.
func copyBlob(ctx context.Context, dst, src registry.Store, repo string, b Blob) error {
	if b.Digest.Validate() != nil {
		return nil
	}
	r, err := src.OpenBlob(ctx, repo, b.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", b.Digest, err)
	}
	defer r.Close()
	if kept, ok := sourceOf(r); ok {
		b.source = kept
		return PutBlob(ctx, dst, repo, b)
	}
	return putBlob(ctx, dst, repo, b.Digest, b.Size, r)
}

// sourceOf returns the source of the blob that r reads, if PutBlob gave that source to
// the store that returned r.
func sourceOf(r io.Reader) (source, bool) {
	section, ok := r.(interface {
		Outer() (r io.ReaderAt, off, n int64)
	})
	if !ok {
		return nil, false
	}
	at, _, _ := section.Outer()
	kept, ok := at.(keptSource)
	return kept.source, ok
}

// An untaggedLister is a store that lists the manifests without a tag.
type untaggedLister interface {
	Untagged(ctx context.Context, repo string) iter.Seq2[ocispec.Descriptor, error]
}

// reached has the manifests of a repository that were found from its tags and, for
// [Copy], from the manifests without a tag.
type reached struct {
	ctx   context.Context
	store registry.Store
	repo  string

	// manifests has the children of an index before the index.
	manifests []registry.Manifest
	tags      map[digest.Digest][]string
	// from describes how each manifest was reached first, such as "tagged v1".
	from map[digest.Digest]string
}

// reach finds the manifests of a repository that can be reached from its tags.
func reach(ctx context.Context, s registry.Store, repo string) (*reached, error) {
	found := &reached{ctx: ctx, store: s, repo: repo, tags: make(map[digest.Digest][]string), from: make(map[digest.Digest]string)}
	for tag, err := range s.Tags(ctx, repo, "") {
		if err != nil {
			return nil, fmt.Errorf("tags: %w", err)
		}
		m, err := s.GetManifest(ctx, repo, tag)
		if errors.Is(err, fs.ErrNotExist) {
			continue // The tag was deleted after it was listed.
		}
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", tag, err)
		}
		found.tags[m.Digest] = append(found.tags[m.Digest], tag)
		if err := found.visit(m, "tagged "+tag); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// find adds the manifest with the digest, if it exists, and all manifests that can be
// reached from it.
func (r *reached) find(d digest.Digest, from string) error {
	// A store would treat a malformed digest as a tag.
	if d.Validate() != nil || r.from[d] != "" {
		return nil
	}
	m, err := r.store.GetManifest(r.ctx, r.repo, string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d, err)
	}
	return r.visit(m, from)
}

// visit adds a manifest and all manifests that can be reached from it.
func (r *reached) visit(m registry.Manifest, from string) error {
	if r.from[m.Digest] != "" {
		return nil
	}
	r.from[m.Digest] = from
	doc, err := manifest.Parse(m.MediaType, m.Content)
	if err == nil {
		for _, child := range doc.Manifests {
			if err := r.find(child.Digest, "listed by "+string(m.Digest)); err != nil {
				return err
			}
		}
	}
	r.manifests = append(r.manifests, m)
	if subject := doc.SubjectDigest(); subject != "" {
		if err := r.find(subject, "the subject of "+string(m.Digest)); err != nil {
			return err
		}
	}
	return r.follow("referrers of "+string(m.Digest), r.store.Referrers(r.ctx, r.repo, m.Digest, ""), "a referrer of "+string(m.Digest))
}

// follow adds the manifests of a list, and all manifests that can be reached from them.
// Name is the name of the list in errors.
func (r *reached) follow(name string, list iter.Seq2[ocispec.Descriptor, error], from string) error {
	for d, err := range list {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.find(d.Digest, from); err != nil {
			return err
		}
	}
	return nil
}
