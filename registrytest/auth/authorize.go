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

// authorize decides whether a request may do the action, for
// [registry.WithAuthorizer].
func (a *Auth) authorize(r *registry.Request, repo string, action registry.Action) error {
	id, known := identify(r)
	if !known {
		// The request has not been through the middleware: [registry.Request.Public]
		// asks for the rights of an anonymous client, which can get a token.
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
		// A client cannot request a token for repositories that it does not
		// name: those in the catalog, and the source of an anonymous mount.
		covered = !id.foreign || r.Op == registry.ListRepositories || covered
	case r.Op == registry.MountBlob && action == registry.ActionPush && id.token && a.permits(id.user, r.From, registry.ActionPull):
		// A mount also pulls from its source. A client that could get a token
		// for both repositories must learn this from a challenge, instead of a
		// failed mount.
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

// unauthorized returns the error that challenges the client for the scopes.
// Code is that of RFC 6750, section 3.1, or "".
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

// quoted returns the content of the quoted string that stands for s.
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
