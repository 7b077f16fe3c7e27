package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A world is a transport that answers each request itself. It appends the
// method, the URL without the query, the Authorization and the body of the
// request to seen.
type world struct {
	answer func(r *http.Request) *http.Response
	seen   []string
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	u := *r.URL
	u.RawQuery = ""
	body := ""
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	for k := range r.Header {
		if k == "Cookie" || k == "Referer" {
			return nil, errors.New("the request has the field " + k)
		}
	}
	w.seen = append(w.seen, strings.Join(strings.Fields(r.Method+" "+u.String()+" "+r.Header.Get("Authorization")+" "+body), " "))
	resp := w.answer(r)
	resp.Request = r
	return resp, nil
}

// reply returns a response. The header consists of pairs of a name and a value.
func reply(status int, body string, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	return resp
}

func newStore(t *testing.T, base string, w *world, login Login) *Store {
	t.Helper()
	u, err := url.Parse(base)
	require.NoError(t, err)
	transport := &Transport{Registry: u, Next: w, Login: func(context.Context) (Login, error) { return login, nil }}
	return &Store{Base: base, Client: &http.Client{Transport: transport}}
}

const blobText = "the blob"

var blobDigest = digest.FromString(blobText)

// protected returns a world with a registry and its token service. The registry
// sends the blob to requests with the given Authorization, and a 401 response
// with the challenge to all other requests. The function others responds to
// requests to the token service.
func protected(challenge, authorization string, others func(*http.Request) *http.Response) *world {
	return &world{answer: func(r *http.Request) *http.Response {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v2/"):
			return others(r)
		case authorization != "" && r.Header.Get("Authorization") == authorization:
			return reply(200, blobText)
		}
		return reply(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`, "WWW-Authenticate", challenge)
	}}
}

func issue(token string) func(*http.Request) *http.Response {
	return func(*http.Request) *http.Response { return reply(200, `{"token":"`+token+`","expires_in":300}`) }
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	blob := "GET https://r.test/v2/app/blobs/" + string(blobDigest)
	const bearer = `Bearer realm="https://auth.test/token",service="r.test",scope="repository:other:pull"`
	for name, c := range map[string]struct {
		challenge, accepts string
		login              Login
		issue              func(*http.Request) *http.Response
		seen               []string
		err                string
	}{
		"basic": {challenge: `Basic realm="x"`, accepts: "Basic dTpw", login: Login{Username: "u", Password: "p"},
			seen: []string{blob, blob + " Basic dTpw", blob + " Basic dTpw"}},
		"basic, anonymous":    {challenge: `Basic realm="x"`, seen: []string{blob}, err: "401"},
		"no known challenge":  {challenge: `Negotiate`, login: Login{Username: "u", Password: "p"}, seen: []string{blob}, err: "401"},
		"basic, not accepted": {challenge: `Basic realm="x"`, login: Login{Username: "u", Password: "p"}, seen: []string{blob, blob + " Basic dTpw"}, err: "401"},
		"token, anonymous": {challenge: bearer, accepts: "Bearer T", issue: issue("T"),
			seen: []string{blob, "GET https://auth.test/token", blob + " Bearer T", blob + " Bearer T"}},
		"token, after basic": {challenge: `Basic realm="x", ` + bearer, accepts: "Bearer T", issue: issue("T"), login: Login{Username: "u", Password: "p"},
			seen: []string{blob, "GET https://auth.test/token Basic dTpw", blob + " Bearer T", blob + " Bearer T"}},
		"identity token": {challenge: bearer, accepts: "Bearer T", issue: issue("T"), login: Login{IdentityToken: "I"},
			seen: []string{blob, "POST https://auth.test/token client_id=ocireg&grant_type=refresh_token&refresh_token=I&scope=repository%3Aapp%3Apull&service=r.test",
				blob + " Bearer T", blob + " Bearer T"}},
		"no token": {challenge: bearer, issue: func(*http.Request) *http.Response { return reply(200, `{}`) },
			seen: []string{blob, "GET https://auth.test/token"}, err: "no valid token"},
		"a token with a line end": {challenge: bearer, issue: issue(`T\r\nX: y`), seen: []string{blob, "GET https://auth.test/token"}, err: "no valid token"},
		"a page for a token": {challenge: bearer, issue: func(*http.Request) *http.Response { return reply(200, `<html>`) },
			seen: []string{blob, "GET https://auth.test/token"}, err: "not JSON"},
		"an endless token": {challenge: bearer, issue: func(*http.Request) *http.Response {
			r := reply(200, "")
			r.Body = io.NopCloser(endless('x'))
			return r
		}, seen: []string{blob, "GET https://auth.test/token"}, err: "more than 1048576 bytes"},
		"no token but 404": {challenge: bearer, issue: func(*http.Request) *http.Response { return reply(404, `nothing`) },
			seen: []string{blob, "GET https://auth.test/token"}, err: "401"},
		"a token service that redirects": {challenge: bearer, login: Login{Username: "u", Password: "p"}, issue: func(*http.Request) *http.Response {
			return reply(307, "", "Location", "https://evil.test/")
		}, seen: []string{blob, "GET https://auth.test/token Basic dTpw"}, err: "redirects"},
		"a realm without https": {challenge: `Bearer realm="http://auth.test/token"`, login: Login{Username: "u", Password: "p"}, seen: []string{blob}, err: "is not https"},
		"a realm on loopback":   {challenge: `Bearer realm="https://127.0.0.1/token"`, login: Login{Username: "u", Password: "p"}, seen: []string{blob}, err: "this machine or its network"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := protected(c.challenge, c.accepts, c.issue)
			s := newStore(t, "https://r.test", w, c.login)
			for range 2 {
				resp, err := s.GetBlob(t.Context(), "app", blobDigest)
				if c.err != "" {
					require.ErrorContains(t, err, c.err)
					require.NotErrorIs(t, err, fs.ErrNotExist)
					break
				}
				require.NoError(t, err)
				resp.Body.Close()
			}
			require.Equal(t, c.seen, w.seen)
		})
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// A client uses a token until it expires. If the registry refuses the token
// earlier, the client gets a new one.
func TestTokensExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issued, valid := 0, ""
		w := &world{}
		w.answer = func(r *http.Request) *http.Response {
			switch {
			case r.URL.Path == "/token":
				issued++
				valid = fmt.Sprint("Bearer T", issued)
				return reply(200, fmt.Sprintf(`{"access_token":"T%d","expires_in":100}`, issued))
			case r.Header.Get("Authorization") == valid && valid != "":
				return reply(200, blobText)
			}
			return reply(401, "", "WWW-Authenticate", `Bearer realm="https://r.test/token"`)
		}
		s := newStore(t, "https://r.test", w, Login{})
		pull := func(want int) {
			t.Helper()
			_, err := s.GetBlob(t.Context(), "app", blobDigest)
			require.NoError(t, err)
			require.Equal(t, want, issued)
		}
		pull(1)
		time.Sleep(89 * time.Second)
		pull(1)
		time.Sleep(2 * time.Second)
		pull(2)
		valid = "Bearer of another time"
		pull(3)
	})
}

// Only the registry and its token service get credentials. The client does not follow
// a redirect from https to another scheme, or to an address of this machine or its
// network.
func TestCredentialsStay(t *testing.T) {
	t.Parallel()
	login := Login{Username: "u", Password: "p"}
	for target, want := range map[string]string{
		"https://cdn.test/b?X-Amz-Signature=secret": "",
		"https://sub.r.test/b":                      "",
		"https://r.test:8443/b":                     "",
		"http://r.test/b":                           "points from https",
		"http://cdn.test/b":                         "points from https",
		"https://127.0.0.1/b":                       "this machine or its network",
		"https://localhost/b":                       "this machine or its network",
		"https://169.254.169.254/latest":            "this machine or its network",
		"https://[::1]/b":                           "this machine or its network",
		"https://10.0.0.1/b":                        "this machine or its network",
		"file:///etc/passwd":                        "scheme",
	} {
		w := &world{}
		w.answer = func(r *http.Request) *http.Response {
			switch {
			case Origin(r.URL) != "https://r.test:443":
				return reply(200, blobText)
			case r.Header.Get("Authorization") == "":
				return reply(401, "", "WWW-Authenticate", "Basic")
			}
			return reply(307, "", "Location", target)
		}
		s := newStore(t, "https://r.test", w, login)
		_, err := s.GetBlob(t.Context(), "app", blobDigest)
		if want == "" {
			require.NoError(t, err, target)
			require.Len(t, w.seen, 3)
			require.NotContains(t, w.seen[2], "Basic", target)
			continue
		}
		require.ErrorContains(t, err, want, target)
		require.NotContains(t, err.Error(), "secret")
		require.Len(t, w.seen, 2, target)
	}

	// A 404 response of another host does not mean that the blob is missing.
	// Errors do not show the signature in its URL.
	w := &world{answer: func(r *http.Request) *http.Response {
		if r.URL.Host == "r.test" {
			return reply(307, "", "Location", "https://cdn.test/b?X-Amz-Signature=secret")
		}
		return reply(404, "")
	}}
	_, err := newStore(t, "https://r.test", w, login).GetBlob(t.Context(), "app", blobDigest)
	require.ErrorContains(t, err, "404")
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.NotContains(t, err.Error(), "secret")

	// The client uploads to a Location at another host, without credentials.
	w = &world{}
	w.answer = func(r *http.Request) *http.Response {
		switch {
		case r.Method == http.MethodPut:
			return reply(201, "")
		case r.Header.Get("Authorization") == "":
			return reply(401, "", "WWW-Authenticate", "Basic")
		}
		return reply(202, "", "Location", "https://storage.test/upload?token=x")
	}
	s := newStore(t, "https://r.test", w, login)
	require.NoError(t, s.Upload(t.Context(), "app", blobDigest, strings.NewReader(blobText), int64(len(blobText))))
	require.Equal(t, "PUT https://storage.test/upload the blob", w.seen[len(w.seen)-1])
}

// If the registry requires credentials for the PUT but not for the POST, the
// client sends the whole blob again.
func TestBodyIsRepeated(t *testing.T) {
	t.Parallel()
	w := &world{}
	w.answer = func(r *http.Request) *http.Response {
		switch {
		case r.Method == http.MethodPost:
			return reply(202, "", "Location", "/v2/app/blobs/uploads/1")
		case r.Header.Get("Authorization") == "":
			return reply(401, "", "WWW-Authenticate", "Basic")
		}
		return reply(201, "")
	}
	s := newStore(t, "https://r.test", w, Login{Username: "u", Password: "p"})
	require.NoError(t, s.Upload(t.Context(), "app", blobDigest, strings.NewReader(blobText), int64(len(blobText))))
	require.Equal(t, []string{
		"POST https://r.test/v2/app/blobs/uploads/", "PUT https://r.test/v2/app/blobs/uploads/1 the blob",
		"PUT https://r.test/v2/app/blobs/uploads/1 Basic dTpw the blob",
	}, w.seen)
}

// CheckTarget permits an address of this machine or its network if the registry has one,
// too. It refuses link-local addresses, at which clouds have services with credentials,
// except for the host of the registry.
func TestTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ registry, target, err string }{
		{"http://127.0.0.1:5000", "http://127.0.0.1:5001/blob", ""},
		{"http://127.0.0.1:5000", "http://localhost.:5001/blob", ""},
		{"http://10.0.0.5", "http://10.0.0.6/blob", ""},
		{"https://r.test", "https://cdn.test/blob", ""},
		{"http://169.254.1.2:5000", "http://169.254.1.2:5001/blob", ""},
		{"http://127.0.0.1:5000", "http://169.254.169.254/latest", "link-local"},
		{"https://10.0.0.5", "https://169.254.169.254./latest", "link-local"},
		{"https://10.0.0.5", "https://[::ffff:169.254.169.254]/latest", "link-local"},
		{"https://10.0.0.5", "https://[64:ff9b::a9fe:a9fe]/latest", "link-local"},
		{"https://10.0.0.5", "https://[fe80::1%25eth0]/latest", "link-local"},
		{"https://10.0.0.5", "https://2852039166/latest", "link-local"},
		{"https://r.test", "https://169.254.169.254/latest", "this machine or its network"},
		{"https://r.test", "https://127.0.0.1/blob", "this machine or its network"},
		{"https://r.test", "http://cdn.test/blob", "from https"},
		{"http://r.test", "file:///etc/passwd", "scheme"},
	} {
		registry, err := url.Parse(c.registry)
		require.NoError(t, err)
		target, err := url.Parse(c.target)
		require.NoError(t, err)
		if err = CheckTarget(registry, target); c.err == "" {
			require.NoError(t, err, c.target)
		} else {
			require.ErrorContains(t, err, c.err, c.target)
		}
	}
}

// A realmCase has the URL of a registry, the realm of its challenge, and text of
// the error for the realm, or "" if the realm is permitted.
type realmCase struct{ registry, realm, err string }

// checkRealms tests the function check, which returns an error if it refuses the
// realm of a challenge.
func checkRealms(t *testing.T, check func(registry *url.URL, realm string) (*url.URL, error), cases []realmCase) {
	t.Helper()
	for _, c := range cases {
		u, err := url.Parse(c.registry)
		require.NoError(t, err)
		got, err := check(u, c.realm)
		if c.err == "" {
			require.NoError(t, err, c.realm)
			require.Equal(t, c.realm, got.String())
			continue
		}
		require.ErrorContains(t, err, c.err, c.realm)
		require.NotContains(t, err.Error(), "secret")
		require.Nil(t, got)
	}
}

func TestRealms(t *testing.T) {
	t.Parallel()
	checkRealms(t, CheckRealm, []realmCase{
		{"https://r.test", "https://auth.test/token", ""},
		{"https://r.test", "https://r.test/token", ""},
		{"https://r.test", "https://R.TEST.:443/token", ""},
		{"http://r.test", "http://auth.test/token", ""},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5000/token", ""},
		{"https://10.1.2.3:5000", "https://10.1.2.3:5000/token", ""},
		{"https://127.0.0.1:5000", "https://127.0.0.1:5000/token", ""},
		{"https://127.0.0.1:5000", "http://127.0.0.1:5000/token", "not https"},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5001/token", "this machine"},
		{"http://127.0.0.1:5000", "http://localhost:5000/token", "this machine"},
		{"http://127.0.0.1:5000", "https://127.0.0.1:5000/token", "this machine"},
		{"https://r.test", "http://auth.test/token", "not https"},
		{"https://r.test", "https://127.0.0.1/token", "this machine"},
		{"https://r.test", "https://127.1/token", "this machine"},
		{"https://r.test", "https://2130706433/token", "this machine"},
		{"https://r.test", "https://0x7f.1/token", "this machine"},
		{"https://r.test", "https://0177.0.0.1/token", "this machine"},
		{"https://r.test", "https://127。0。0。1/token", "this machine"},
		{"https://r.test", "https://[::ffff:127.0.0.1]/token", "this machine"},
		{"https://r.test", "https://[64:ff9b::7f00:1]/token", "this machine"},
		{"https://r.test", "https://[fe80::1%25eth0]/token", "this machine"},
		{"https://r.test", "https://192.168.0.1/token", "this machine"},
		{"https://r.test", "https://169.254.169.254/token", "this machine"},
		{"https://r.test", "https://0.0.0.0/token", "this machine"},
		{"https://r.test", "https://a.localhost/token", "this machine"},
		{"https://r.test", "https://u:secret@auth.test/token", "has a user"},
		{"https://r.test", "https://auth.test/token#x", "fragment"},
		{"https://r.test", "ftp://auth.test/", "http or https"},
		{"https://r.test", "//auth.test/", "http or https"},
		{"https://r.test", "/token", "http or https"},
		{"https://r.test", "https://secret:%zz@x/", "not a URL"},
	})
	require.False(t, InternalAddress(netip.MustParseAddr("8.8.8.8")))
}
