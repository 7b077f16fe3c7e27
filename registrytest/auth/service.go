package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ocireg/registry"
)

const (
	defaultTokenLife = 5 * time.Minute
	maxTokenRequest  = 64 << 10

	// maxKept is the number of grants and of refresh tokens that an Auth keeps.
	maxKept = 10_000

	// maxKeptSize is the number of bytes that the scopes of the kept grants may
	// take, by the measure of Grant.size. Usual grants take a third of it.
	maxKeptSize = 8 << 20
)

// A Grant is a token that the token service issued.
type Grant struct {
	User      string  // name, or "" for an anonymous client
	Service   string  // audience of the token
	Requested []Scope // scopes that the client requested
	Scopes    []Scope // scopes that the token covers
}

// size returns about the number of bytes that the texts and the slices of the
// grant take.
func (g Grant) size() (n int) {
	n = len(g.User) + len(g.Service)
	for _, scopes := range [][]Scope{g.Requested, g.Scopes} {
		for _, s := range scopes {
			n += 64 + len(s.Type) + len(s.Name)
			for _, action := range s.Actions {
				n += 16 + len(action)
			}
		}
	}
	return n
}

// keep adds a grant to those that Grants returns, and drops the oldest ones
// while there are too many. The caller holds a.mu.
func (a *Auth) keep(g Grant) {
	a.grants = append(a.grants, g)
	a.grantsSize += g.size()
	for len(a.grants) > maxKept || a.grantsSize > maxKeptSize {
		a.grantsSize -= a.grants[0].size()
		a.grants[0] = Grant{} // let the garbage collector free the old grant
		a.grants = a.grants[1:]
	}
}

// Grants returns the tokens that the token service issued, oldest first. It
// returns at most the last 10,000, and fewer if clients requested
// thousands of scopes at once.
func (a *Auth) Grants() []Grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.grants)
}

// ExpireTokens makes all access tokens issued so far expire. Refresh tokens stay
// valid; see [Auth.Revoke].
func (a *Auth) ExpireTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = a.issued
}

// SetSkew sets how far the clock of the token service is ahead of the registry's
// clock. If d is negative, the clock of the token service is behind.
func (a *Auth) SetSkew(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skew = d
}

// IdentityToken returns a refresh token of the user, like those that docker
// login stores. After 10,000 further refresh tokens it is no longer valid.
// IdentityToken panics if no user with the name was added.
func (a *Auth) IdentityToken(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.newRefresh(a.mustKnow("IdentityToken", name))
}

// newRefresh returns a new refresh token of the user. The caller holds a.mu.
func (a *Auth) newRefresh(u *user) string {
	token := rand.Text()
	if a.refresh == nil {
		a.refresh = make(map[string]*user)
	}
	if len(a.refreshOrder) >= maxKept {
		delete(a.refresh, a.refreshOrder[0])
		a.refreshOrder = a.refreshOrder[1:]
	}
	a.refresh[token] = u
	a.refreshOrder = append(a.refreshOrder, token)
	return token
}

// StaticToken returns an opaque token that has all rights of the user and does
// not expire, such as a personal access token. Clients send it as a Bearer
// token, without asking the token service. [Auth.Revoke] invalidates it.
// StaticToken panics if no user with the name was added.
func (a *Auth) StaticToken(name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := rand.Text()
	if a.static == nil {
		a.static = make(map[string]*user)
	}
	a.static[token] = a.mustKnow("StaticToken", name)
	return token
}

// checkStatic returns the name of the user that has the static token, and false
// if the token is not valid.
func (a *Auth) checkStatic(token string) (name string, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.static[token]
	if !a.current(u) {
		return "", false
	}
	return u.name, true
}

// TokenHandler returns a handler that serves only the token service, for a host
// other than the registry's. Set Realm to its URL.
func (a *Auth) TokenHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &registry.Request{Request: hr, Op: registry.GetToken}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := a.serveToken(w, r); err != nil {
			e := &registry.Error{Code: registry.CodeUnauthorized, Message: err.Error()}
			errors.As(err, &e)
			writeTokenError(w, e)
		}
	})
}

func writeTokenError(w http.ResponseWriter, e *registry.Error) {
	status := e.Status
	if status == 0 {
		status = e.Code.Status()
	}
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": string(e.Code), "message": e.Message}}})
}

// A tokenRequest is a request to the token service whose credentials, if any,
// are valid.
type tokenRequest struct {
	user    string
	service string
	scopes  []Scope
	offline bool   // whether the client wants a refresh token
	refresh string // the refresh token that the client sent, or ""
}

