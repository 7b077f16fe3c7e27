package upstream

import (
	"net/http"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// Options returns the options that a registry needs besides the Store:
// [Store.Middleware], and [registry.WithReadOnly] unless writes are passed on.
func (s *Store) Options() []registry.Option {
	opts := []registry.Option{registry.WithMiddleware(s.Middleware)}
	if !s.writes {
		opts = append(opts, registry.WithReadOnly())
	}
	return opts
}

// Middleware is a [registry.Middleware] that makes the parameter ns name the
// upstream (distribution spec, section Registry Proxying), as containerd sends
// it. It responds with 404 if no upstream has that name, so that a client goes to
// the registry itself. An ns that is the host of the request changes nothing.
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
				defer func() { r.Repo = repo }() // for the records of requests
				r.Repo = ns + "/" + repo
			}
			return next(w, r)
		}
		e := registry.Errorf(registry.CodeNameUnknown, "%.255s is no upstream of this registry", ns)
		e.Status = http.StatusNotFound
		return e
	}
}
