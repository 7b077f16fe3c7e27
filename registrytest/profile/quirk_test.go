package profile

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/tempdir"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/lint"
)

// newProber starts a registry with the profile, or without one if p is nil. It
// returns the registry, and a prober whose user has every right.
func newProber(t *testing.T, p *Profile, opts ...registrytest.Option) (*prober, *registrytest.Server) {
	t.Helper()
	if p != nil {
		opts = append(opts, p)
	}
	reg := registrytest.NewServer(t, opts...)
	client := *reg.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	pr := &prober{ctx: t.Context(), client: &client, user: &client, base: reg.URL, repo: "probe/app", absent: "missing/app"}
	if p != nil && p.auth != nil {
		pr.user, pr.login = pr.clientOf(authorizing{client.Transport, authorizer(p)}), p.login
	}
	return pr, reg
}

// authorizer returns a function that adds the profile's credentials to a
// request, or nil if the profile has no authentication.
func authorizer(p *Profile) func(*http.Request) {
	switch {
	case p.auth == nil:
		return nil
	case p.site.access.basic:
		return func(r *http.Request) { r.SetBasicAuth(p.login.Username, p.login.Password) }
	}
	token := p.auth.StaticToken(p.login.Username)
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// A registry with a quirk alone, and a registry with the whole profile, behave
// as the probe of the quirk wants. A registry without the quirk behaves
// differently.
func TestQuirks(t *testing.T) {
	t.Parallel()
	for _, s := range sites {
		for i := range s.quirks {
			q := &s.quirks[i]
			t.Run(string(q.Name), func(t *testing.T) {
				t.Parallel()
				if q.sleeps {
					synctest.Test(t, func(t *testing.T) { testQuirk(t, s, q, registrytest.WithInMemory()) })
				} else {
					testQuirk(t, s, q)
				}
			})
		}
	}
}

func testQuirk(t *testing.T, s *site, q *quirk, opts ...registrytest.Option) {
	t.Helper()
	observe := func(p *Profile) (string, *registrytest.Server) {
		pr, reg := newProber(t, p, opts...)
		got, err := pr.run(q.probe)
		if err != nil {
			return err.Error(), reg
		}
		return got, reg
	}
	plain, _ := observe(nil)
	require.NotEqual(t, q.want, plain, "a registry without the quirk must behave differently")

	// The registry with only the quirk is on disk. The registry with the whole
	// profile is in memory.
	inMemory := opts
	if many := q.Name == "ecr.tags-per-image" || q.Name == "distribution-3.tags-1000"; !q.sleeps && !many {
		store, err := layout.Open(tempdir.New(t))
		require.NoError(t, err)
		t.Cleanup(func() { store.Close() })
		opts = append(opts, registrytest.WithStore(store))
	}
	alone, reg := observe(q.Name.profile(Repositories("probe/**")))
	require.Equal(t, q.want, alone, "a registry with only the quirk")
	require.Contains(t, QuirksIn(reg.Requests()), q.Name, "no response has the receipt of the quirk:\n%v", reg.Requests())
	for _, r := range reg.Requests().Records() {
		for _, e := range r.Errors {
			require.NotContains(t, e.Message, "on purpose", "no real registry has this message")
		}
	}
	if s.collection {
		return
	}

	opts = inMemory
	options := []Option{Repositories("probe/**")}
	name := s.nameWith(q)
	if q.setting {
		options = append(options, With(q.Name), Except(contradicted(s, q)...))
	}
	whole, reg := observe(Get(name, options...))
	require.Equal(t, q.want, whole, "a registry with all quirks of %s:\n%v", name, reg.Requests())
	require.Contains(t, QuirksIn(reg.Requests()), q.Name, "no response has the receipt of the quirk:\n%v", reg.Requests())
}

// nameWith returns the name of a profile of the registry that has the quirk. The
// name includes a date if it is known when the quirk began or ended.
func (s *site) nameWith(q *quirk) string {
	switch {
	case q.From != "":
		return s.name + "@" + q.From
	case q.Until != "":
		end, _ := time.Parse(time.DateOnly, firstDay(q.Until)) // TestFacts checks the date.
		return s.name + "@" + end.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return s.name
}

// contradicted returns the quirks of the registry's profile that decide the same
// setting as q.
func contradicted(s *site, q *quirk) (names []Quirk) {
	for i := range s.quirks {
		other := &s.quirks[i]
		if other.Name != q.Name && !other.setting && other.current("") && checkTogether([]*quirk{q, other}) != nil {
			names = append(names, other.Name)
		}
	}
	return names
}

// A linter has no findings for a correct client, even if a quirk changes URLs that
// the linter watches.
func TestLinter(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"distribution-2.8", "gitlab", "acr", "ecr", "quay"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := newProber(t, Get(name, Repositories("probe/**")), lint.Linter{})
			p.image("v1")
			half := strings.Repeat("x", 1000)
			if name == "ecr" {
				half = strings.Repeat("x", 5<<20) // the smallest chunk that ECR accepts
			}
			first := p.chunk(p.start(), 0, half)
			second := p.chunk(p.location(first), len(half), half)
			end := param(p.location(second), "digest", string(digest.FromString(half+half)))
			p.want(p.do("PUT", end, "", "Content-Type", "application/octet-stream"), "ending an upload", http.StatusCreated)
			p.want(p.do("GET", p.path("tags", "list"), ""), "listing tags", http.StatusOK)
		})
	}
}
