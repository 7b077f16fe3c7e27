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

// A Store keeps the content of a registry: blobs, manifests, tags and referrers.
// It does not deal with HTTP. The handler has parsed, hashed and validated
// everything that it passes to a Store, and trusts everything that a Store
// returns.
//
// Methods may be called concurrently. A repository exists as soon as a blob or a
// manifest is put into it. Content belongs to its repository: a blob that was
// committed to one repository is not in another until it is committed or mounted
// there too. Manifests and blobs are separate, even if their bytes are equal. If
// the repositories of a store share their blobs, the store has a method
// SharesBlobs() bool that returns true. In such a store, a repository need not
// exist before its first manifest is put.
//
// If a repository, blob, manifest or tag does not exist, the error wraps
// [io/fs.ErrNotExist]. If the store cannot carry out the call at all, such as a
// write to a read-only store, the error wraps [errors.ErrUnsupported], and the
// registry responds with 405. If the error is or wraps an [*Error], the registry
// responds with that. To any other error, it responds with 500 Internal Server
// Error.
//
// A store such as a proxy for another registry may carry out the operations
// itself, with a method Operate that is a [Handler]. Operate gets every request,
// even one whose URL is not valid or names no operation. The registry still
// calls recorders, faults and middleware, and hooks still read content from the
// store. If the store has a method StoreFor(*Request) Store, hooks read from its
// result, which has the content that the client of the request may see. [New]
// panics if such a store is used with an option that changes operations, such as
// [WithPageSize] or [WithAuthorizer]. It permits [WithReadOnly], and it permits
// [Without] for [CrossOrigin] and for operations other than [MountBlob],
// [PostBlob] and [ListReferrers].
//
// To test an implementation, see Store in package registrytest/conformance. To
// stay compatible with future methods, embed [UnimplementedStore].
type Store interface {
	// Repositories yields the names of the repositories that sort after the given
	// name, in ascending byte order. The store must not hold a lock while it
	// yields.
	Repositories(ctx context.Context, after string) iter.Seq2[string, error]

	// StatBlob returns the size of a blob in bytes.
	StatBlob(ctx context.Context, repo string, d digest.Digest) (int64, error)

	// OpenBlob opens a blob for reading. Reading returns the content with that
	// digest, or an error. If the reader is an [*os.File], the operating system
	// can send it without copying it through the process.
	OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error)

	// CreateBlob returns a writer for a new blob of the repository. Size is the
	// number of bytes that the client announced, or -1. It is only a hint: the
	// blob may turn out shorter or longer. The writer outlives ctx.
	CreateBlob(ctx context.Context, repo string, size int64) (BlobWriter, error)

	// MountBlob makes a blob of another repository readable in repo too, without
	// copying the bytes. The argument from names the other repository. If it is
	// empty, MountBlob takes the blob from any repository that has it.
	MountBlob(ctx context.Context, repo string, d digest.Digest, from string) error

	// DeleteBlob removes a blob from the repository. Readers that are open can
	// still read the blob.
	DeleteBlob(ctx context.Context, repo string, d digest.Digest) error

	// StatManifest returns the media type, digest and size of a manifest. The
	// reference is a digest if it contains a colon, and a tag otherwise.
	StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error)

	// GetManifest returns the manifest that the reference, a tag or a digest,
	// names. Only MediaType, Digest and Content must be set. The caller does not
	// modify the content.
	GetManifest(ctx context.Context, repo, reference string) (Manifest, error)

	// PutManifest stores a manifest and makes the tags name it, all or nothing.
	// The store may keep the manifest's content and annotations: the caller does
	// not modify them afterwards. If the manifest exists, that is not an error:
	// the handler puts it again with the same media type, unless the option
	// WithAnyManifest is set for the repository.
	//
	// If check is not nil, PutManifest calls it before it changes anything: once
	// for each tag, with the digest that the tag names, or "" if the tag is new.
	// Without tags it calls check once, with an empty tag and the digest of the
	// manifest, or "" if the manifest is new. If check returns an error,
	// PutManifest changes nothing and returns that error. No other write to the
	// repository comes between the check and the change.
	PutManifest(ctx context.Context, repo string, m Manifest, tags []string, check func(tag string, current digest.Digest) error) error

	// DeleteManifest removes a manifest and every tag that names it. Referrers no
	// longer lists the manifest.
	DeleteManifest(ctx context.Context, repo string, d digest.Digest) error

	// DeleteTag removes a tag. The manifest that the tag names stays.
	DeleteTag(ctx context.Context, repo, tag string) error

	// Tags yields the tags of a repository that sort after the given tag, in
	// ascending byte order. If the repository does not exist, it yields an
	// error that wraps [io/fs.ErrNotExist]. The store must not hold a lock
	// while it yields.
	Tags(ctx context.Context, repo, after string) iter.Seq2[string, error]

	// Referrers yields the descriptors of the manifests in the repository that
	// have the given subject and whose own digests sort after the given digest.
	// They are in ascending byte order of their digests. The descriptors are those
	// of [Manifest.Descriptor]. Neither the subject nor the repository need exist;
	// without the repository, Referrers yields nothing. The store must not hold a
	// lock while it yields.
	Referrers(ctx context.Context, repo string, subject, after digest.Digest) iter.Seq2[ocispec.Descriptor, error]
}

