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
// upstream does not have. Later it gives the same answers, even if the upstream
// has changed or cannot be reached. It does not keep failures, such as 401, 429
// and 503, and asks the upstream again.
//
// The repositories of the first upstream have the names that they have there,
// and those of the others begin with the name of the upstream, as in
// "ghcr.io/team/app". With the middleware of [Store.Options], the parameter ns
// names the upstream as well (distribution spec, section Registry Proxying). Names
// of Docker Hub without a slash are those of library/.
//
// The Store is an option of package registrytest and, with its method Options,
// brings options for package registry:
//
//	reg := registrytest.NewServer(t, registrytest.WithStore(cache), cache)
//
// Writes fail with an error that a registry answers with 405, unless [PassWrites]
// is given. Package overlay puts a store for pushes above it. Repositories yields
// the repositories that have been recorded.
type Store struct {
	local     registry.Store
	upstreams []*Registry // the first is the default; store is nil if it is not given
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
	missed map[string]bool
}

var _ registry.Store = (*Store)(nil)

// A StoreOption configures a [Store]. Every [Registry] is one.
type StoreOption interface{ applyTo(*Store) error }

type storeOption func(*Store) error

func (o storeOption) applyTo(s *Store) error { return o(s) }

func (r *Registry) applyTo(s *Store) error {
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

// RecordTo keeps a file beside the content that the local store holds: lists of
// tags and of referrers, names of content that does not exist, and the names of
// the upstreams. The file need not exist. The file can be in the directory of a
// layout if its name begins with a dot, as [RecordingFile] does.
// Without RecordTo, the Store keeps these facts in memory. Only one Store may
// use the file.
func RecordTo(file string) StoreOption {
	return storeOption(func(s *Store) (err error) {
		s.recording, err = openRecording(file)
		return err
	})
}

// RecordingFile is a name for the file of [RecordTo] in the directory of a layout.
const RecordingFile = ".ocireg-recording.json"

// Offline makes the Store ask no upstream. The response to a request for
// content that was not recorded is 404 and names the content. [Store.Missed]
// lists such content.
func Offline() StoreOption {
	return storeOption(func(s *Store) error { s.offline = true; return nil })
}

// Refresh makes the Store ask the upstream again for recorded tags. An argument
// is a tag in all repositories, such as "latest", a tag in one, such as
// "library/alpine:latest", or "all" for all tags, lists and missing content.
func Refresh(tags ...string) StoreOption {
	return storeOption(func(s *Store) error { return s.refresh.add(tags) })
}

// PassWrites makes the Store pass pushes and deletions on to the upstream, with
// the Store's credentials, and keep pushed content.
func PassWrites() StoreOption {
	return storeOption(func(s *Store) error { s.writes = true; return nil })
}

// Open returns a store that keeps content in the local one, such as a layout.
// Content that the local store already has counts as recorded. Open fails if an
// option is invalid, or if the file of [RecordTo] is damaged. The upstreams are
// the registries of the file, followed by those of the options. The Store sends
// requests only to registries of the options.
//
// The caller closes the Store, and the local store after it.
func Open(local registry.Store, opts ...StoreOption) (*Store, error) {
	if local == nil {
		return nil, errors.New("upstream: Open needs a store; memstore.New() makes an empty one")
	}
	s := &Store{local: local, missed: make(map[string]bool)}
	// Upstreams that were recorded come first.
	var registries []StoreOption
	for _, o := range opts {
		if _, ok := o.(*Registry); ok {
			registries = append(registries, o)
		} else if err := o.applyTo(s); err != nil {
			return nil, fmt.Errorf("opening a store with upstreams: %w", err)
		}
	}
	if s.recording == nil {
		s.recording = newRecording("")
	}
	for _, name := range s.recording.upstreams() {
		s.upstreams = append(s.upstreams, &Registry{name: name})
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

// Close closes idle connections to the upstreams. Calls of other methods must
// have returned.
func (s *Store) Close() error {
	for _, u := range s.upstreams {
		u.close()
	}
	return nil
}

// Upstreams returns the names of the upstreams, those of the recording
// included. The names of the first one's repositories have no prefix.
func (s *Store) Upstreams() []string {
	all := make([]string, len(s.upstreams))
	for i, u := range s.upstreams {
		all[i] = u.name
	}
	return all
}

// Missed returns the names of requested content that was not recorded, in
// order.
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

// A place is a repository.
type place struct {
	upstream *remote.Store // or nil, if it is not to be asked
	remote   string        // its name there
	local    string        // its name in the local store
	from     string        // its full name, such as "docker.io/library/alpine"
}

// find returns the place of a repository with a name as clients use it.
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

// reference returns the full name of a manifest.
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

// StatManifest implements [registry.Store]. It fetches a manifest that is not
// recorded, because a recorded tag must lead to recorded content.
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

// fetchManifest gets a manifest from the upstream and keeps it.
func (s *Store) fetchManifest(ctx context.Context, p place, reference string) (registry.Manifest, error) {
	again := s.refreshes(p, manifestKind, reference)
	if !again {
		// Another call may have just ended.
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
			// The upstream no longer has the tag, so the local store drops it.
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

// removeTag removes a tag that the upstream no longer has.
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
