package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/remote"
)

// A Store is a [registry.Store] that fetches missing content from upstream
// registries, and keeps it in a local store: blobs and manifests, the digest of
// each tag, lists of tags and of referrers, and the names of content that the
// upstream lacks. Later the Store serves the same content, even if the upstream
// has changed or cannot be reached. It does not keep failures, such as 401, 429
// and 503: the next request goes to the upstream again.
//
// The names of the first upstream's repositories stay the same. Those of other
// upstreams are prefixed with the name of the upstream, as in
// "ghcr.io/team/app". With the middleware of [Store.Options], the query
// parameter ns also selects the upstream (distribution spec, section Registry
// Proxying). For Docker Hub, a name without a slash is in library/.
//
// A Store is an option of package registrytest, and its method Options returns
// options for package registry:
//
//	reg := registrytest.NewServer(t, cache)
//
// Writes fail with an error for which a registry responds with 405, unless
// [PassWrites] is given. To keep pushed content locally, put a Store below a
// store of package overlay. Repositories yields the repositories of the local
// store.
type Store struct {
	local     registry.Store
	upstreams []*source // the first is the default; one that only the recording names has no store
	recording *recording
	offline   bool
	writes    bool
	refresh   refresh

	manifests flights[registry.Manifest]
	sizes     flights[int64]
	tagLists  flights[tagList]
	referrers flights[referrerList]
	downloads downloads

	mu     sync.Mutex
	missed map[string]bool // names of content that was not recorded; guarded by mu
}

var _ registry.Store = (*Store)(nil)

// A StoreOption configures a [Store]. [Remote] returns one.
type StoreOption interface{ applyTo(*Store) error }

type storeOption func(*Store) error

func (o storeOption) applyTo(s *Store) error { return o(s) }

func (r *source) applyTo(s *Store) error {
	if r.err != nil {
		return r.err
	}
	for i, u := range s.upstreams {
		if u.name == r.name {
			if u.store != nil {
				return fmt.Errorf("upstream %q is given twice", r.name)
			}
			s.upstreams[i] = r
			return nil
		}
	}
	s.upstreams = append(s.upstreams, r)
	return nil
}

// RecordTo keeps facts that the local store cannot hold in a file: lists of tags
// and of referrers, names of content that does not exist, and the names of the
// upstreams. The file need not exist. It can be in the directory of a layout if
// its name begins with a dot, such as [RecordingFile]. Only one Store at a time
// may use the file. Without RecordTo, the Store keeps these facts in memory.
func RecordTo(file string) StoreOption {
	return storeOption(func(s *Store) (err error) {
		s.recording, err = openRecording(file)
		return err
	})
}

// RecordingFile is the usual name of the file for [RecordTo] in the directory of a
// layout.
const RecordingFile = ".ocireg-recording.json"

// Offline makes the Store send no requests to upstreams. A request for content
// that was not recorded gets a 404 response that names the content.
// [Store.Missed] lists such content.
func Offline() StoreOption {
	return storeOption(func(s *Store) error { s.offline = true; return nil })
}

// Refresh makes the Store request recorded tags from the upstream again, each
// tag once. An argument is a tag in all repositories, such as "latest", a tag in
// one repository, such as "library/alpine:latest", or "all" for all tags, lists
// and missing content.
func Refresh(tags ...string) StoreOption {
	return storeOption(func(s *Store) error { return s.refresh.add(tags) })
}

// PassWrites makes the Store pass pushes and deletions on to the upstream, with
// the Store's credentials. It keeps pushed content in the local store, too.
func PassWrites() StoreOption {
	return storeOption(func(s *Store) error { s.writes = true; return nil })
}

// Open returns a store that keeps content in local, for example in a layout.
// Content that local already has counts as recorded. Open fails if an option is
// invalid, or if the file of [RecordTo] is damaged. The upstreams are the
// registries that the file names, followed by those of the options. The Store
// sends requests only to registries of the options.
//
// The caller closes the Store, and then the local store.
func Open(local registry.Store, opts ...StoreOption) (*Store, error) {
	if local == nil {
		return nil, errors.New("upstream: Open needs a store; memstore.New() makes an empty one")
	}
	s := &Store{local: local, missed: make(map[string]bool)}
	// Upstreams from the recording come before those of the options.
	var registries []StoreOption
	for _, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("opening a store with upstreams: %w", errNilOption)
		}
		if _, ok := o.(*source); ok {
			registries = append(registries, o)
		} else if err := o.applyTo(s); err != nil {
			return nil, fmt.Errorf("opening a store with upstreams: %w", err)
		}
	}
	if s.recording == nil {
		s.recording = newRecording("")
	}
	for _, name := range s.recording.upstreams() {
		s.upstreams = append(s.upstreams, &source{name: name})
	}
	for _, o := range registries {
		if err := o.applyTo(s); err != nil {
			return nil, fmt.Errorf("opening a store with upstreams: %w", err)
		}
	}
	for i, u := range s.upstreams {
		if i > 0 && !names.Component(u.name) {
			return nil, fmt.Errorf("opening a store with upstreams: %q cannot be the first component of a repository name; list this upstream first, or give it another name with At", u.name)
		}
	}
	if s.offline {
		return s, nil // An archived recording may be read-only.
	}
	return s, s.recording.setUpstreams(s.Upstreams())
}

// Close closes idle connections to the upstreams. Call it after all other
// methods have returned.
func (s *Store) Close() error {
	for _, u := range s.upstreams {
		u.close()
	}
	return nil
}

