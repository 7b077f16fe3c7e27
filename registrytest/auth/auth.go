// Package auth puts a registry behind authentication and authorization: Basic,
// Bearer tokens with the service that hands them out, or client certificates,
// with rules that say who may do what. It can misbehave as real ones do.
//
//	a := auth.Bearer("anonymous pull public/**")
//	ci := a.User("ci", "pull,push team/**")
//	reg := registrytest.NewServer(t, a)
//
// A handler without a server is registry.New(store, a.Options()...).
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry"
)

// A Scheme is how clients say who they are.
type Scheme uint8

// The schemes. A client certificate that the TLS server has verified is taken
// in each of them: its common name is the user.
const (
	// SchemeBasic is the scheme of RFC 7617.
	SchemeBasic Scheme = iota

	// SchemeBearer is the scheme of RFC 6750, with the token service that the
	// distribution project describes in its documents Token Authentication
	// Specification, Token Scope and OAuth2 Token Authentication. The service
	// is at /token of the registry itself unless Realm says otherwise.
	SchemeBearer

	// SchemeBearerOrBasic challenges with both, and takes either.
	SchemeBearerOrBasic
)

// An Auth is who may do what in a registry, and how that is found out. The
// zero Auth asks for Basic, knows no user and lets nobody do anything. Set the
// fields before it is used; the methods may be called at any time,
// concurrently.
type Auth struct {
	// Scheme is what clients are asked for.
	Scheme Scheme

	// Realm is the realm of the challenge. Under Bearer it is the URL of the
	// token service; if it is empty, that is /token at the host and with the
	// scheme of the request.
	Realm string

	// Service is the name of the registry towards the token service, and the
	// audience of its tokens. If it is empty, it is the host of the request.
	Service string

	// Forbidden is the status of what a user may not do: 403 with DENIED if it
	// is 0, 404 as if the repository were not there, or 401 with a challenge
	// that says insufficient_scope. Anonymous, and a user whose token does not
	// cover what he may do, are always answered 401.
	Forbidden int

	// OpenPing lets everybody have GET /v2/. Without it, clients find out there
	// that they need credentials.
	OpenPing bool

	// TokenLife is for how long a token is valid, 5 minutes if it is 0.
	TokenLife time.Duration

	// Challenge, if it is not nil, is given the values of the header
	// WWW-Authenticate for a request and returns those to send: none, others,
	// or several in one.
	Challenge func(r *registry.Request, values []string) []string

	// Mint, if it is not nil, may change the claims of a token before it is
	// signed, to hand out less than was asked for or what has expired already.
	Mint func(*Claims)

	mu       sync.Mutex
	users    map[string]*user
	allowed  []Rule
	refresh  map[string]string // refresh token -> user
	skew     time.Duration
	issued   uint64 // the number of the last token
	expired  uint64 // tokens up to this number have expired
	keys     *keys
	requests []Grant
	err      error // the first rule that is not valid
}

// Basic returns an Auth that asks for Basic authentication (RFC 7617). The
// rules, such as "anonymous pull public/**", apply besides those of
// [Auth.User]; [ParseRule] has their syntax. A rule that is not valid is
// reported by [Auth.Err].
func Basic(rules ...string) *Auth { return newAuth(SchemeBasic, rules) }

// Bearer returns an Auth that asks for tokens, which it issues at /token (see
// [SchemeBearer]). The rules are those of [Basic].
func Bearer(rules ...string) *Auth { return newAuth(SchemeBearer, rules) }

func newAuth(scheme Scheme, rules []string) *Auth {
	a := &Auth{Scheme: scheme}
	for _, rule := range rules {
		if err := a.Allow(rule); err != nil && a.err == nil {
			a.err = err
		}
	}
	return a
}

// A user is somebody who can say who he is.
type user struct {
	password string
	rules    []Rule // nil: everything
	revoked  bool
}

// Credentials are what a client needs to be a user.
type Credentials struct {
	Username, Password string
}

// NewCredentials returns the name with a random password.
func NewCredentials(name string) Credentials {
	return Credentials{name, rand.Text()}
}

