package profile

import (
	"net/http"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// The behaviours in this file are shared by several registries.

// challenges returns the behaviour of a registry that requires credentials, with
// a plain challenge for its authentication scheme.
func challenges() behaviour {
	return append(wrap(func(_ *build, _ http.ResponseWriter, r *registry.Request, err error, note func()) error {
		if all := errorsOf(err); len(all) > 0 && all[0].Header.Get("WWW-Authenticate") != "" && r.Op != registry.GetToken {
			note()
		}
		return err
	}), part{decides: "the challenge", auth: func(*setup) {}})
}

// rewrittenChallenge returns the behaviour of a registry that requires
// credentials, with these values of WWW-Authenticate. In the values, <host> and
// <registry> stand for the host and the URL of the registry, and <scope> for the
// scope that the request requires.
func rewrittenChallenge(values ...string) behaviour {
	return append(challenge(func(r *registry.Request, old []string) []string {
		scope := ""
		if _, after, ok := strings.Cut(strings.Join(old, ", "), `scope="`); ok {
			scope, _, _ = strings.Cut(after, `"`)
		}
		_, failure, failed := strings.Cut(strings.Join(old, ", "), `,error="`)
		replacer := strings.NewReplacer("<host>", r.Host, "<registry>", origin(r)+r.Prefix, "<scope>", scope)
		changed := make([]string, len(values))
		for i, v := range values {
			changed[i] = replacer.Replace(v)
			if failed && strings.HasPrefix(v, "Bearer ") {
				changed[i] += `,error="` + failure
			}
		}
		return changed
	}), part{decides: "the challenge"})
}

// withoutETags returns the behaviour of a registry that sends no ETag and
// ignores If-None-Match.
func withoutETags() behaviour {
	return without(registry.ConditionalReads, func(_ *registry.Request, status int, _ http.Header) bool {
		return status == http.StatusOK
	}, registry.HeadManifest, registry.GetManifest)
}

// probeETag is a probe of the ETag of a manifest.
func probeETag(p *prober) string {
	p.image("v1")
	return p.get("GET", "v1").field("ETag")
}

// withoutReferrers returns the behaviour of a registry without the referrers
// API.
func withoutReferrers() behaviour {
	return without(registry.ListReferrers, func(_ *registry.Request, status int, _ http.Header) bool {
		return status == http.StatusNotFound
	}, registry.ListReferrers).deciding("referrers")
}

// singlePost202 returns the behaviour of a registry that ignores the digest and
// the blob in a single POST, and starts an upload session.
func singlePost202() behaviour {
	return without(registry.PostBlob, func(_ *registry.Request, status int, _ http.Header) bool {
		return status == http.StatusAccepted
	}, registry.PostBlob)
}

// noAnonymousMount returns the behaviour of a registry that starts an upload
// session if a mount names no source.
func noAnonymousMount() behaviour {
	return without(registry.AnonymousMount, func(r *registry.Request, status int, _ http.Header) bool {
		return r.From == "" && status == http.StatusAccepted && mountable(r)
	}, registry.MountBlob)
}

// absoluteLocations returns the behaviour of a registry that sends absolute URLs
// in Location and Link.
func absoluteLocations() behaviour {
	return without(registry.RelativeLocations, func(_ *registry.Request, _ int, h http.Header) bool {
		return h.Get("Location") != "" || h.Get("Link") != ""
	}, registry.StartUpload, registry.PostBlob, registry.MountBlob, registry.PatchUpload, registry.PutUpload, registry.GetUpload,
		registry.PutManifest, registry.ListTags, registry.ListReferrers, registry.ListRepositories)
}

// illegalName404 returns the behaviour of a registry that responds to an invalid
// repository name with the plain 404 response of a router.
func illegalName404() behaviour {
	return wrap(func(_ *build, w http.ResponseWriter, r *registry.Request, err error, note func()) error {
		all := errorsOf(err)
		if len(all) == 0 || all[0].Code != registry.CodeNameInvalid || names.Repository(r.Repo) {
			return err
		}
		note()
		return write(w, r, http.StatusNotFound, "text/plain; charset=utf-8", "404 page not found\n")
	}).deciding("names that are not valid")
}

// tokenOnly returns the behaviour of a token service whose responses have only
// the named field.
func tokenOnly(field string) behaviour {
	return tokenFields(func(fields map[string]any) {
		for name := range fields {
			if name != field {
				delete(fields, name)
			}
		}
	}).deciding("the fields of token responses")
}

// probeTokenFields is a probe of the fields in a response of the token service.
func probeTokenFields(p *prober) string {
	p.image("v1")
	r := p.token("repository:" + p.repo + ":pull")
	var found []string
	for _, name := range []string{"token", "access_token", "expires_in", "issued_at"} {
		if strings.Contains(r.body, `"`+name+`"`) {
			found = append(found, name)
		}
	}
	return r.only() + " " + strings.Join(found, " ")
}

// subjectMustExist returns the behaviour of a registry that refuses a manifest
// if its subject is not in the repository.
func subjectMustExist(status int, code registry.Code, message string) behaviour {
	return refuseManifest(func(_ *build, r *registry.Request, d document) *registry.Error {
		if d.Subject == nil {
			return nil
		}
		if _, err := r.Store().StatManifest(r.Context(), r.Repo, string(d.Subject.Digest)); err == nil {
			return nil
		}
		return &registry.Error{Status: status, Code: code, Message: message}
	}).deciding("missing subjects")
}

// subjectWithoutAPI returns the behaviour of a registry that confirms a subject
// with OCI-Subject, although it has no referrers API.
func subjectWithoutAPI() behaviour {
	return append(withoutReferrers(), part{decides: "OCI-Subject", build: func(b *build, q *quirk) {
		b.addFault([]registry.Op{registry.PutManifest}, func(r *registry.Request) *registry.Fault {
			d := readManifest(r)
			if d.Subject == nil {
				return nil
			}
			return &registry.Fault{Quirk: true, Header: func(status int, h http.Header) int {
				if status == http.StatusCreated && h.Get("OCI-Subject") == "" {
					r.Note(q.receipt())
					h.Set("OCI-Subject", string(d.Subject.Digest))
				}
				return status
			}}
		})
	}})
}