// serveToken responds to a request to the token service. A GET request has the
// form in Token Authentication Specification, a POST request that in OAuth2
// Token Authentication.
func (a *Auth) serveToken(w http.ResponseWriter, r *registry.Request) error {
	if a.schemes == basicOnly {
		return &registry.Error{Code: registry.CodeUnsupported, Status: http.StatusNotFound, Message: "there is no token service"}
	}
	var t tokenRequest
	var err error
	switch r.Method {
	case http.MethodGet:
		t, err = a.readGet(r)
	case http.MethodPost:
		t, err = a.readPost(w, r)
	default:
		return &registry.Error{Code: registry.CodeUnsupported, Header: http.Header{"Allow": {"GET, POST"}}, Message: "the token service accepts only GET and POST"}
	}
	if err != nil {
		return err
	}
	if t.service == "" {
		t.service = a.service(r.Request)
	}
	claims := a.newClaims(t.user, t.service, a.grant(t.user, t.scopes), r.Now())
	if a.Mint != nil {
		a.Mint(&claims)
	}
	token, err := a.sign(claims)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.keep(Grant{t.user, t.service, t.scopes, claims.Access})
	if u := a.active(t.user); u != nil && t.offline && t.refresh == "" {
		t.refresh = a.newRefresh(u)
	}
	a.mu.Unlock()
	r.User, r.Scope = t.user, scopeString(claims.Access)

	response := map[string]any{
		"token":        token,
		"access_token": token,
		"expires_in":   int64(claims.Expires.Sub(claims.IssuedAt) / time.Second),
		"issued_at":    claims.IssuedAt.UTC().Format(time.RFC3339),
	}
	if r.Method == http.MethodPost {
		// RFC 6749, section 5.1, does not define the field token, but requires
		// token_type.
		delete(response, "token")
		response["scope"] = scopeString(claims.Access)
		response["token_type"] = "Bearer"
	}
	if t.refresh != "" {
		response["refresh_token"] = t.refresh
	}
	if a.TokenResponse != nil {
		a.TokenResponse(response)
	}
	text, err := json.Marshal(response)
	if err != nil {
		return fmt.Errorf("encoding a token: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, err = w.Write(text)
	return err
}

// readGet returns the token request in a GET request. A client without
// credentials is anonymous.
func (a *Auth) readGet(r *registry.Request) (t tokenRequest, err error) {
	if len(r.URL.RawQuery) > maxTokenRequest {
		return t, &registry.Error{Code: registry.CodeUnsupported, Status: http.StatusBadRequest, Message: fmt.Sprintf("the query has %d bytes, more than %d", len(r.URL.RawQuery), maxTokenRequest)}
	}
	query := r.URL.Query()
	t = tokenRequest{
		service: strings.Clone(query.Get("service")), // A part of the query would keep all of it in memory.
		scopes:  parseScopes(query["scope"]),
		offline: query.Get("offline_token") == "true",
	}
	switch values := r.Header["Authorization"]; len(values) {
	case 0:
	case 1:
		scheme, credentials, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "Basic") {
			return t, badCredentials("the token service accepts only Basic credentials")
		}
		if t.user, err = a.checkBasic(credentials); err != nil {
			return t, badCredentials(err.Error())
		}
	default:
		return t, badCredentials("the request has several Authorization headers")
	}
	return t, nil
}

// readPost returns the token request in the form of a POST request.
func (a *Auth) readPost(w http.ResponseWriter, r *registry.Request) (t tokenRequest, err error) {
	hr := r.Request
	hr.Body = http.MaxBytesReader(w, hr.Body, maxTokenRequest)
	if err := hr.ParseForm(); err != nil {
		return t, &registry.Error{Code: registry.CodeUnsupported, Status: http.StatusBadRequest, Message: "reading the form: " + err.Error()}
	}
	form := hr.PostForm
	t = tokenRequest{
		service: strings.Clone(form.Get("service")),
		scopes:  parseScopes(form["scope"]),
		offline: form.Get("access_type") == "offline",
	}
	switch kind := form.Get("grant_type"); kind {
	case "password":
		if t.user, err = a.check(form.Get("username"), form.Get("password")); err != nil {
			return t, badCredentials(err.Error())
		}
	case "refresh_token":
		t.refresh = form.Get("refresh_token")
		a.mu.Lock()
		u := a.refresh[t.refresh]
		valid := a.current(u)
		a.mu.Unlock()
		if !valid {
			return t, badCredentials("the refresh token is not valid")
		}
		t.user = u.name
	default:
		return t, &registry.Error{
			Code: registry.CodeUnsupported, Status: http.StatusBadRequest,
			Message: fmt.Sprintf("grant_type is %.200q, not password or refresh_token", kind),
		}
	}
	return t, nil
}

// badCredentials returns the 401 error of the token service, with a challenge.
func badCredentials(message string) error {
	e := registry.Errorf(registry.CodeUnauthorized, "%s", message)
	e.Header = http.Header{"Www-Authenticate": {`Basic realm="token service"`}}
	return e
}
