package profile

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// An access describes the authentication of a real registry, without its quirks.
// The zero access requires no authentication.
type access struct {
	scheme    func(rules ...string) *auth.Auth
	basic     bool   // whether the only credentials are a name and a password
	anonymous bool   // whether anonymous clients may pull from public repositories
	user      string // user name in Credentials; "" stands for "user"
	service   string // see Auth.Service in package auth
	host      string // host of the token service, or "" for that of the registry
	path      string // path of the token service, or "" for /token
}

// kind describes the kind of authentication in words. A quirk that concerns one
// kind has little or no effect on a registry with another kind.
func (a access) kind() string {
	switch {
	case a.scheme == nil:
		return "no authentication"
	case a.basic:
		return "basic authentication"
	default:
		return "a token service"
	}
}

// A setup is a profile while its authentication is being configured.
type setup struct {
	*Profile
	quirk *quirk // quirk whose part is being applied
}

// authenticate sets p.auth to the authentication of the real registry, as the
// quirks of the profile change it.
func (p *Profile) authenticate() {
	a := p.site.access
	if a.scheme == nil || p.set.noAuth {
		return
	}
	var rules []string
	if a.anonymous {
		public := []string{"**"}
		if p.set.public != nil {
			public = p.set.public
		}
		for _, pattern := range public {
			rules = append(rules, "anonymous pull "+pattern)
		}
	}
	p.auth = a.scheme(rules...)
	p.auth.Service, p.auth.TokenPath = a.service, a.path
	if p.set.network && a.host != "" {
		p.auth.Realm = "https://" + a.host + cmp.Or(a.path, "/token")
	}
	p.login = p.auth.User(cmp.Or(a.user, "user"))
	for _, q := range p.quirks {
		for _, part := range q.do {
			if part.auth != nil {
				part.auth(&setup{p, q})
			}
		}
	}
}

// Auth returns the authentication of the registry, with which a caller adds
// users and lists the issued tokens. It returns nil if the profile has no
// authentication.
func (p *Profile) Auth() *auth.Auth { return p.auth }

// Credentials returns the credentials of a user with every right. They are empty
// if the profile has no authentication.
func (p *Profile) Credentials() auth.Credentials { return p.login }

// Hosts returns the names of the real registry's other hosts, which serve tokens
// and blobs. With [RealHosts], a registrytest.Network serves the handler of the
// registry at each of them:
//
//	p := profile.DockerHub(profile.RealHosts())
//	hub := network.Registry("docker.io", p)
//	for _, host := range p.Hosts() {
//		network.Handle(host, hub.Handler())
//	}
func (p *Profile) Hosts() []string {
	var hosts []string
	if p.auth != nil && p.site.access.host != "" {
		hosts = append(hosts, p.site.access.host)
	}
	if p.err == nil {
		if s := newBuild(p).storage; s != nil && s.host != "" {
			hosts = append(hosts, s.host)
		}
	}
	return hosts
}

// unauthorized returns a 401 error with a challenge for the scope that the
// request requires. The code is an error code of RFC 6750, or "".
func (b *build) unauthorized(r *registry.Request, code, message string) *registry.Error {
	action := "pull"
	if r.Op.Action() == registry.ActionPush {
		action = "pull,push"
	}
	challenge := fmt.Sprintf(`Bearer realm="%s",service="%s",scope="repository:%s:%s"`, b.realm(r), cmp.Or(b.auth.Service, r.Host), r.Repo, action)
	if code != "" {
		challenge += `,error="` + code + `"`
	}
	values := []string{challenge}
	if b.auth.Challenge != nil {
		values = b.auth.Challenge(r, values)
	}
	e := registry.Errorf(registry.CodeUnauthorized, "%s", message)
	e.Header = http.Header{"Www-Authenticate": values}
	return e
}

// realm returns the URL of the token service.
func (p *Profile) realm(r *registry.Request) string {
	if p.auth.Realm != "" {
		return p.auth.Realm
	}
	return origin(r) + r.Prefix + cmp.Or(p.auth.TokenPath, "/token")
}

// origin returns the scheme and host of the request.
func origin(r *registry.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// challenge returns a behaviour in which the function change replaces the
// challenges in 401 responses.
func challenge(change func(r *registry.Request, values []string) []string) behaviour {
	return behaviour{{auth: func(s *setup) {
		before, q := s.auth.Challenge, s.quirk
		s.auth.Challenge = func(r *registry.Request, values []string) []string {
			if before != nil {
				values = before(r, values)
			}
			was := strings.Join(values, "\n")
			if values = change(r, values); strings.Join(values, "\n") != was {
				r.Note(q.receipt())
			}
			return values
		}
	}}}
}

// tokenFields returns a behaviour in which the function change edits the fields
// of each response of the token service.
func tokenFields(change func(fields map[string]any)) behaviour {
	return together(seenInTokens(), behaviour{{auth: func(s *setup) {
		before := s.auth.TokenResponse
		s.auth.TokenResponse = func(fields map[string]any) {
			if before != nil {
				before(fields)
			}
			change(fields)
		}
	}}})
}

// seenInTokens returns a behaviour that adds the quirk's receipt to the record
// of each response with a token.
func seenInTokens() behaviour {
	return onResponse(func(_ *registry.Request, status int, _ http.Header, note func()) int {
		if status == http.StatusOK {
			note()
		}
		return status
	}, registry.GetToken)
}

// aboutAuth returns b as a behaviour that requires the authentication of its
// registry.
func aboutAuth(b behaviour) behaviour {
	return append(behaviour{{auth: func(*setup) {}}}, b...)
}
