package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Store keeps the content of a registry. It owns bytes and indexes and knows
// nothing of HTTP: the handler has parsed, hashed and validated whatever it
// passes in, and checks nothing again of what it gets back.
//
// All methods may be called concurrently. Repositories come into being with
// the first blob or manifest that is put into them. Content belongs to its
// repository: a blob that was committed to one is not there in another until
// it is committed or mounted there too.
//
// An error that wraps [io/fs.ErrNotExist] says that the repository, blob,
// manifest or tag is not there; one that wraps [errors.ErrUnsupported] says
// that this store cannot do what was asked, as a read-only store says of every
// write; an [*Error] is answered as it is. The handler answers anything else
// with 500 Internal Server Error.
//
// Store in package conformance checks all that is said here.
type Store interface {
	// Repositories yields the names of the repositories that sort after the
	// given name, in ascending byte order. The store must not hold a lock
	// while it yields.
	Repositories(ctx context.Context, after string) iter.Seq2[string, error]

	// StatBlob returns the size of a blob in bytes.
	StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error)

	// OpenBlob opens a blob for reading. The content read is what the digest
	// says, or an error. If it is an [*os.File], it is sent by the operating
	// system where that is possible.
	OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error)

	// CreateBlob starts a blob of the repository. Size is the number of bytes
	// that the client has announced, or -1; it is a hint that may turn out
	// wrong in both directions. The writer outlives ctx.
	CreateBlob(ctx context.Context, repo string, size int64) (BlobWriter, error)

	// MountBlob makes a blob of the repository from readable in repo as well,
	// without copying it. If from is empty, any repository that has the blob
	// will do.
	MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error

	// DeleteBlob removes a blob from the repository. Readers that are open go
	// on to read it.
	DeleteBlob(ctx context.Context, repo string, d digest.Digest) error

	// StatManifest returns the media type, digest and size of a manifest. The
	// reference is a tag or a digest; it is a digest if it has a colon in it.
	StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error)

	// GetManifest returns the manifest that the reference, a tag or a digest,
	// names. Only its MediaType, Digest and Content need be set. The caller
	// does not modify the content.
	GetManifest(ctx context.Context, repo, reference string) (Manifest, error)

	// PutManifest stores a manifest and points the tags at it, all or nothing.
	// The store may keep the manifest's content and annotations: the caller
	// does not modify them afterwards. To put a manifest that is there already
	// is no error; its media type becomes the new one.
	//
	// If check is not nil, it is called before anything is changed, once for
	// each tag with the digest that the tag points at, or "" if there is no
	// such tag; without tags it is called once with an empty tag and the
	// manifest's digest if that manifest is there already, or "". If it
	// returns an error, nothing is changed and PutManifest returns that
	// error. No other write to the repository comes between the check and the
	// change.
	PutManifest(ctx context.Context, repo string, m Manifest, tags []string, check func(tag string, current digest.Digest) error) error

	// DeleteManifest removes a manifest and every tag that points at it. It
	// is no longer listed as a referrer.
	DeleteManifest(ctx context.Context, repo string, d digest.Digest) error

	// DeleteTag removes a tag. The manifest that it points at stays.
	DeleteTag(ctx context.Context, repo, tag string) error

	// Tags yields the tags of a repository that sort after the given tag, in
	// ascending byte order. If there is no such repository, it yields an error
	// that wraps [io/fs.ErrNotExist]. The store must not hold a lock while it
	// yields.
	Tags(ctx context.Context, repo, after string) iter.Seq2[string, error]

	// Referrers yields the descriptors of the manifests in the repository
	// whose subject has the given digest and whose own digest sorts after the
	// digest after, in ascending byte order of their digests. The descriptors
	// are those of [Manifest.Descriptor]. The subject itself need not be in
	// the repository, nor need the repository exist: there are no referrers
	// then. The store must not hold a lock while it yields.
	Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error]
}

// A BlobWriter receives the bytes of one blob. Until it is committed, nothing
// of it can be read through the store. One that implements [io.ReaderFrom] is
// spared a copy. It need not be safe for concurrent use.
type BlobWriter interface {
	// Write appends to the blob.
	io.Writer

	// ReadAt reads back what was written.
	io.ReaderAt

	// Commit publishes what was written as the blob with the given digest, of
	// the repository that the writer was created for, at once and whole. The
	// caller has verified the digest. To commit a blob that is there already
	// is no error.
	Commit(ctx context.Context, d digest.Digest) error

	// Close releases what the writer holds. Unless it was committed, what was
	// written is discarded.
	io.Closer
}