// A BlobWriter receives the bytes of one blob. The store does not show the blob
// before Commit. If a BlobWriter also implements [io.ReaderFrom], the registry calls
// ReadFrom, which avoids a copy of the bytes in a buffer. A BlobWriter need not be
// safe for concurrent use.
type BlobWriter interface {
	// Write appends to the blob.
	io.Writer

	// ReadAt reads bytes that were written before.
	io.ReaderAt

	// Commit publishes the bytes as the blob with the given digest, atomically, in
	// the repository that the writer was created for. The caller has verified the
	// digest. If the blob exists, that is not an error.
	Commit(ctx context.Context, d digest.Digest) error

	// Close discards the bytes, unless they were committed.
	io.Closer
}

// A Manifest is a manifest as a [Store] keeps it: the bytes that were pushed,
// and the values from them that a store needs for its indexes.
type Manifest struct {
	// MediaType is the media type with which the manifest was pushed, without
	// parameters.
	MediaType string

	// Digest is the digest of Content.
	Digest digest.Digest

	// Content holds the bytes as they were pushed.
	Content []byte

	// Subject is the digest of the manifest's subject, or "".
	Subject digest.Digest

	// ArtifactType is the artifactType of this manifest in a list of referrers:
	// its field artifactType or, for an image manifest without that field, the
	// media type of its config.
	ArtifactType string

	// Annotations are the manifest's annotations, which a list of referrers
	// repeats.
	Annotations map[string]string
}

// Descriptor returns the descriptor of the manifest in a list of referrers
// (distribution spec, section Listing Referrers).
func (m Manifest) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType:    m.MediaType,
		Digest:       m.Digest,
		Size:         int64(len(m.Content)),
		ArtifactType: m.ArtifactType,
		Annotations:  m.Annotations,
	}
}

// UnimplementedStore is a [Store] whose methods all return, or yield, an error
// that wraps [errors.ErrUnsupported]. Embed it in a Store that implements only
// some of the methods, or that should still compile when the interface gets
// another method.
type UnimplementedStore struct{}

var _ Store = UnimplementedStore{}

func unimplemented(method string) error {
	return fmt.Errorf("the store does not implement %s: %w", method, errors.ErrUnsupported)
}

// unimplementedList returns a list that yields the error for a method that
// UnimplementedStore does not implement.
func unimplementedList(method string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", unimplemented(method)) }
}

// Repositories yields an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) Repositories(context.Context, string) iter.Seq2[string, error] {
	return unimplementedList("Repositories")
}

// StatBlob returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) StatBlob(context.Context, string, digest.Digest) (int64, error) {
	return 0, unimplemented("StatBlob")
}

// OpenBlob returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) OpenBlob(context.Context, string, digest.Digest) (io.ReadSeekCloser, error) {
	return nil, unimplemented("OpenBlob")
}

// CreateBlob returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) CreateBlob(context.Context, string, int64) (BlobWriter, error) {
	return nil, unimplemented("CreateBlob")
}

// MountBlob returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) MountBlob(context.Context, string, digest.Digest, string) error {
	return unimplemented("MountBlob")
}

// DeleteBlob returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) DeleteBlob(context.Context, string, digest.Digest) error {
	return unimplemented("DeleteBlob")
}

// StatManifest returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) StatManifest(context.Context, string, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, unimplemented("StatManifest")
}

// GetManifest returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) GetManifest(context.Context, string, string) (Manifest, error) {
	return Manifest{}, unimplemented("GetManifest")
}

// PutManifest returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) PutManifest(context.Context, string, Manifest, []string, func(string, digest.Digest) error) error {
	return unimplemented("PutManifest")
}

// DeleteManifest returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) DeleteManifest(context.Context, string, digest.Digest) error {
	return unimplemented("DeleteManifest")
}

// DeleteTag returns an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) DeleteTag(context.Context, string, string) error {
	return unimplemented("DeleteTag")
}

// Tags yields an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) Tags(context.Context, string, string) iter.Seq2[string, error] {
	return unimplementedList("Tags")
}

// Referrers yields an error that wraps [errors.ErrUnsupported].
func (UnimplementedStore) Referrers(context.Context, string, digest.Digest, digest.Digest) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		yield(ocispec.Descriptor{}, unimplemented("Referrers"))
	}
}
