package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// A Transport sends requests to one registry and answers its authentication
// challenges, with Basic credentials or with a token of the token service that
// the challenge names. It sends no credentials to other hosts, to which a
// redirect, a Location or a Link of the registry may point. A URL at another
// host must use https if the registry does. It must not have an address of this
// machine or its network, unless the registry has one, too.
//
// The Transport replaces the header field Authorization of each request, and
// removes Cookie and Referer.
type Transport struct {
	// Registry is the base URL of the registry.
	Registry *url.URL

	// Next sends the requests.
	Next http.RoundTripper

	// Login returns the user's credentials. If Login is nil, the client is
	// anonymous.
	Login func(context.Context) (Login, error)

	// Eager makes the Transport send Basic credentials before the registry asks
	// for credentials.
	Eager bool

	// OnBehalf, unless it is nil, is the header of a client's request. The
	// Transport sends the Authorization of this header, or none, and no other
	// credentials.
	OnBehalf http.Header

	// Only one goroutine at a time requests credentials or a token. It holds turn,
	// which once makes.
	once sync.Once
	turn chan struct{}

	mu     sync.Mutex       // guards the fields below
	last   *challenge       // the last challenge of the registry, or nil
	tokens map[string]token // tokens by scope
	login  *Login           // the credentials that Login returned, or nil
}

// A scopeKey is the key of a context value: the scope that a request needs, such
// as "repository:team/app:pull".
type scopeKey struct{}

// WithScope returns a context for requests that need a token with the given
// scope.
func WithScope(ctx context.Context, scope string) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if Origin(r.URL) != Origin(t.Registry) {
		if err := CheckTarget(t.Registry, r.URL); err != nil {
			closeBody(r)
			return nil, err
		}
		return t.send(r, "")
	}
	if t.OnBehalf != nil {
		return t.send(r, t.OnBehalf.Get("Authorization"))
	}
	scope, _ := r.Context().Value(scopeKey{}).(string)
	auth, err := t.authorization(r.Context(), scope, nil, r.Body != nil && r.GetBody == nil)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := t.send(r, auth)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	var again string
	c, err := t.learn(resp.Header, scope, auth)
	if err == nil {
		again, err = t.authorization(r.Context(), scope, c, false)
	}
	if err == nil && (again == "" || again == auth) || r.Body != nil && r.GetBody == nil {
		return resp, nil
	}
	discard(resp)
	if err != nil {
		return nil, err
	}
	repeated := *r
	if r.GetBody != nil {
		if repeated.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return t.send(&repeated, again)
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// discard reads the rest of a short response and closes its body, so that the
// connection can be used again.
func discard(resp *http.Response) {
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
}

// send sends a request with auth as its Authorization, or without Authorization
// if auth is "".
func (t *Transport) send(r *http.Request, auth string) (*http.Response, error) {
	r = r.Clone(r.Context())
	for _, k := range []string{"Authorization", "Cookie", "Referer"} {
		r.Header.Del(k)
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	return t.Next.RoundTrip(r)
}

// CloseIdleConnections closes the idle connections of Next.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.Next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// learn stores and returns the challenge in the header h of a 401 response. If
// the response has no challenge that the Transport can answer, learn returns
// nil. If [CheckRealm] refuses the only token service, learn returns an error.
// The argument sent is the Authorization of the request. If it has the stored
// token for the scope, learn drops the token.
func (t *Transport) learn(h http.Header, scope, sent string) (found *challenge, err error) {
	for _, c := range parseChallenges(h.Values("Www-Authenticate")) {
		if c.scheme == "bearer" && c.params["realm"] != "" {
			if _, refused := CheckRealm(t.Registry, c.params["realm"]); refused != nil {
				err = refused
				continue
			}
			found = &c
			break
		}
		if c.scheme == "basic" && found == nil {
			found = &c
		}
	}
	if found != nil {
		err = nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = found
	if tok, ok := t.tokens[scope]; ok && "Bearer "+tok.text == sent {
		delete(t.tokens, scope)
		t.login = nil // A credential helper may have new credentials.
	}
	return found, err
}

// forget drops the challenge c, because its token service issued no token. The
// next request asks the registry for a challenge again.
func (t *Transport) forget(c *challenge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == c {
		t.last = nil
	}
}

// challenge returns the challenge to answer: the last one of the registry, or one
// for Basic credentials if it sent none and Eager is set. Otherwise, it
// returns nil. The caller holds t.mu.
func (t *Transport) challenge() *challenge {
	if t.last == nil && t.Eager {
		return &challenge{scheme: "basic"}
	}
	return t.last
}

// authorization returns the value of Authorization for a request that needs the
// scope. It returns "" if the registry has sent no challenge yet, or asks an
// anonymous client for Basic credentials. If ask is true, it first requests a
// challenge from the registry. If c is not nil, it is the challenge in the
// response to the same request. The method uses it if the Transport has no other
// challenge.
func (t *Transport) authorization(ctx context.Context, scope string, c *challenge, ask bool) (string, error) {
	if auth, known := t.known(scope, c); known && (auth != "" || !ask) {
		return auth, nil
	}
	t.once.Do(func() { t.turn = make(chan struct{}, 1) })
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.turn }()
	if auth, known := t.known(scope, c); known && (auth != "" || !ask) {
		return auth, nil // another goroutine requested it meanwhile
	}
	if ask {
		if err := t.ping(ctx, scope); err != nil {
			return "", err
		}
	}
	t.mu.Lock()
	c = t.challenge()
	t.mu.Unlock()
	if c == nil {
		return "", nil
	}
	login, err := t.credentials(ctx)
	if err != nil {
		return "", err
	}
	if c.scheme == "basic" {
		auth, _ := t.known(scope, nil)
		return auth, nil
	}
	tok, err := t.fetchToken(ctx, c, login, scope)
	if err != nil {
		t.forget(c)
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tokens == nil {
		t.tokens = make(map[string]token)
	}
	t.tokens[scope] = tok
	return "Bearer " + tok.text, nil
}

// known returns the Authorization for the scope, and whether it is known without
// another request. If the Transport has no challenge yet, it stores learned.
func (t *Transport) known(scope string, learned *challenge) (auth string, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = learned
	}
	switch c := t.challenge(); {
	case c == nil:
		return "", true
	case c.scheme == "basic":
		if t.login == nil {
			return "", false
		}
		if t.login.Username == "" {
			return "", true
		}
		return "Basic " + t.login.basic(), true
	default:
		tok, ok := t.tokens[scope]
		if !ok || tok.expired() {
			return "", false
		}
		return "Bearer " + tok.text, true
	}
}

// credentials returns the credentials from Login. It keeps them for later calls,
// until the registry refuses a token. The caller holds t.turn.
func (t *Transport) credentials(ctx context.Context) (Login, error) {
	t.mu.Lock()
	login := t.login
	t.mu.Unlock()
	if login != nil {
		return *login, nil
	}
	login = new(Login)
	if t.Login != nil {
		var err error
		if *login, err = t.Login(ctx); err != nil {
			return Login{}, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.login = login
	return *login, nil
}

// ping asks the registry for its challenge. A request whose body can be read
// only once needs the challenge beforehand.
func (t *Transport) ping(ctx context.Context, scope string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Registry.String()+"/v2/", nil)
	if err != nil {
		return err
	}
	resp, err := t.send(r, "")
	if err != nil {
		return err
	}
	defer discard(resp)
	if resp.StatusCode == http.StatusUnauthorized {
		_, err = t.learn(resp.Header, scope, "")
	}
	return err
}

var errRedirected = errors.New("the token service redirects; credentials are not sent to another address")