// A Manifest is a manifest as a [Store] keeps it: the bytes that were pushed,
// and what the handler read in them that a store needs for its indexes.
type Manifest struct {
	// MediaType is the media type that it was pushed with, without
	// parameters.
	MediaType string

	// Digest is the digest of Content.
	Digest digest.Digest

	// Content is the exact bytes that were pushed.
	Content []byte

	// Subject is the digest of the manifest that this one refers to, or "".
	Subject digest.Digest

	// ArtifactType is what a list of referrers gives as this manifest's
	// artifactType: the field of that name or, in an image manifest that has
	// none, the media type of its config.
	ArtifactType string

	// Annotations are the annotations in the manifest.
	Annotations map[string]string
}

// Descriptor returns the descriptor of the manifest as a list of referrers has
// it, which the distribution spec describes under Listing Referrers.
func (m Manifest) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType:    m.MediaType,
		Digest:       m.Digest,
		Size:         int64(len(m.Content)),
		ArtifactType: m.ArtifactType,
		Annotations:  m.Annotations,
	}
}

// UnimplementedStore is a [Store] that can do nothing: each method returns, or
// yields, an error that wraps [errors.ErrUnsupported], which a registry answers
// with 405. Embed it in a Store that implements only some of the methods, or
// that is to compile when the interface has got another one.
type UnimplementedStore struct{}

var _ Store = UnimplementedStore{}

func unimplemented(method string) error {
	return fmt.Errorf("the store does not implement %s: %w", method, errors.ErrUnsupported)
}

// unimplementedSeq yields the error of a method that lists something.
func unimplementedSeq[T any](method string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, unimplemented(method))
	}
}

// Repositories yields an error.
func (UnimplementedStore) Repositories(context.Context, string) iter.Seq2[string, error] {
	return unimplementedSeq[string]("Repositories")
}

// StatBlob returns an error.
func (UnimplementedStore) StatBlob(context.Context, string, digest.Digest) (int64, error) {
	return 0, unimplemented("StatBlob")
}

// OpenBlob returns an error.
func (UnimplementedStore) OpenBlob(context.Context, string, digest.Digest) (io.ReadSeekCloser, error) {
	return nil, unimplemented("OpenBlob")
}

// CreateBlob returns an error.
func (UnimplementedStore) CreateBlob(context.Context, string, int64) (BlobWriter, error) {
	return nil, unimplemented("CreateBlob")
}

// MountBlob returns an error.
func (UnimplementedStore) MountBlob(context.Context, string, digest.Digest, string) error {
	return unimplemented("MountBlob")
}

// DeleteBlob returns an error.
func (UnimplementedStore) DeleteBlob(context.Context, string, digest.Digest) error {
	return unimplemented("DeleteBlob")
}

// StatManifest returns an error.
func (UnimplementedStore) StatManifest(context.Context, string, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, unimplemented("StatManifest")
}

// GetManifest returns an error.
func (UnimplementedStore) GetManifest(context.Context, string, string) (Manifest, error) {
	return Manifest{}, unimplemented("GetManifest")
}

// PutManifest returns an error.
func (UnimplementedStore) PutManifest(context.Context, string, Manifest, []string, func(string, digest.Digest) error) error {
	return unimplemented("PutManifest")
}

// DeleteManifest returns an error.
func (UnimplementedStore) DeleteManifest(context.Context, string, digest.Digest) error {
	return unimplemented("DeleteManifest")
}

// DeleteTag returns an error.
func (UnimplementedStore) DeleteTag(context.Context, string, string) error {
	return unimplemented("DeleteTag")
}

// Tags yields an error.
func (UnimplementedStore) Tags(context.Context, string, string) iter.Seq2[string, error] {
	return unimplementedSeq[string]("Tags")
}

// Referrers yields an error.
func (UnimplementedStore) Referrers(context.Context, string, digest.Digest, digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return unimplementedSeq[ocispec.Descriptor]("Referrers")
}
