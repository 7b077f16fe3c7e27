// Package auth puts a registry behind authentication: Basic credentials, Bearer
// tokens with the service that issues them, or client certificates. Rules give
// rights to users. The token service can deviate like those of real registries.
//
//	a := auth.Bearer("anonymous pull public/**")
//	ci := a.User("ci", "pull,push team/**")
//	reg := registrytest.NewServer(t, a)
//
// A store in memory and a tree of layouts keep their repositories apart. One layout
// does not, so its users need the same rights in all repositories, see
// [Auth.CheckStore].
//
// A handler without a server is registry.New(store, a.Options()...). Further
// options are [RateLimit], [Quota] and [Immutable].
package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry"
)

// An Auth authenticates the clients of a registry and checks their rights.
// [Basic], [Bearer] and [BearerOrBasic] make one. The zero Auth is like Basic().
//
// Set the fields before the first request. The methods may be called at any
// time, concurrently.
//
// A client certificate that the TLS server verified counts as credentials, too:
// its common name is the name of the user.
type Auth struct {
	// Realm is the realm of the challenge. With Bearer it is the URL of the
	// token service; if it is empty, that is TokenPath at the scheme and the
	// host of the request.
	Realm string

	// TokenPath is the path of the token service at the registry's host: /token
	// if it is empty, or one of those of real registries, which are /v2/auth,
	// /v2/token, /jwt/auth, /service/token, /oauth2/token and /token/.
	TokenPath string

	// Service is the name of the registry in requests to the token service, and
	// the audience of tokens. If it is empty, it is the host of the request.
	Service string

	// Forbidden is the status of the response to a user without the right: 403
	// with the code DENIED if it is 0; 404 as for a repository that does not
	// exist; or 401 with a challenge that says insufficient_scope. Anonymous
	// clients, and users whose token does not cover a right that they have,
	// always get 401.
	Forbidden int

	// OpenPing permits GET /v2/ without credentials. By default, clients learn
	// from its response that they need some.
	OpenPing bool

	// StrictList requires the right list for tags/list. By default, pull is
	// enough, as at the large registries: clients request the scope pull for it.
	StrictList bool

	// TokenLife is the time for which a token is valid, 5 minutes if it is 0.
	TokenLife time.Duration

	// Challenge, if it is not nil, returns the values of the header
	// WWW-Authenticate to send instead of those given.
	Challenge func(r *registry.Request, values []string) []string

	// Mint, if it is not nil, may change the claims of a token before it is
	// signed, for example to grant less than the client requested.
	Mint func(*Claims)

	// TokenResponse, if it is not nil, may change the fields of a response of
	// the token service. Services differ: some send token or access_token alone,
	// some leave out expires_in or issued_at.
	TokenResponse func(fields map[string]any)

	// CheckHash, if it is not nil, reports whether the password has the hash from
	// an htpasswd file. For bcrypt it calls bcrypt.CompareHashAndPassword of
	// golang.org/x/crypto. Set it before [Auth.AddHtpasswd].
	CheckHash func(hash, password string) bool

	schemes schemes
	always  bool // whether anonymous clients need a token, too

	mu           sync.Mutex
	users        map[string]*user
	rules        []Rule           // for all users
	refresh      map[string]*user // refresh token -> its user
	refreshOrder []string         // the oldest first
	static       map[string]*user // static token -> its user
	trusted      []trustedKey     // of other issuers
	uniform      bool             // whether checkShared has passed
	generation   uint64           // of the user that was added last
	skew         time.Duration
	issued       uint64 // the number of the last token
	expired      uint64 // tokens up to this number have expired
	key          []byte // for signing tokens, see sign
	grants       []Grant
	err          error // the first user or rule that is not valid
}

// schemes is the set of authentication schemes that an Auth accepts.
type schemes uint8

const (
	basicOnly schemes = iota
	bearerOnly
	bearerOrBasic
)

// Basic returns an Auth that asks for Basic credentials (RFC 7617). The rules,
// such as "anonymous pull public/**", apply in addition to those given to
// [Auth.User]; see [ParseRule]. If a rule is not valid, [Auth.Err] returns the
// error, and [Auth.Options] panics.
func Basic(rules ...string) *Auth { return newAuth(basicOnly, rules) }

// Bearer is like [Basic], but asks for Bearer tokens (RFC 6750) as the
// distribution project describes them in Token Authentication Specification,
// Token Scope and OAuth2 Token Authentication. The registry itself issues the
// tokens, at /token.
func Bearer(rules ...string) *Auth { return newAuth(bearerOnly, rules) }

