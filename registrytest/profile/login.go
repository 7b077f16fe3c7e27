package profile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// A login is a RoundTripper that adds credentials to requests, with the
// authentication scheme of the registry.
type login struct {
	next   http.RoundTripper
	base   string // scheme, host and port of the registry
	user   auth.Credentials
	scheme string // "basic", "bearer" or ""
	realm  *url.URL
	name   string            // name of the service
	tokens map[string]string // tokens by scope
}

// newLogin sends GET /v2/ to the registry and returns a login for its challenge.
// It returns an error if the response is not that of a registry, if the token
// service must not get the credentials, or if the registry refuses them.
func newLogin(p *prober, next http.RoundTripper, user auth.Credentials) (*login, error) {
	l := &login{next: next, base: p.base, user: user, tokens: make(map[string]string)}
	var ping reply
	if _, err := p.run(func(p *prober) string {
		ping = p.anonymous("GET", "/v2/", "")
		return ""
	}); err != nil {
		return nil, err
	}
	if ping.status != http.StatusOK && ping.status != http.StatusUnauthorized {
		return nil, fmt.Errorf("GET %s/v2/: the response has status %d; a registry responds with 200 or 401", p.base, ping.status)
	}
	challenge := strings.Join(ping.header.Values("WWW-Authenticate"), ", ")
	if params, ok := parameters(challenge, "bearer"); ok {
		realm, err := url.Parse(params["realm"])
		if err == nil && realm.Host != "" {
			l.scheme, l.realm, l.name = "bearer", realm, params["service"]
			if user.Username != "" && !trusted(l.base, realm) {
				return nil, fmt.Errorf("the token service at %s is on another host and does not use HTTPS, so it gets no credentials", realm.Host)
			}
		}
	}
	if user.Username == "" {
		return l, nil
	}
	if l.scheme == "" {
		// Either the challenge has the scheme Basic, or there is no challenge,
		// because the registry permits anonymous pulls.
		l.scheme = "basic"
	}
	p.user = p.clientOf(l)
	if _, err := p.run(func(p *prober) string {
		ping = p.do("GET", "/v2/", "")
		return ""
	}); err != nil {
		return nil, err
	}
	if ping.status != http.StatusOK {
		return nil, fmt.Errorf("the registry refuses the credentials of %q: GET %s/v2/ is %s", user.Username, p.base, ping.code())
	}
	return l, nil
}

// trusted reports whether the token service may get the credentials for the
// registry with the base URL: it uses HTTPS, or is at the same host.
func trusted(base string, realm *url.URL) bool {
	return realm.Scheme == "https" || realm.Scheme+"://"+realm.Host == base
}

// clientOf returns a copy of p.client that uses the transport.
func (p *prober) clientOf(transport http.RoundTripper) *http.Client {
	client := *p.client
	client.Transport = transport
	return &client
}

// RoundTrip sends a request to the registry with credentials. If these are a
// token and the response is 401, it requests a new token and sends the request
// again.
func (l *login) RoundTrip(r *http.Request) (*http.Response, error) {
	switch l.scheme {
	case "":
		return l.next.RoundTrip(r)
	case "basic":
		r = r.Clone(r.Context())
		r.SetBasicAuth(l.user.Username, l.user.Password)
		return l.next.RoundTrip(r)
	}
	scopes := scopesOf(r)
	key := strings.Join(scopes, " ")
	token, known := l.tokens[key]
	if !known {
		token = l.fetch(r, scopes)
		if token == "" && r.Method == http.MethodDelete {
			// Some token services do not know the action delete.
			token = l.fetch(r, []string{strings.Replace(key, ":pull,push,delete", ":*", 1)})
		}
	}
	resp, err := l.with(r, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		l.keep(key, token, err)
		return resp, err
	}
	// The registry may require another scope, or the token may have expired.
	params, _ := parameters(strings.Join(resp.Header.Values("WWW-Authenticate"), ", "), "bearer")
	if params["scope"] != "" {
		scopes = strings.Fields(params["scope"])
	}
	if token = l.fetch(r, scopes); token == "" {
		return resp, nil
	}
	again, err := l.with(r, token)
	if err != nil {
		return resp, nil
	}
	resp.Body.Close()
	l.keep(key, token, nil)
	return again, nil
}

// An authorizing is a RoundTripper that calls add with each request, to add
// credentials.
type authorizing struct {
	next http.RoundTripper
	add  func(*http.Request)
}

func (a authorizing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	a.add(r)
	return a.next.RoundTrip(r)
}

func (l *login) keep(key, token string, err error) {
	if err == nil && token != "" {
		l.tokens[key] = token
	}
}

// with sends the request with the token, or without one if the token is "".
func (l *login) with(r *http.Request, token string) (*http.Response, error) {
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	if token != "" {
		again.Header.Set("Authorization", "Bearer "+token)
	}
	return l.next.RoundTrip(again)
}

// scopesOf returns the token scopes that a request needs.
func scopesOf(r *http.Request) []string {
	parsed, _ := registry.ParseRequest(r)
	switch {
	case parsed.Op == registry.ListRepositories:
		return []string{"registry:catalog:*"}
	case parsed.Repo == "":
		return nil
	}
	actions := "pull,push"
	if parsed.Op.Action() == registry.ActionPull {
		actions = "pull"
	} else if r.Method == http.MethodDelete {
		actions = "pull,push,delete"
	}
	scopes := []string{"repository:" + parsed.Repo + ":" + actions}
	if parsed.From != "" && parsed.From != parsed.Repo {
		scopes = append(scopes, "repository:"+parsed.From+":pull")
	}
	return scopes
}

// fetch requests a token for the scopes from the token service. It returns "" if
// the token service refuses or fails.
func (l *login) fetch(r *http.Request, scopes []string) string {
	target := *l.realm
	query := target.Query()
	if l.name != "" {
		query.Set("service", l.name)
	}
	for _, s := range scopes {
		query.Add("scope", s)
	}
	target.RawQuery = query.Encode()
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target.String(), nil)
	if err != nil {
		return ""
	}
	if l.user.Username != "" {
		ask.SetBasicAuth(l.user.Username, l.user.Password)
	}
	resp, err := l.next.RoundTrip(ask)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var body struct {
		Token       string
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return cmp.Or(body.Token, body.AccessToken)
}

// parameters returns the parameters of the challenge with the scheme. The
// header is a value of WWW-Authenticate, which may contain several challenges.
// It returns false if no challenge has the scheme.
func parameters(header, scheme string) (map[string]string, bool) {
	start := regexp.MustCompile(`(?i)(?:^|[, ])` + scheme + `(?: +|$)`).FindStringIndex(header)
	if start == nil {
		return nil, false
	}
	params := make(map[string]string)
	one := regexp.MustCompile(`^[ ,]*([A-Za-z_]+) *= *(?:"([^"]*)"|([^ ,"]+))`)
	for rest := header[start[1]:]; ; {
		m := one.FindStringSubmatch(rest)
		if m == nil {
			return params, true
		}
		params[strings.ToLower(m[1])] = m[2] + m[3]
		rest = rest[len(m[0]):]
	}
}