// User adds a user with a password of its own, or gives the one there is a new
// one. The rules, if any, say what the user may do: they are those of
// [ParseRule] without the first word, such as "pull,push team/**". Without
// rules the user may do everything. User panics if a rule is not valid, as
// [regexp.MustCompile] does.
func (a *Auth) User(name string, rules ...string) Credentials {
	c := NewCredentials(name)
	if err := a.AddUser(c, rules...); err != nil {
		panic("auth: " + err.Error())
	}
	return c
}

// AddUser is like [Auth.User] with a password of the caller's, and returns
// what is wrong with the rules or the name.
func (a *Auth) AddUser(c Credentials, rules ...string) error {
	if c.Username == "" || strings.ContainsAny(c.Username, ": \t\r\n") || c.Username == anonymous || c.Username == everybody {
		return fmt.Errorf("%q cannot be the name of a user", c.Username)
	}
	u := &user{password: c.Password}
	for _, text := range rules {
		r, err := ParseRule(c.Username + " " + text)
		if err != nil {
			return err
		}
		u.rules = append(u.rules, r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users == nil {
		a.users = make(map[string]*user)
	}
	a.users[c.Username] = u
	return nil
}

// Allow adds a rule to what users may do, such as "anonymous pull public/**".
// See [ParseRule].
func (a *Auth) Allow(rule string) error {
	r, err := ParseRule(rule)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.allowed = append(a.allowed, r)
	a.mu.Unlock()
	return nil
}

// Revoke takes a user's credentials and tokens away, from now on.
func (a *Auth) Revoke(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[name]; u != nil {
		u.revoked = true
	}
	for token, owner := range a.refresh {
		if owner == name {
			delete(a.refresh, token)
		}
	}
}

// Options returns the options of a registry that asks a. With this method, a
// is itself an option of package registrytest. Options panics if [Auth.Err]
// returns an error.
func (a *Auth) Options() []registry.Option {
	if a.err != nil {
		panic("auth: " + a.err.Error())
	}
	return []registry.Option{registry.WithMiddleware(a.Middleware), registry.WithAuthorizer(a.Authorize)}
}

// Err returns the error of the first rule given to [Basic] or [Bearer] that is
// not valid. Package registrytest fails the test with it.
func (a *Auth) Err() error { return a.err }

// Exclusive returns "authentication". It tells package registrytest that a
// registry takes one Auth, not two.
func (a *Auth) Exclusive() string { return "authentication" }

// An identity is who has sent a request, and how that is known.
type identity struct {
	user   string // "" is anonymous
	token  bool   // it was said by a token, which may do what is in access
	access []Access
}

type identityKey struct{}

// identify returns what [Auth.Middleware] has found out.
func identify(r *registry.Request) (identity, bool) {
	id, ok := r.Context().Value(identityKey{}).(identity)
	return id, ok
}

// Middleware finds out who has sent a request, answers what comes with
// credentials that are wrong, and serves the token service.
func (a *Auth) Middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if r.Op == registry.GetToken {
			return a.serveToken(w, r)
		}
		id, err := a.authenticate(r)
		if err != nil {
			return a.unauthorized(r, scopesFor(r), "invalid_token", err.Error())
		}
		if r.Op == registry.Ping && !a.OpenPing && id.user == "" && !id.token {
			return a.unauthorized(r, nil, "", "authentication required")
		}
		r.User, r.Scope = id.user, scopeString(id.access)
		r.Request = r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
		return next(w, r)
	}
}

// authenticate returns who has sent the request, or why that is not to be
// believed.
func (a *Auth) authenticate(r *registry.Request) (identity, error) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return identity{}, errors.New("there is more than one Authorization header")
	}
	if len(values) == 0 {
		return a.fromCertificate(r), nil
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && a.Scheme != SchemeBearer:
		name, err := a.checkBasic(rest)
		return identity{user: name}, err
	case strings.EqualFold(scheme, "Bearer") && a.Scheme != SchemeBasic:
		claims, err := a.verify(rest, a.service(r.Request))
		if err != nil {
			return identity{}, err
		}
		return identity{user: claims.Subject, token: true, access: claims.Access}, nil
	}
	return identity{}, errors.New("credentials of another scheme than was asked for")
}

// fromCertificate returns the user whose certificate the TLS server has
// verified, or anonymous.
func (a *Auth) fromCertificate(r *registry.Request) identity {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return identity{}
	}
	name := r.TLS.VerifiedChains[0][0].Subject.CommonName
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.users[name]; u == nil || u.revoked {
		return identity{}
	}
	return identity{user: name}
}