// Upstreams returns the names of the upstreams, including those of the
// recording. The first one is the default: the names of its repositories have no
// prefix.
func (s *Store) Upstreams() []string {
	all := make([]string, len(s.upstreams))
	for i, u := range s.upstreams {
		all[i] = u.name
	}
	return all
}

// Missed returns the names of content that clients requested and that was not
// recorded, sorted.
func (s *Store) Missed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]string, 0, len(s.missed))
	for name := range s.missed {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// SharesBlobs reports whether the repositories of the local store share their
// blobs.
func (s *Store) SharesBlobs() bool {
	shares, ok := s.local.(interface{ SharesBlobs() bool })
	return ok && shares.SharesBlobs()
}

// A place describes a repository: its upstream and its names.
type place struct {
	upstream *remote.Store // nil if the Store must not send requests to it
	remote   string        // name of the repository at the upstream
	local    string        // name of the repository in the local store
	from     string        // full name of the repository, such as "docker.io/library/alpine"
}

// find returns the place of the repository that a client names.
func (s *Store) find(repo string) place {
	if len(s.upstreams) == 0 {
		return place{remote: repo, local: repo, from: repo}
	}
	at, prefix, rest := s.upstreams[0], "", repo
	if first, after, ok := strings.Cut(repo, "/"); ok {
		for i, u := range s.upstreams {
			if u.name == first {
				at, rest = u, after
				if i > 0 {
					prefix = u.name + "/"
				}
			}
		}
	}
	if remote.Hub(at.name) && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	p := place{remote: rest, local: prefix + rest, from: at.name + "/" + rest}
	if !s.offline {
		p.upstream = at.store
	}
	return p
}

// reference returns the full reference of a manifest, with a tag or a digest.
func (p place) reference(ref string) string {
	if strings.Contains(ref, ":") {
		return p.from + "@" + ref
	}
	return p.from + ":" + ref
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// GetManifest implements [registry.Store].
func (s *Store) GetManifest(ctx context.Context, repo, reference string) (registry.Manifest, error) {
	return s.manifest(ctx, s.find(repo), reference)
}

func (s *Store) manifest(ctx context.Context, p place, reference string) (registry.Manifest, error) {
	if again := s.refreshes(p, manifestKind, reference); !again {
		m, err := s.local.GetManifest(ctx, p.local, reference)
		if !missing(err) {
			return m, err
		}
		if code, known := s.recording.missing(p.local, manifestKind, reference); known {
			return m, unknown(code, p.reference(reference))
		}
	}
	if p.upstream == nil {
		return registry.Manifest{}, s.miss(registry.CodeManifestUnknown, p.reference(reference))
	}
	return s.manifests.do(ctx, p.local+" "+reference, func(ctx context.Context) (registry.Manifest, error) {
		return s.fetchManifest(ctx, p, reference)
	})
}

// StatManifest implements [registry.Store]. It fetches the whole manifest if it
// is not recorded: a recorded tag needs recorded content.
func (s *Store) StatManifest(ctx context.Context, repo, reference string) (ocispec.Descriptor, error) {
	p := s.find(repo)
	if !s.refreshes(p, manifestKind, reference) {
		if d, err := s.local.StatManifest(ctx, p.local, reference); !missing(err) {
			return d, err
		}
	}
	m, err := s.manifest(ctx, p, reference)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return m.Descriptor(), nil
}

// fetchManifest requests a manifest from the upstream and keeps it in the local
// store.
func (s *Store) fetchManifest(ctx context.Context, p place, reference string) (registry.Manifest, error) {
	again := s.refreshes(p, manifestKind, reference)
	if !again {
		// Another goroutine may have fetched the manifest meanwhile.
		if m, err := s.local.GetManifest(ctx, p.local, reference); !missing(err) {
			return m, err
		}
	}
	m, err := p.upstream.GetManifest(ctx, p.remote, reference)
	if missing(err) {
		code := codeOf(err, registry.CodeManifestUnknown)
		if err := s.recording.addMissing(p, manifestKind, reference, code); err != nil {
			return m, err
		}
		if again {
			// The upstream no longer has the tag, so remove it from the local
			// store.
			if err := s.removeTag(ctx, p, reference); err != nil {
				return m, err
			}
			s.refreshed(p, manifestKind, reference)
		}
		return m, unknown(code, p.reference(reference))
	}
	if err == nil {
		err = describe(&m)
	}
	if err != nil {
		return m, failure(err, p.reference(reference))
	}
	var tags []string
	if !strings.Contains(reference, ":") {
		tags = []string{reference}
	}
	if err := s.local.PutManifest(ctx, p.local, m, tags, nil); err != nil {
		return m, fmt.Errorf("recording %s: %w", p.reference(reference), err)
	}
	if err := s.recording.found(p, manifestKind, reference); err != nil {
		return m, err
	}
	if again {
		s.refreshed(p, manifestKind, reference)
	}
	return m, nil
}

// removeTag removes a tag that the upstream no longer has from the local store.
// It does nothing if the reference is a digest.
func (s *Store) removeTag(ctx context.Context, p place, reference string) error {
	if strings.Contains(reference, ":") {
		return nil
	}
	if err := s.local.DeleteTag(ctx, p.local, reference); err != nil && !missing(err) {
		return fmt.Errorf("removing %s: %w", p.reference(reference), err)
	}
	return nil
}

// Repositories implements [registry.Store].
func (s *Store) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return s.local.Repositories(ctx, after)
}
