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
)

// A Grant is one token that was handed out.
type Grant struct {
	User    string   // "" is anonymous
	Service string   // what the token is for
	Asked   []Access // what the client has asked for
	Granted []Access // what the token covers
}

// Grants returns the tokens that were handed out, the first one first.
func (a *Auth) Grants() []Grant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

// ExpireTokens makes all access tokens that were handed out so far expire now.
// Refresh tokens stay valid, see [Auth.Revoke].
func (a *Auth) ExpireTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = a.issued
}

// SetSkew sets by how much the clock of the token service is ahead of that of
// the registry, or behind it if d is negative.
func (a *Auth) SetSkew(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skew = d
}

// IdentityToken returns a refresh token of the user, as docker login keeps it.
func (a *Auth) IdentityToken(name string) string {
	token := rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refresh == nil {
		a.refresh = make(map[string]string)
	}
	a.refresh[token] = name
	return token
}

// TokenHandler returns the token service alone, for a host of its own.
func (a *Auth) TokenHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &registry.Request{Request: hr, Op: registry.GetToken}
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

// tokenRequest is what a client asks of the token service.
type tokenRequest struct {
	user    string
	service string
	scopes  []Access
	offline bool   // a refresh token is wanted
	refresh string // the refresh token that it came with
}

// serveToken answers a request to the token service: GET as in Token
// Authentication Specification, POST as in OAuth2 Token Authentication.
func (a *Auth) serveToken(w http.ResponseWriter, r *registry.Request) error {
	if a.Scheme == SchemeBasic {
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
		return &registry.Error{Code: registry.CodeUnsupported, Header: http.Header{"Allow": {"GET, POST"}}, Message: "the token service has GET and POST"}
	}
	if err != nil {
		return err
	}
	if t.service == "" {
		t.service = a.service(r.Request)
	}
	granted := a.grant(t.user, t.scopes)
	life := a.TokenLife
	if life == 0 {
		life = defaultTokenLife
	}
	a.mu.Lock()
	a.issued++
	number, now := a.issued, time.Now().Add(a.skew)
	a.mu.Unlock()
	claims := Claims{
		Issuer: issuer, Subject: t.user, Audience: t.service, Access: granted, number: number,
		IssuedAt: now, NotBefore: now, Expires: now.Add(life),
	}
	if a.Mint != nil {
		a.Mint(&claims)
	}
	token, err := a.sign(claims)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.requests = append(a.requests, Grant{t.user, t.service, t.scopes, claims.Access})
	a.mu.Unlock()
	r.User, r.Scope = t.user, scopeString(claims.Access)

	answer := map[string]any{
		"token":        token,
		"access_token": token,
		"expires_in":   int64(claims.Expires.Sub(claims.IssuedAt) / time.Second),
		"issued_at":    claims.IssuedAt.UTC().Format(time.RFC3339),
	}
	if r.Method == http.MethodPost {
		// RFC 6749 knows no field token, and says what the scope has become.
		delete(answer, "token")
		answer["scope"] = scopeString(claims.Access)
		answer["token_type"] = "Bearer"
	}
	switch {
	case t.refresh != "":
		answer["refresh_token"] = t.refresh
	case t.offline && t.user != "":
		answer["refresh_token"] = a.IdentityToken(t.user)
	}
	text, err := json.Marshal(answer)
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

// readGet reads a GET. Who comes without credentials is anonymous.
func (a *Auth) readGet(r *registry.Request) (t tokenRequest, err error) {
	query := r.URL.Query()
	t = tokenRequest{
		service: query.Get("service"),
		scopes:  parseScopes(query["scope"]),
		offline: query.Get("offline_token") == "true",
	}
	switch values := r.Header["Authorization"]; len(values) {
	case 0:
	case 1:
		scheme, rest, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "Basic") {
			return t, badCredentials("the token service takes Basic")
		}
		if t.user, err = a.checkBasic(rest); err != nil {
			return t, badCredentials(err.Error())
		}
	default:
		return t, badCredentials("there is more than one Authorization header")
	}
	return t, nil
}

// readPost reads a POST, whose form is in its body.
func (a *Auth) readPost(w http.ResponseWriter, r *registry.Request) (t tokenRequest, err error) {
	hr := r.Request
	hr.Body = http.MaxBytesReader(w, hr.Body, maxTokenRequest)
	if err := hr.ParseForm(); err != nil {
		return t, &registry.Error{Code: registry.CodeUnsupported, Status: http.StatusBadRequest, Message: "the form cannot be read: " + err.Error()}
	}
	form := hr.PostForm
	t = tokenRequest{
		service: form.Get("service"),
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
		name, known := a.refresh[t.refresh]
		a.mu.Unlock()
		if !known || a.isRevoked(name) {
			return t, badCredentials("the refresh token is not valid")
		}
		t.user = name
	default:
		return t, &registry.Error{
			Code: registry.CodeUnsupported, Status: http.StatusBadRequest,
			Message: fmt.Sprintf("grant_type is %q, not password or refresh_token", kind),
		}
	}
	return t, nil
}

// badCredentials returns the error of the token service for credentials that
// are wrong.
func badCredentials(message string) error {
	e := registry.Errorf(registry.CodeUnauthorized, "%s", message)
	e.Header = http.Header{"Www-Authenticate": {`Basic realm="token service"`}}
	return e
}
