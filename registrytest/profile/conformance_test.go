package profile

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// A verdict is a conformance.TB that stores the failure of a check.
type verdict struct {
	failure  string
	cleanups []func()
}

func (v *verdict) Helper()          {}
func (v *verdict) Cleanup(f func()) { v.cleanups = append(v.cleanups, f) }
func (v *verdict) Fatalf(format string, args ...any) {
	v.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// A direct is a RoundTripper that adds credentials to requests and calls a
// handler without a network.
type direct struct {
	http.Handler
	authorize func(*http.Request)
}

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if d.authorize != nil {
		d.authorize(in)
	}
	out := httptest.NewRecorder()
	func() {
		defer func() {
			if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
				panic(cause)
			}
		}()
		d.ServeHTTP(out, in)
	}()
	resp := out.Result()
	resp.Request = r
	if r.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp, nil
}

// violated checks a registry with the profile. It returns the failure messages
// by the name of the violated requirement. The features in without are those
// that the registry lacks. If only is not nil, it lists the requirements to
// check.
func violated(p *Profile, without []registry.Feature, only []string) map[string]string {
	limit := int64(4 << 20)
	if slices.Contains(p.Quirks(), "gitea.manifest-limit") {
		limit = 10 << 20
	}
	return check(registry.New(memstore.New(), p.Options()...), authorizer(p), without, only, limit)
}

func check(h http.Handler, authorize func(*http.Request), without []registry.Feature, only []string, limit int64) map[string]string {
	target := conformance.Target{
		URL: "http://registry.test", Client: &http.Client{Transport: direct{h, authorize}},
		Repo: "probe", Without: without, ManifestLimit: limit,
	}
	failures := make(map[string]string)
	for _, r := range conformance.Requirements() {
		if slow(r) || only != nil && !slices.Contains(only, r.Name) {
			continue
		}
		v := new(verdict)
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				for _, f := range slices.Backward(v.cleanups) {
					f()
				}
			}()
			r.Check(v, target)
		}()
		<-done
		if v.failure != "" {
			failures[r.Name] = v.failure
		}
	}
	return failures
}

// applicable returns those of the named requirements that apply to a registry
// without the features. It finds them by checking a handler that always fails.
func applicable(names []string, without []registry.Feature) map[string]string {
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	return check(broken, nil, without, append([]string{}, names...), 4<<20)
}

// slow reports whether the check of a requirement takes seconds.
func slow(r conformance.Requirement) bool {
	return slices.Contains([]string{
		"manifest size is limited", "Link leads to the next referrers",
		"list of referrers is no larger than a manifest", "Link keeps the filter",
	}, r.Name)
}

// large reports whether the check of a requirement pushes a manifest of megabytes.
func large(r conformance.Requirement) bool {
	return r.Name == "manifest of 4 megabytes" || r.Name == "oversized manifest is 413"
}

// A registry with a profile violates the requirements that its quirks list in
// their field Breaks, and no others. Requirements that do not apply to the
// registry, and those with slow checks, are left out.
func TestConformance(t *testing.T) {
	t.Parallel()
	for p := range All(Repositories("probe/**")) {
		t.Run(p.Name(), func(t *testing.T) {
			t.Parallel()
			var claimed []string
			for _, q := range p.Quirks() {
				claimed = append(claimed, q.Fact().Breaks...)
			}
			failures := violated(p, p.Without(), nil)
			applies := applicable(claimed, p.Without())
			for name, text := range failures {
				if _, ok := applies[name]; !ok {
					t.Errorf("the registry violates %q, which no quirk has in Breaks; add it to the quirk that causes the violation\n%s", name, text)
				}
			}
			for name := range applies {
				if _, ok := failures[name]; !ok {
					t.Errorf("the registry does not violate %q; remove it from Breaks", name)
				}
			}
		})
	}
}

// A registry with a single quirk violates the requirements that the quirk lists
// in its field Breaks.
func TestConformanceOfQuirks(t *testing.T) {
	t.Parallel()
	for _, s := range sites {
		for i := range s.quirks {
			q := &s.quirks[i]
			if len(q.Breaks) == 0 || q.of() != s {
				continue
			}
			t.Run(string(q.Name), func(t *testing.T) {
				t.Parallel()
				p := q.Name.profile(Repositories("probe/**"))
				failures := violated(p, p.Without(), q.Breaks)
				// Some requirements apply only to registries that lack a
				// feature. Another quirk of the same registry may remove that
				// feature.
				for _, other := range sites {
					if whole := Get(other.nameWith(q)); index(whole.quirks, q.Name) >= 0 {
						maps.Copy(failures, violated(p, whole.Without(), q.Breaks))
					}
				}
				require.Equal(t, slices.Sorted(slices.Values(q.Breaks)), slices.Sorted(maps.Keys(failures)))
			})
		}
	}
}
