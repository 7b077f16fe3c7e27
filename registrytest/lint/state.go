package lint

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// Options returns the options of a registry that make the linter sharper: the
// registry adds a query parameter to the URLs in Location and Link, as many
// registries do, so that the linter sees which clients drop or rebuild it.
func (l Linter) Options() []registry.Option {
	return []registry.Option{registry.WithMiddleware(new(states).middleware)}
}

// Observe has the journal note the facts that the linter needs.
func (l Linter) Observe(j *journal.Journal) { j.ReadManifests() }

// CheckRequests reports every finding as a failure of the test, or logs it if
// LogOnly is set.
func (l Linter) CheckRequests(t journal.TB, r journal.Requests) {
	t.Helper()
	for _, f := range l.Lint(r) {
		if l.LogOnly {
			t.Logf("lint: %v", f)
		} else {
			t.Errorf("lint: %v", f)
		}
	}
}

// states add a query parameter to the URLs that a registry gives to clients
// for their next request, as real registries do, to see whether it comes back.
// The registry itself does not look at it.
type states struct{ last atomic.Int64 }

// middleware is for [registry.WithMiddleware].
func (s *states) middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		switch r.Op {
		case registry.StartUpload, registry.MountBlob, registry.PostBlob, registry.PatchUpload, registry.GetUpload,
			registry.ListTags, registry.ListReferrers, registry.ListRepositories:
			w = &stateWriter{ResponseWriter: w, states: s}
		}
		return next(w, r)
	}
}

// add returns the URL with a value of the parameter that there was not before.
func (s *states) add(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	query := u.Query()
	// Clients that are not careful with what is escaped get it wrong.
	query.Set(journal.StateParam, fmt.Sprintf("%d/+=", s.last.Add(1)))
	u.RawQuery = query.Encode()
	return u.String()
}

// stateWriter adds to the URLs in an answer.
type stateWriter struct {
	http.ResponseWriter
	states *states
	begun  bool
}

func (w *stateWriter) WriteHeader(status int) {
	if !w.begun && status >= 200 {
		w.begun = true
		h := w.Header()
		if to := h.Get("Location"); to != "" && status != http.StatusCreated {
			h.Set("Location", w.states.add(to))
		}
		if link := h.Get("Link"); strings.HasPrefix(link, "<") {
			to, rest, _ := strings.Cut(link[1:], ">")
			h.Set("Link", "<"+w.states.add(to)+">"+rest)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *stateWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *stateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
