package upstream

import (
	"net/http"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// Options returns the handler options that a registry needs with the Store:
// [Store.Middleware], and [registry.WithReadOnly] unless [PassWrites] was given.
func (s *Store) Options() []registry.Option {
	opts := []registry.Option{registry.WithMiddleware(s.Middleware)}
	if !s.writes {
		opts = append(opts, registry.WithReadOnly())
	}
	return opts
}

// Middleware, for [registry.WithMiddleware], handles the query parameter ns, with which
// containerd names the upstream (distribution spec, section Registry Proxying).
// If no upstream has that name, it responds with 404, so that the client requests
// the content from the registry that ns names. If ns is the host of the request, it
// has no effect.
func (s *Store) Middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if r.Repo == "" || r.URL.RawQuery == "" {
			return next(w, r)
		}
		ns := r.URL.Query().Get("ns")
		if ns == "" || strings.EqualFold(ns, r.Host) {
			return next(w, r)
		}
		ns = canonicalName(ns)
		for _, u := range s.upstreams {
			if u.name != ns {
				continue
			}
			if names.Component(ns) {
				repo := r.Repo
				defer func() { r.Repo = repo }() // the journal shows the name in the request
				r.Repo = ns + "/" + repo
			}
			return next(w, r)
		}
		e := registry.Errorf(registry.CodeNameUnknown, "%.255s is not an upstream of this registry", ns)
		e.Status = http.StatusNotFound
		return e
	}
}