// checkBasic returns the user of the credentials, which are those of Basic.
func (a *Auth) checkBasic(encoded string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", errors.New("the credentials are not base64")
	}
	name, password, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", errors.New("the credentials have no password")
	}
	return a.check(name, password)
}

// check returns the name if it and the password are those of a user.
func (a *Auth) check(name, password string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, known := a.users[name]
	if !known {
		u = &user{revoked: true}
	}
	// To compare takes the same time whether or not there is such a user.
	want, got := sha256.Sum256([]byte(u.password)), sha256.Sum256([]byte(password))
	if same := subtle.ConstantTimeCompare(want[:], got[:]) == 1; !same || u.revoked {
		return "", errors.New("wrong user name or password")
	}
	return name, nil
}

// isRevoked reports whether the user is known no more.
func (a *Auth) isRevoked(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[name]
	return u == nil || u.revoked
}

// permits reports whether the rules let the user do the action.
func (a *Auth) permits(name, repo string, action registry.Action) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	rules := a.allowed
	if name != "" {
		u := a.users[name]
		if u == nil || u.revoked {
			return false
		}
		if u.rules == nil {
			return true
		}
		for _, r := range u.rules {
			if r.permits(name, repo, action) {
				return true
			}
		}
	}
	for _, r := range rules {
		if r.permits(name, repo, action) {
			return true
		}
	}
	return false
}

// Authorize is the [registry.Authorizer] of what [Auth.Middleware] has let
// through.
func (a *Auth) Authorize(r *registry.Request, repo string, action registry.Action) error {
	id, ok := identify(r)
	permitted := ok && a.permits(id.user, repo, action)
	covered := !id.token || covers(id.access, repo, action)
	switch {
	case r.Op == registry.ListRepositories && repo != "", r.Op == registry.MountBlob && r.From == "" && action == registry.ActionPull:
		// What a client did not name, it could not ask a token for: which
		// repositories the catalog lists, and where a blob is mounted from.
		covered = true
	case r.Op == registry.MountBlob && action == registry.ActionPush && id.token && a.permits(id.user, r.From, registry.ActionPull):
		// To mount is to pull, too. A client that could have a token for both
		// is told so, and not that there is nothing to mount.
		covered = covered && (r.From == "" || covers(id.access, r.From, registry.ActionPull))
	}
	switch {
	case permitted && covered:
		return nil
	case id.user == "" && !id.token:
		return a.unauthorized(r, scopesFor(r), "", "authentication required")
	case permitted, id.user == "", a.Forbidden == http.StatusUnauthorized:
		return a.unauthorized(r, scopesFor(r), "insufficient_scope", "the token does not cover this")
	case a.Forbidden == http.StatusNotFound:
		return registry.Errorf(registry.CodeNameUnknown, "there is no repository %s", repo)
	}
	return registry.Errorf(registry.CodeDenied, "%s may not %s %s", id.user, action, repo)
}

func who(name string) string {
	if name == "" {
		return anonymous
	}
	return name
}

// unauthorized returns the error that challenges the client.
func (a *Auth) unauthorized(r *registry.Request, scopes []Access, code, message string) error {
	var values []string
	if a.Scheme != SchemeBasic {
		c := fmt.Sprintf(`Bearer realm="%s",service="%s"`, quoted(a.realm(r.Request)), quoted(a.service(r.Request)))
		if len(scopes) > 0 {
			c += fmt.Sprintf(`,scope="%s"`, quoted(scopeString(scopes)))
		}
		if code != "" && r.Header.Get("Authorization") != "" {
			c += fmt.Sprintf(`,error="%s"`, code)
		}
		values = append(values, c)
	}
	if a.Scheme != SchemeBearer {
		realm := a.Realm
		if realm == "" || a.Scheme == SchemeBearerOrBasic {
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

// quoted returns s as it stands in a quoted string.
func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

// realm returns the URL of the token service.
func (a *Auth) realm(r *http.Request) string {
	if a.Realm != "" {
		return a.Realm
	}
	u := url.URL{Scheme: "http", Host: r.Host, Path: "/token"}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// service returns the registry's name towards the token service.
func (a *Auth) service(r *http.Request) string {
	if a.Service != "" {
		return a.Service
	}
	return r.Host
}
