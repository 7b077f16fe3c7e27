package interop

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest/content"
)

// A containerdVersion is a major version of containerd, with adapters for its types.
type containerdVersion struct {
	name string

	// resolver returns a function that makes resolvers for the client. Each
	// operation uses a new resolver, because a pusher remembers the content that it
	// pushed.
	resolver func(client *http.Client, env matrix.Env) func() containerdResolver

	// store opens a content store in the directory.
	store func(dir string) (containerdStore, error)
}

// A containerdResolver is a remotes.Resolver, with its pusher and fetcher.
type containerdResolver interface {
	Resolve(ctx context.Context, ref string) (name string, desc ocispec.Descriptor, err error)
	fetcher(ctx context.Context, ref string) (containerdFetcher, error)

	// push pushes the content unless the registry has it already.
	push(ctx context.Context, ref string, desc ocispec.Descriptor, r io.Reader) error

	referrers(ctx context.Context, ref string, subject digest.Digest) ([]ocispec.Descriptor, error)
}

// A containerdFetcher is a remotes.Fetcher.
type containerdFetcher interface {
	Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error)
}

// A containerdStore is a content store of containerd that can export and import archives.
type containerdStore interface {
	// fetch fetches the content unless the store has it already.
	fetch(ctx context.Context, from containerdFetcher, desc ocispec.Descriptor) error

	open(ctx context.Context, desc ocispec.Descriptor) (io.ReadSeekCloser, error)

	// export writes an image layout as a tar archive. load reads such an archive
	// and returns the descriptor of its index.json.
	export(ctx context.Context, root ocispec.Descriptor, w io.Writer) error
	load(ctx context.Context, r io.Reader) (ocispec.Descriptor, error)
}

func (v containerdVersion) factory() matrix.Factory {
	return matrix.Factory{Name: v.name, New: func(t *testing.T, env matrix.Env) matrix.Client {
		return containerdClient{t, v.resolver(&http.Client{Transport: env.Transport}, env), v.store}
	}}
}

// containerdSecret returns a function that returns the credentials for
// containerd. Containerd uses a secret without a user name as a refresh token.
func containerdSecret(env matrix.Env) func(host string) (user, secret string, err error) {
	return func(string) (string, string, error) {
		if env.IdentityToken != "" {
			return "", env.IdentityToken, nil
		}
		return env.Credentials.Username, env.Credentials.Password, nil
	}
}

// containerdClient is a matrix.Client that uses containerd's resolver and content
// store, like BuildKit and nerdctl.
type containerdClient struct {
	t        *testing.T
	resolver func() containerdResolver
	store    func(dir string) (containerdStore, error)
}

// quiet keeps containerd from logging to standard error.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

func (c containerdClient) Push(ctx context.Context, ref string, what content.Content) error {
	return c.push(quiet(ctx), ref, what, func(desc ocispec.Descriptor) (io.ReadSeekCloser, error) {
		return nopCloser{open(what, desc)}, nil
	})
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// push pushes content. The function open opens its manifests and blobs for reading.
// The readers can seek, because containerd cannot send the bytes of other readers
// again after a token expires.
func (c containerdClient) push(ctx context.Context, ref string, what content.Content, open func(ocispec.Descriptor) (io.ReadSeekCloser, error)) error {
	resolver := c.resolver()
	push := func(to string, desc ocispec.Descriptor) error {
		r, err := open(desc)
		if err != nil {
			return err
		}
		return errors.Join(resolver.push(ctx, to, desc, r), r.Close())
	}
	// A pusher for a tag moves the tag to each manifest that it pushes, so the
	// children of an index need a pusher without a tag.
	repo, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndex(repo, ":"); i > strings.LastIndex(repo, "/") {
		repo = repo[:i]
	}
	for b := range what.Blobs() {
		if err := push(ref, b.Descriptor); err != nil {
			return err
		}
	}
	for m := range what.Manifests() {
		to := repo + "@" + m.Digest.String()
		if m.Digest == what.Digest {
			to = ref
		}
		if err := push(to, m.Descriptor()); err != nil {
			return err
		}
	}
	return nil
}

// Pull fetches the content into a content store, like the daemon of containerd.
// The store verifies the content on commit, but the fetcher does not.
func (c containerdClient) Pull(ctx context.Context, ref string, sink matrix.Sink) error {
	_, _, err := c.pull(quiet(ctx), ref, sink)
	return err
}

func (c containerdClient) pull(ctx context.Context, ref string, sink matrix.Sink) (store containerdStore, root ocispec.Descriptor, err error) {
	resolver := c.resolver()
	name, root, err := resolver.Resolve(ctx, ref)
	if err != nil {
		return nil, root, err
	}
	fetcher, err := resolver.fetcher(ctx, name)
	if err != nil {
		return nil, root, err
	}
	store, err = c.store(c.t.TempDir())
	if err != nil {
		return nil, root, err
	}
	return store, root, containerdPull(ctx, store, fetcher, root, sink)
}

func containerdPull(ctx context.Context, store containerdStore, fetcher containerdFetcher, desc ocispec.Descriptor, sink matrix.Sink) error {
	if err := containerdFetch(ctx, store, fetcher, desc, sink); err != nil {
		return err
	}
	raw, err := containerdRead(store.open(ctx, desc))
	if err != nil {
		return err
	}
	children, blobs, err := matrix.Links(raw)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := containerdPull(ctx, store, fetcher, child, sink); err != nil {
			return err
		}
	}
	for _, blob := range blobs {
		if err := containerdFetch(ctx, store, fetcher, blob, sink); err != nil {
			return err
		}
	}
	return nil
}

