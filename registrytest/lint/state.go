package lint

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
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
			sw := &stateWriter{states: s}
			sw.Writer = conn.Writer{ResponseWriter: w, Outer: sw}
			w = sw
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
	conn.Writer
	states *states
}

// Begins changes the header.
func (w *stateWriter) Begins(status int) {
	h := w.Header()
	// The registry may have its own state in the Location of an upload, which
	// the client must return.
	if to := h.Get("Location"); to != "" && status != http.StatusCreated && !strings.Contains(to, journal.StateParam+"=") {
		h.Set("Location", w.states.add(to))
	}
	if link := h.Get("Link"); strings.HasPrefix(link, "<") {
		to, rest, _ := strings.Cut(link[1:], ">")
		h.Set("Link", "<"+w.states.add(to)+">"+rest)
	}
}
