package remote

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/ocireg/registry/internal/field"
)

type token struct {
	text    string
	expires time.Time
}

func (t token) expired() bool { return !time.Now().Before(t.expires) }

// basic returns the credentials in the encoding of Basic authentication.
func (l Login) basic() string {
	return base64.StdEncoding.EncodeToString([]byte(l.Username + ":" + l.Password))
}

const (
	maxTokenResponse = 1 << 20
	tokenLife        = time.Minute      // if the response has no expires_in (Docker's token specification)
	tokenMargin      = 10 * time.Second // the client drops a token at most this long before the token expires
	maxTokenLife     = 24 * time.Hour
	dialTime         = 30 * time.Second
)

// fetchToken requests a token with the scope from the token service in the
// challenge c. It sends the identity token of the login (Docker's OAuth2
// specification), or its name and password, or no credentials.
func (t *Transport) fetchToken(ctx context.Context, c *challenge, login Login, scope string) (token, error) {
	realm, err := CheckRealm(t.Registry, c.params["realm"])
	if err != nil {
		return token{}, err
	}
	if scope == "" {
		scope = c.params["scope"]
	}
	r, err := tokenRequest(ctx, realm, c.params["service"], scope, login)
	if err != nil {
		return token{}, err
	}
	resp, err := t.realmTransport(r).RoundTrip(r)
	if err != nil {
		return token{}, fmt.Errorf("asking %s for a token: %w", Origin(realm), err)
	}
	defer discard(resp)
	if 300 <= resp.StatusCode && resp.StatusCode < 400 {
		return token{}, fmt.Errorf("asking %s for a token: %w", Origin(realm), errRedirected)
	}
	if resp.StatusCode != http.StatusOK {
		e := newStatusError(resp)
		if e.Status < 500 && e.Status != http.StatusTooManyRequests {
			// A 404 response of the token service does not mean that content is missing.
			e.Status = http.StatusUnauthorized
		}
		return token{}, e
	}
	text, err := readAll(resp.Body, maxTokenResponse)
	if err == nil {
		var tok token
		if tok, err = parseToken(text, time.Now()); err == nil {
			return tok, nil
		}
	}
	return token{}, fmt.Errorf("reading the token of %s: %w", Origin(realm), err)
}

func tokenRequest(ctx context.Context, realm *url.URL, service, scope string, login Login) (*http.Request, error) {
	query := url.Values{}
	if service != "" {
		query.Set("service", service)
	}
	if login.IdentityToken != "" {
		query.Set("grant_type", "refresh_token")
		query.Set("refresh_token", login.IdentityToken)
		query.Set("client_id", "ocireg")
		query.Set("scope", scope)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(query.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return r, err
	}
	for one := range strings.FieldsSeq(scope) {
		query.Add("scope", one)
	}
	if login.Username != "" {
		query.Set("account", login.Username)
	}
	u := *realm
	own := u.Query()
	for k, values := range query {
		own[k] = values
	}
	u.RawQuery = own.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && login.Username != "" {
		r.Header.Set("Authorization", "Basic "+login.basic())
	}
	return r, err
}

// parseToken returns the token in the response of a token service.
func parseToken(text []byte, now time.Time) (token, error) {
	var body struct {
		Token       string
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		// The error of json.Unmarshal could quote the token.
		return token{}, fmt.Errorf("it is not JSON in the form of Docker's token specification")
	}
	if body.Token == "" {
		body.Token = body.AccessToken
	}
	if body.Token == "" || !field.Valid(body.Token) || strings.ContainsAny(body.Token, " \t") {
		return token{}, fmt.Errorf("it has no valid token")
	}
	life := tokenLife
	if body.ExpiresIn > 0 {
		life = time.Duration(min(body.ExpiresIn, maxTokenLife.Seconds()) * float64(time.Second))
	}
	return token{body.Token, now.Add(max(life-tokenMargin, life/2))}, nil
}

// realmTransport returns the transport for a request with credentials to a token
// service. It refuses to connect to an address of this machine or its network,
// unless the service has the registry's host and port. A registry in a private
// network may also have its token service in one. The transport cannot check the
// address if a proxy or the caller's dialer makes the connection.
func (t *Transport) realmTransport(r *http.Request) http.RoundTripper {
	next, ok := t.Next.(*http.Transport)
	if !ok || Origin(r.URL) == Origin(t.Registry) || next.DialContext != nil || next.DialTLSContext != nil {
		return t.Next
	}
	if next.Proxy != nil {
		if proxy, err := next.Proxy(r); proxy != nil || err != nil {
			return t.Next
		}
	}
	guarded := next.Clone()
	guarded.DisableKeepAlives = true
	guarded.DialContext = guardedDialer(t.Registry, func(ip, home netip.Addr) bool {
		return ip.IsPrivate() && home.IsPrivate()
	}).DialContext
	return guarded
}

// PassDialer returns a dialer for connections to the token services that
// [PassRealm] permits. It refuses addresses of this machine or its network,
// unless the registry's host resolves only to such addresses. Even then it
// refuses a link-local address, unless the registry has the same address.
func PassDialer(registry *url.URL) *net.Dialer {
	return guardedDialer(registry, func(ip, home netip.Addr) bool {
		return InternalAddress(home) && (near(ip) || ip == home)
	})
}

// guardedDialer returns a dialer that refuses an address of this machine or its
// network, unless permits returns true for it and each address of the registry.
func guardedDialer(registry *url.URL, permits func(ip, home netip.Addr) bool) *net.Dialer {
	return &net.Dialer{Timeout: dialTime, ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !InternalAddress(at.Addr()) {
			return err
		}
		homes, err := net.DefaultResolver.LookupNetIP(ctx, "ip", registry.Hostname())
		permitted := err == nil && len(homes) > 0
		for _, home := range homes {
			permitted = permitted && permits(plain(at.Addr()), plain(home))
		}
		if !permitted {
			return fmt.Errorf("its host resolves to %s, an address of this machine or its network", at.Addr())
		}
		return nil
	}}
}

// readAll returns all bytes of a reader, or an error if there are more than limit.
func readAll(from io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	return text, err
}
