package profile

import (
	"net/http"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// The behaviours about pushes that several registries share.

// frozenRange sends the Range of the first chunk with all chunks of a session.
func frozenRange() behaviour {
	return behaviour{{decides: "the Range of chunks", build: func(b *build, q *quirk) {
		var mu sync.Mutex
		first := make(map[string]string) // by session
		for _, p := range header(func(r *registry.Request, status int, h http.Header) int {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.Op == registry.PutUpload || r.Op == registry.CancelUpload:
				delete(first, r.Session)
			case first[r.Session] == "":
				first[r.Session] = h.Get("Range")
			default:
				h.Set("Range", first[r.Session])
			}
			return status
		}, registry.PatchUpload, registry.PutUpload, registry.CancelUpload) {
			p.build(b, q)
		}
	}}}
}

// mountIf mounts a blob if the condition is met, and otherwise starts an upload
// session.
func mountIf(met func(b *build, r *registry.Request) bool) behaviour {
	return behaviour{{decides: "mounts", build: func(b *build, q *quirk) {
		b.addFault([]registry.Op{registry.MountBlob}, func(r *registry.Request) *registry.Fault {
			if r.From == "" || met(b, r) {
				return nil
			}
			return &registry.Fault{Quirk: true, Before: func(r *registry.Request) error {
				r.Note(q.receipt())
				r.Digest = "" // A mount of nothing starts a session.
				return nil
			}}
		})
	}}}
}

// immutableTags refuses to move a tag, with the error that find returns.
func immutableTags(find func(r *registry.Request) *registry.Error) behaviour {
	return behaviour{{decides: "tags that move", build: func(b *build, q *quirk) {
		b.others = append(b.others, registry.WithTagCheck(func(r *registry.Request, _ string, current, next digest.Digest) error {
			if current == "" || current == next {
				return nil
			}
			r.Note(q.receipt())
			return find(r)
		}))
	}}}
}

// probeMovedTag observes a push of another image with a tag that exists.
func probeMovedTag(p *prober) string {
	p.image("v1")
	return p.put(p.build(nil), "v1").code()
}

// probeMissingRepository observes the start of an upload to a repository that
// does not exist.
func probeMissingRepository(p *prober) string {
	missing := *p
	missing.repo = "missing/" + p.repo
	return missing.do("POST", missing.path("blobs", "uploads/"), "").code()
}
