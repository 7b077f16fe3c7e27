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

// Options returns the options of a registry for the linter: the registry adds a
// query parameter to the URLs in Location and Link, as many registries do, so
// that the linter notices a client that loses the query. The result is empty if
// the linter checks no rule about URLs.
func (l Linter) Options() []registry.Option {
	if !l.checks(UploadLocation, LatestLocation, Link) {
		return nil
	}
	return []registry.Option{registry.WithMiddleware(new(states).middleware)}
}

// Observe makes the journal read the manifests that clients push, if the linter
// checks a rule about them. Package registrytest calls it.
func (l Linter) Observe(j *journal.Journal) {
	if l.checks(MediaType, ReferrersTag) {
		j.ReadManifests()
	}
}

// states adds a query parameter to URLs in responses. The registry ignores the
// parameter.
type states struct{ last atomic.Int64 }

func (s *states) middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		switch {
		case r.Op.Pages(), r.Op.StartsUpload(), r.Op == registry.PatchUpload, r.Op == registry.GetUpload:
			w = &stateWriter{ResponseWriter: w, states: s}
		}
		return next(w, r)
	}
}

// add returns the URL with a new value of the parameter.
func (s *states) add(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	query := u.Query()
	// A client that escapes carelessly changes this value.
	query.Set(journal.StateParam, fmt.Sprintf("%d/+=", s.last.Add(1)))
	u.RawQuery = query.Encode()
	return u.String()
}

// A stateWriter adds the parameter to the URLs in a response.
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

// Unwrap returns the writer below, for [http.ResponseController].
func (w *stateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
