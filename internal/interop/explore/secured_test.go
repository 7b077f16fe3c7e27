package explore

import (
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// secured returns the options of a registry that asks for the credentials.
func secured(scheme func(...string) *auth.Auth, more ...registrytest.Option) []explore.Option {
	return []explore.Option{explore.Server(func(t *explore.T) []registrytest.Option {
		a := scheme()
		if err := a.AddUser(auth.Credentials{Username: user, Password: password}, "pull,push team/**"); err != nil {
			t.Fatalf("%v", err)
		}
		return append([]registrytest.Option{a}, more...)
	})}
}

// TestNewestWithLogins explores the newest clients against registries that ask for
// credentials, over HTTPS.
func TestNewestWithLogins(t *testing.T) {
	var ops []matrix.Operation
	for _, c := range []struct {
		name       string
		pull, push func(*explore.T, *registrytest.Server) error
	}{
		{"go-containerregistry", ggcrPull, ggcrPush},
		{"oras-go", orasPull, orasPush},
		{"regclient", regclientPull, regclientPush},
		{"containerd", containerdPull, containerdPush},
	} {
		for _, scheme := range []struct {
			name string
			auth func(...string) *auth.Auth
		}{{"Basic", auth.Basic}, {"Bearer", auth.Bearer}} {
			options := secured(scheme.auth, registrytest.WithTLS(registrytest.OnlyHTTP1))
			ops = append(ops,
				matrix.Operation{Name: c.name + " pull, " + scheme.name, Setup: seed, Run: c.pull, Options: options},
				matrix.Operation{Name: c.name + " push, " + scheme.name, Run: c.push, Options: options})
		}
	}
	matrix.EveryFault(t, docs, "explored logins", ops)
}

// TestNewestLists explores how the newest clients list tags and referrers, against a
// registry that asks for credentials. Lists have two entries on a page, unless the client
// requests only one page. With -short it explores only one of the lists.
func TestNewestLists(t *testing.T) {
	pages := secured(auth.Basic, registry.WithPageSize(2))
	matrix.EveryFault(t, docs, "explored lists", []matrix.Operation{
		{Name: "go-containerregistry tags", Setup: seedPages, Run: whole(ggcrTags), Options: pages, Short: 20},
		// go-containerregistry and containerd request one page of referrers only.
		{Name: "go-containerregistry referrers", Setup: seedPages, Run: whole(ggcrReferrers), Options: secured(auth.Basic)},
		{Name: "oras-go tags", Setup: seedPages, Run: whole(orasTags), Options: pages},
		{Name: "oras-go referrers", Setup: seedPages, Run: whole(orasReferrers), Options: pages},
		{Name: "regclient tags", Setup: seedPages, Run: whole(regclientTags), Options: pages},
		{Name: "regclient referrers", Setup: seedPages, Run: whole(regclientReferrers), Options: pages},
		{Name: "containerd tags", Lacks: "lists no tags"},
		{Name: "containerd referrers", Setup: seedPages, Run: whole(containerdReferrers), Options: secured(auth.Basic)},
	})
}

// count is the number of tags, and of referrers.
const count = 5

// seedPages fills the lists of tags and referrers.
func seedPages(t *explore.T, reg *registrytest.Server) {
	for i := range count {
		reg.Push(t, fmt.Sprintf("team/app:v%d", i+1), image())
		reg.Push(t, "team/app", content.Artifact("application/vnd.example.file", content.Subject(image()), content.Annotation("org.example.number", fmt.Sprint(i))))
	}
}

// whole returns an operation that lists. Its first run, which is undisturbed, has to
// get the whole list.
func whole(list func(*explore.T, *registrytest.Server) ([]string, error)) func(*explore.T, *registrytest.Server) error {
	undisturbed := true
	return func(t *explore.T, reg *registrytest.Server) error {
		entries, err := list(t, reg)
		if undisturbed && err == nil && len(entries) != count {
			t.Errorf("the list has %d entries, want %d: %v", len(entries), count, entries)
		}
		undisturbed = false
		t.Result("list", entries)
		return err
	}
}

func digestsOf(list []ocispec.Descriptor) (digests []string) {
	for _, d := range list {
		digests = append(digests, d.Digest.String())
	}
	return digests
}

func ggcrRepository(t *explore.T, reg *registrytest.Server) (name.Repository, []remote.Option, error) {
	repo, err := name.NewRepository(reg.Ref("team/app"))
	return repo, append(ggcrOptions(t, reg), remote.WithAuth(&authn.Basic{Username: user, Password: password})), err
}

func ggcrTags(t *explore.T, reg *registrytest.Server) ([]string, error) {
	repo, options, err := ggcrRepository(t, reg)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repo, options...)
	if err != nil {
		return nil, err
	}
	return tags, nil
}

func ggcrReferrers(t *explore.T, reg *registrytest.Server) ([]string, error) {
	repo, options, err := ggcrRepository(t, reg)
	if err != nil {
		return nil, err
	}
	index, err := remote.Referrers(repo.Digest(image().Digest.String()), options...)
	if err != nil {
		return nil, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, d := range m.Manifests {
		digests = append(digests, d.Digest.String())
	}
	return digests, nil
}

func orasTags(t *explore.T, reg *registrytest.Server) ([]string, error) {
	repo, _, err := orasRepository(reg)
	if err != nil {
		return nil, err
	}
	var tags []string
	if err := repo.Tags(t.Context(), "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	}); err != nil {
		return nil, err
	}
	return tags, nil
}

func orasReferrers(t *explore.T, reg *registrytest.Server) ([]string, error) {
	repo, _, err := orasRepository(reg)
	if err != nil {
		return nil, err
	}
	var list []ocispec.Descriptor
	if err := repo.Referrers(t.Context(), image().Descriptor(), "", func(page []ocispec.Descriptor) error {
		list = append(list, page...)
		return nil
	}); err != nil {
		return nil, err
	}
	return digestsOf(list), nil
}

func regclientTags(t *explore.T, reg *registrytest.Server) ([]string, error) {
	rc, r, err := regclientOf(reg)
	if err != nil {
		return nil, err
	}
	tags, err := rc.TagList(t.Context(), r)
	if err != nil {
		return nil, err
	}
	return tags.Tags, nil
}

func regclientReferrers(t *explore.T, reg *registrytest.Server) ([]string, error) {
	rc, r, err := regclientOf(reg)
	if err != nil {
		return nil, err
	}
	referrers, err := rc.ReferrerList(t.Context(), r)
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, d := range referrers.Descriptors {
		digests = append(digests, d.Digest.String())
	}
	return digests, nil
}

func containerdReferrers(t *explore.T, reg *registrytest.Server) ([]string, error) {
	ctx := quiet(t.Context())
	fetcher, err := containerdResolver(reg).Fetcher(ctx, reg.Ref("team/app:v1"))
	if err != nil {
		return nil, err
	}
	list, err := fetcher.(remotes.ReferrersFetcher).FetchReferrers(ctx, image().Digest)
	if err != nil {
		return nil, err
	}
	return digestsOf(list), nil
}