// BearerAlways is like [Bearer], but refuses requests without a token even where
// an anonymous client has the right, as Docker Hub and GHCR do. The token service
// issues tokens for these rights without credentials.
func BearerAlways(rules ...string) *Auth {
	a := Bearer(rules...)
	a.always = true
	return a
}

// BearerOrBasic is like [Bearer], but the challenge has both schemes, and the
// registry accepts both.
func BearerOrBasic(rules ...string) *Auth { return newAuth(bearerOrBasic, rules) }

func newAuth(s schemes, rules []string) *Auth {
	a := &Auth{schemes: s}
	for _, rule := range rules {
		a.Allow(rule) // a.err keeps the error.
	}
	return a
}

// Options returns the options of a registry that a protects. With this method,
// a is an option of package registrytest. Options panics if [Auth.Err] returns
// an error.
func (a *Auth) Options() []registry.Option {
	if err := a.Err(); err != nil {
		panic("auth: " + err.Error())
	}
	return []registry.Option{registry.WithMiddleware(a.middleware), registry.WithAuthorizer(a.authorize)}
}

// Err returns the first error of [Basic], [Auth.AddUser], [Auth.Allow] and the
// like. A caller may ignore such an error, but the wrong rights must not go
// unnoticed: package registrytest fails the test with the error, and a registry
// that runs already responds to each request with the error and status 500.
func (a *Auth) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// fail makes Err return err unless it has an error, and returns err.
func (a *Auth) fail(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
	return err
}

// Exclusive returns "authentication". It tells package registrytest that a
// registry can have only one Auth.
func (a *Auth) Exclusive() string { return "authentication" }

// An identity is the result of authentication.
type identity struct {
	user    string  // "" for an anonymous client
	token   bool    // whether the client sent a token, which limits it to scope
	scope   []Scope // of the token
	all     bool    // whether the token covers all rights of the user
	foreign bool    // whether another issuer decided about the rights
}

type identityKey struct{}

// identify returns the identity that the middleware found.
func identify(r *registry.Request) (identity, bool) {
	id, ok := r.Context().Value(identityKey{}).(identity)
	return id, ok
}

// middleware authenticates the client, refuses wrong credentials, and serves
// the token service.
func (a *Auth) middleware(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if err := a.usable(r); err != nil {
			return err
		}
		if r.Op == registry.GetToken && strings.TrimPrefix(r.URL.Path, r.Prefix) == a.tokenPath() {
			return a.serveToken(w, r)
		}
		id, err := a.authenticate(r)
		if err != nil {
			return a.unauthorized(r, scopesFor(r), "invalid_token", err.Error())
		}
		if r.Op == registry.Ping && !a.OpenPing && id.user == "" && !id.token {
			return a.unauthorized(r, nil, "", authenticationRequired)
		}
		r.User, r.Scope = id.user, scopeString(id.scope)
		r.Request = r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
		return next(w, r)
	}
}

// usable returns an error if a registry cannot keep the rights.
func (a *Auth) usable(r *registry.Request) error {
	if err := a.Err(); err != nil {
		return err
	}
	if r.SharesBlobs() {
		return a.checkShared()
	}
	return nil
}

// authenticate returns the identity of the client. It returns an error for the
// response if the credentials are wrong.
func (a *Auth) authenticate(r *registry.Request) (identity, error) {
	values := r.Header["Authorization"]
	if len(values) > 1 {
		return identity{}, errors.New("the request has several Authorization headers")
	}
	if len(values) == 0 {
		return a.fromCertificate(r), nil
	}
	scheme, credentials, _ := strings.Cut(values[0], " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && a.schemes != bearerOnly:
		name, err := a.checkBasic(credentials)
		return identity{user: name}, err
	case strings.EqualFold(scheme, "Bearer") && a.schemes != basicOnly:
		if name, ok := a.checkStatic(credentials); ok {
			return identity{user: name}, nil
		}
		claims, err := a.verify(credentials, a.service(r.Request), r.Now())
		if err != nil {
			return identity{}, err
		}
		return identity{user: claims.Subject, token: true, scope: claims.Access, all: claims.Everything, foreign: claims.foreign}, nil
	}
	return identity{}, errors.New("the credentials have another scheme than the challenge")
}

// fromCertificate returns the user in the client's verified certificate, or an
// anonymous identity.
func (a *Auth) fromCertificate(r *registry.Request) identity {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return identity{}
	}
	name := r.TLS.VerifiedChains[0][0].Subject.CommonName
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active(name) == nil {
		return identity{}
	}
	return identity{user: name}
}
