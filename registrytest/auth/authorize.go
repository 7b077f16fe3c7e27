package auth

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ocireg/registry"
)

const authenticationRequired = "authentication required"

// authorize returns an error unless the client may perform the action. It is the
// function for [registry.WithAuthorizer].
func (a *Auth) authorize(r *registry.Request, repo string, action registry.Action) error {
	id, known := identify(r)
	if !known {
		// This request has not passed the middleware: [registry.Request.Public]
		// calls authorize to find out the rights of an anonymous client.
		if err := a.usable(r); err != nil {
			return err
		}
	}
	permitted := a.permits(id.user, repo, action) ||
		r.Op == registry.ListTags && !a.StrictList && a.permits(id.user, repo, registry.ActionPull)
	if id.foreign {
		permitted = true
	}
	if a.always && known && id.user == "" && !id.token {
		permitted = false
	}
	covered := !id.token || id.all || covers(id.scope, repo, action)
	switch {
	case r.Op == registry.ListRepositories && repo != "", r.Op == registry.MountBlob && r.From == "" && action == registry.ActionPull:
		// A client cannot request a token for repositories that its request does
		// not name: those in the catalog, and the source of an anonymous mount.
		covered = !id.foreign || r.Op == registry.ListRepositories || covered
	case r.Op == registry.MountBlob && action == registry.ActionPush && id.token && a.permits(id.user, r.From, registry.ActionPull):
		// A mount also reads from its source. A client that may pull there, but
		// whose token does not cover it, must get a challenge and not a failed
		// mount.
		covered = covered && (r.From == "" || id.all || covers(id.scope, r.From, registry.ActionPull))
	}
	switch {
	case permitted && covered:
		return nil
	case id.user == "" && !id.token:
		return a.unauthorized(r, scopesFor(r), "", authenticationRequired)
	case permitted, id.user == "", a.Forbidden == http.StatusUnauthorized:
		return a.unauthorized(r, scopesFor(r), "insufficient_scope", "the token does not cover this request")
	case a.Forbidden == http.StatusNotFound:
		return registry.Errorf(registry.CodeNameUnknown, "there is no repository %s", repo)
	}
	return registry.Errorf(registry.CodeDenied, "%s may not %s %s", id.user, action, repo)
}

// unauthorized returns the 401 error whose challenge asks for the scopes. The
// code is an error code of RFC 6750, section 3.1, or "".
func (a *Auth) unauthorized(r *registry.Request, scopes []Scope, code, message string) error {
	var values []string
	if a.schemes != basicOnly {
		c := fmt.Sprintf(`Bearer realm="%s",service="%s"`, quoted(a.realm(r)), quoted(a.service(r.Request)))
		if len(scopes) > 0 {
			c += fmt.Sprintf(`,scope="%s"`, quoted(scopeString(scopes)))
		}
		if code != "" && r.Header.Get("Authorization") != "" {
			c += fmt.Sprintf(`,error="%s"`, code)
		}
		values = append(values, c)
	}
	if a.schemes != bearerOnly {
		realm := a.Realm
		if realm == "" || a.schemes == bearerOrBasic {
			realm = "registry"
		}
		values = append(values, fmt.Sprintf(`Basic realm="%s"`, quoted(realm)))
	}
	if a.Challenge != nil {
		values = a.Challenge(r, values)
	}
	e := registry.Errorf(registry.CodeUnauthorized, "%s", message)
	e.Header = http.Header{"Www-Authenticate": values}
	return e
}

// quoted escapes s for a quoted string.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

// realm returns the URL of the token service.
func (a *Auth) realm(r *registry.Request) string {
	if a.Realm != "" {
		return a.Realm
	}
	u := url.URL{Scheme: "http", Host: r.Host, Path: r.Prefix + a.tokenPath()}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// tokenPath returns the path of the token service, without the path prefix.
func (a *Auth) tokenPath() string { return cmp.Or(a.TokenPath, "/token") }

// service returns the registry's name in requests to the token service.
func (a *Auth) service(r *http.Request) string {
	if a.Service != "" {
		return a.Service
	}
	return r.Host
}
