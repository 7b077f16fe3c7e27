package lint

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest/journal"
)

// Options returns the options that the linter needs a registry to have. They make the
// registry add the query parameter _state to the URLs in Location and Link, as many
// registries do. With it, the linter notices a client that loses the query. If the
// linter checks no rule about URLs, Options returns nil.
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

// states adds a query parameter, [field.StateParam], to URLs in responses. The
// registry ignores the parameter in requests. The field last is the number of values
// so far.
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

// add returns the URL with the parameter, which has a new value each time.
func (s *states) add(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	query := u.Query()
	// A client that does not escape the query correctly changes this value.
	query.Set(field.StateParam, fmt.Sprintf("%d/+=", s.last.Add(1)))
	u.RawQuery = query.Encode()
	return u.String()
}

// A stateWriter adds the parameter of states to the URLs in a response.
type stateWriter struct {
	conn.Writer
	states *states
}

// Begins adds the parameter when the header of the response is complete.
func (w *stateWriter) Begins(status int) {
	h := w.Header()
	// Keep a parameter of this name that the registry itself put into the Location of
	// an upload, because the registry needs it back.
	if to := h.Get("Location"); to != "" && status != http.StatusCreated && !strings.Contains(to, field.StateParam+"=") {
		h.Set("Location", w.states.add(to))
	}
	if link := h.Get("Link"); strings.HasPrefix(link, "<") {
		to, rest, _ := strings.Cut(link[1:], ">")
		h.Set("Link", "<"+w.states.add(to)+">"+rest)
	}
}
