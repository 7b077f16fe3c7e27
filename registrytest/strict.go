package registrytest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/ocireg/registry"
)

// WithLinter has a linter look at all requests when the server is closed, and
// the test fails for each finding.
//
//	reg := registrytest.NewServer(t, registrytest.WithLinter(registrytest.Linter{}))
//
// With it, the server adds a parameter to the URLs that it gives to clients for
// their next request, in Location and Link, as many registries do: so it sees
// who drops or rebuilds it.
func WithLinter(l Linter) registry.Option {
	return newOption(func(set *settings) {
		set.prepare = append(set.prepare, func(s *Server) {
			s.journal.ReadManifests()
			s.options = append(s.options, registry.WithMiddleware(new(states).middleware))
			s.onEnd(func() { l.report(s.t, s.Requests()) })
		})
	})
}

// report tells the test what is found.
func (l Linter) report(t TB, r Requests) {
	t.Helper()
	for _, f := range l.Lint(r) {
		if l.LogOnly {
			t.Logf("registrytest: %v", f)
		} else {
			t.Errorf("registrytest: %v", f)
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
	query.Set(StateParam, fmt.Sprintf("%d/+=", s.last.Add(1)))
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