func containerdFetch(ctx context.Context, store containerdStore, fetcher containerdFetcher, desc ocispec.Descriptor, sink matrix.Sink) error {
	if err := store.fetch(ctx, fetcher, desc); err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	r, err := store.open(ctx, desc)
	if err != nil {
		return err
	}
	return errors.Join(sink(desc.Digest, r), r.Close())
}

// containerdSeeker returns an io.ReadSeekCloser for the content that a store of any
// version opened.
func containerdSeeker(r interface {
	io.ReaderAt
	io.Closer
	Size() int64
}) io.ReadSeekCloser {
	return struct {
		io.ReadSeeker
		io.Closer
	}{io.NewSectionReader(r, 0, r.Size()), r}
}

func containerdRead(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Copy copies an image and mounts the blobs that have an annotation with their
// source, which the daemon keeps as a label. The key of the annotation has the
// host without the port, so it cannot tell two registries on one host apart.
func (c containerdClient) Copy(ctx context.Context, from, to string) error {
	ctx = quiet(ctx)
	resolver := c.resolver()
	name, desc, err := resolver.Resolve(ctx, from)
	if err != nil {
		return err
	}
	fetcher, err := resolver.fetcher(ctx, name)
	if err != nil {
		return err
	}
	raw, err := containerdRead(fetcher.Fetch(ctx, desc))
	if err != nil {
		return err
	}
	_, blobs, err := matrix.Links(raw)
	if err != nil {
		return err
	}
	hostport, repo, _ := strings.Cut(from, "/")
	host, _, _ := strings.Cut(hostport, ":")
	repo, _, _ = strings.Cut(repo, ":")
	for _, blob := range blobs {
		blob.Annotations = map[string]string{"containerd.io/distribution.source." + host: repo}
		r, err := fetcher.Fetch(ctx, blob)
		if err != nil {
			return err
		}
		if err := errors.Join(resolver.push(ctx, to, blob, r), r.Close()); err != nil {
			return err
		}
	}
	return resolver.push(ctx, to, desc, bytes.NewReader(raw))
}

func (containerdClient) PushChunks(context.Context, string, content.Blob, int64) error {
	return matrix.Lacks("sends each blob in one PUT")
}

// PullFrom reads a blob from the offset, by Seek. The fetcher sends no request
// before the first Read.
func (c containerdClient) PullFrom(ctx context.Context, repo string, blob ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	fetcher, err := c.resolver().fetcher(quiet(ctx), repo)
	if err != nil {
		return nil, err
	}
	r, err := fetcher.Fetch(quiet(ctx), blob)
	if err != nil {
		return nil, err
	}
	_, err = r.(io.Seeker).Seek(offset, io.SeekStart)
	return r, err
}

func (containerdClient) Tags(context.Context, string) ([]string, error) {
	return nil, matrix.Lacks("lists no tags")
}

func (c containerdClient) Referrers(ctx context.Context, repo string, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return c.resolver().referrers(quiet(ctx), repo+"@"+subject.Digest.String(), subject.Digest)
}

func (containerdClient) DeleteTag(context.Context, string) error {
	return matrix.Lacks("deletes nothing")
}

func (containerdClient) DeleteManifest(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes nothing")
}

func (containerdClient) DeleteBlob(context.Context, string, ocispec.Descriptor) error {
	return matrix.Lacks("deletes nothing")
}

// ToLayout exports the pulled image as an archive and unpacks it, because
// containerd writes layouts only in archives.
func (c containerdClient) ToLayout(ctx context.Context, ref, dir string, _ content.Content) error {
	ctx = quiet(ctx)
	store, root, err := c.pull(ctx, ref, func(_ digest.Digest, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := store.export(ctx, root, &archive); err != nil {
		return err
	}
	return unpack(&archive, dir)
}

// FromLayout imports the layout, as an archive, and pushes the image.
func (c containerdClient) FromLayout(ctx context.Context, dir, ref string, what content.Content) error {
	ctx = quiet(ctx)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		return err
	}
	store, err := c.store(c.t.TempDir())
	if err != nil {
		return err
	}
	desc, err := store.load(ctx, &archive)
	if err != nil {
		return err
	}
	raw, err := containerdRead(store.open(ctx, desc))
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return err
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != what.Digest {
		return errors.New("the layout does not have exactly the image: " + string(raw))
	}
	return c.push(ctx, ref, what, func(desc ocispec.Descriptor) (io.ReadSeekCloser, error) {
		return store.open(ctx, desc)
	})
}

// unpack unpacks an archive into a directory.
func unpack(archive io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeDir {
			err = root.MkdirAll(strings.TrimSuffix(header.Name, "/"), 0o755)
		} else {
			err = unpackFile(root, header.Name, r)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, r io.Reader) error {
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
