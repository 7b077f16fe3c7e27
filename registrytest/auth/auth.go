// Package auth puts a registry behind authentication: with Basic credentials,
// with Bearer tokens and the service that issues them, or with client
// certificates. Rules give users rights on repositories. The token service can
// deviate from the specification like those of real registries.
//
//	a := auth.Bearer("anonymous pull public/**")
//	ci := a.User("ci", "pull,push team/**")
//	reg := registrytest.NewServer(t, a)
//
// A store in memory and a tree of layouts keep the content of their repositories
// apart. A single layout does not, so each user of it needs the same rights in
// all repositories; see [Auth.CheckStore].
//
// A handler without a server is registry.New(store, a.Options()...).
// [RateLimit], [Quota] and [Immutable] are further options.
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
// [Basic], [Bearer], [BearerAlways] and [BearerOrBasic] return one. The zero
// Auth is like Basic().
//
// Set the fields before the first request. The methods may be called at any
// time, concurrently.
//
// A client certificate that the TLS server verified counts as credentials, too:
// its common name is the name of the user.
type Auth struct {
	// Realm is the realm of the challenge. For Bearer it is the URL of the token
	// service. If it is empty, the URL has the scheme and host of the request
	// and the path TokenPath.
	Realm string

	// TokenPath is the path of the token service at the registry's host. It is
	// /token if empty. Other possible values are the paths of real registries:
	// /v2/auth, /v2/token, /jwt/auth, /service/token, /oauth2/token and /token/.
	TokenPath string

	// Service is the name of the registry in requests to the token service, and
	// the audience of tokens. If Service is empty, the name is the host of the
	// request.
	Service string

	// Forbidden is the status of the response to a user without the right. If it
	// is 0, the status is 403 with the code DENIED. With 404, the response is
	// that for a repository that does not exist. With 401, it has a challenge
	// that says insufficient_scope. Anonymous clients, and users whose token
	// does not cover one of their rights, always get 401.
	Forbidden int

	// OpenPing permits GET /v2/ without credentials. By default, the response to
	// that request tells clients that they need credentials.
	OpenPing bool

	// StrictList requires the right list for tags/list. By default, the right
	// pull suffices, as at the large registries: clients request the scope pull
	// for it.
	StrictList bool

	// TokenLife is the time for which a token is valid. If TokenLife is 0,
	// tokens are valid for 5 minutes.
	TokenLife time.Duration

	// Challenge, if it is not nil, returns the values of the header field
	// WWW-Authenticate in a challenge. They replace the values in its second
	// argument.
	Challenge func(r *registry.Request, values []string) []string

	// Mint, if it is not nil, may change the claims of a token before it is
	// signed, for example to grant less than the client requested.
	Mint func(*Claims)

	// TokenResponse, if it is not nil, may change the fields of a response of
	// the token service. Token services differ: some send token or access_token
	// alone, some leave out expires_in or issued_at.
	TokenResponse func(fields map[string]any)

	// CheckHash, if it is not nil, reports whether the password matches the
	// hash, which is from an htpasswd file. A CheckHash for bcrypt calls
	// bcrypt.CompareHashAndPassword of golang.org/x/crypto. Set it before
	// [Auth.AddHtpasswd].
	CheckHash func(hash, password string) bool

	schemes schemes
	always  bool // whether anonymous clients need a token even for requests that their rights permit

	mu           sync.Mutex
	users        map[string]*user
	rules        []Rule           // rules for all users
	refresh      map[string]*user // users by refresh token
	refreshOrder []string         // refresh tokens, oldest first
	static       map[string]*user // users by static token
	trusted      []trustedKey     // public keys of other issuers
	used         bool             // whether Options was called
	shared       bool             // whether checkShared has passed, so that changes of rights must pass it, too
	generation   uint64           // generation of the user that was added last
	skew         time.Duration
	issued       uint64 // number of the last token
	expired      uint64 // tokens up to this number have expired
	key          []byte // for signing tokens, see sign
	grants       []Grant
	grantsSize   int   // the sum of the sizes of grants
	err          error // the error for a.Err, or nil
}

// schemes is the set of authentication schemes that an Auth accepts.
type schemes uint8

const (
	basicOnly schemes = iota
	bearerOnly
	bearerOrBasic
)

// Basic returns an Auth that asks for Basic credentials (RFC 7617). The rules,
// such as "anonymous pull public/**", give rights in addition to those of
// [Auth.User]; see [ParseRule]. If a rule is not valid, [Auth.Err] returns the
// error, and [Auth.Options] panics.
func Basic(rules ...string) *Auth { return newAuth(basicOnly, rules) }

// Bearer is like [Basic], but the Auth asks for Bearer tokens (RFC 6750), as the
// distribution project specifies them in Token Authentication Specification,
// Token Scope and OAuth2 Token Authentication. The registry itself issues the
// tokens, at /token.
func Bearer(rules ...string) *Auth { return newAuth(bearerOnly, rules) }

// BearerAlways is like [Bearer], but the registry refuses requests without a
// token even where an anonymous client has the right, as Docker Hub and GHCR do.
// The token service issues tokens for the rights of anonymous clients without
// credentials.
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
		a.Allow(rule) // a.Err returns the error
	}
	return a
}

// Options returns the handler options of a registry that the Auth protects. It
// makes an Auth an option of package registrytest. Options panics if [Auth.Err]
// returns an error.
func (a *Auth) Options() []registry.Option {
	if err := a.Err(); err != nil {
		panic("auth: " + err.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used = true
	return []registry.Option{registry.WithMiddleware(a.middleware), registry.WithAuthorizer(a.authorize)}
}

// Err returns the first error of a function or method that added users, rules or
// keys before the first call of [Auth.Options], such as [Basic], [Auth.AddUser] and
// [Auth.Trust]. A caller may ignore such an error, but the test would then run with
// rights that differ from those it states. So package registrytest fails the test with
// the error, and no registry starts. After the call of Options, these methods only
// return their errors.
func (a *Auth) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// noteErr keeps err for [Auth.Err], unless it is nil, there is an earlier error or a
// registry uses the Auth. It returns err.
func (a *Auth) noteErr(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil && !a.used {
		a.err = err
	}
	return err
}

// Exclusive returns "authentication". It tells package registrytest that a
// registry can have only one option for authentication.
func (a *Auth) Exclusive() string { return "authentication" }

// An identity is the result of authentication.
type identity struct {
	user    string  // name, or "" for an anonymous client
	token   bool    // whether the client sent a token, which limits it to scope
	scope   []Scope // scopes of the token
	all     bool    // whether the token covers all rights of the user
	foreign bool    // whether the token of another issuer gives the rights
}

type identityKey struct{}

// identify returns the client's identity that the middleware stored in the
// request, and false if the request has not passed through it.
func identify(r *registry.Request) (identity, bool) {
	id, ok := r.Context().Value(identityKey{}).(identity)
	return id, ok
}

// middleware authenticates the client, refuses wrong credentials, and serves the
// token service.
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

// usable returns an error if the registry's store cannot enforce the rights.
func (a *Auth) usable(r *registry.Request) error {
	if r.SharesBlobs() {
		return a.checkShared()
	}
	return nil
}

// authenticate returns the identity of the client, or an error if its
// credentials are wrong.
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
	return identity{}, errors.New("the credentials use a scheme that the challenge does not offer")
}

// fromCertificate returns the identity of the user that the client's verified
// certificate names, or that of an anonymous client.
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
