package remote

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The client forgets a challenge if its realm is refused or its token service
// fails. Once the registry sends a good challenge, requests succeed.
func TestBadChallengesAreForgotten(t *testing.T) {
	t.Parallel()
	const good = `Bearer realm="https://auth.test/token"`
	for name, c := range map[string]struct{ challenge, err string }{
		"loopback":              {`Bearer realm="https://127.0.0.1/token"`, "this machine or its network"},
		"no https":              {`Bearer realm="http://auth.test/token"`, "not https"},
		"no URL":                {`Bearer realm="https://%zz"`, "not a URL"},
		"a service that fails":  {`Bearer realm="https://broken.test/token"`, "500"},
		"a refused one at last": {`Bearer realm="https://broken.test/token", Bearer realm="https://127.0.0.1/"`, "500"},
	} {
		for _, upload := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				challenge := c.challenge
				w := &world{}
				w.answer = func(r *http.Request) *http.Response {
					switch {
					case r.URL.Host == "broken.test":
						return reply(500, "")
					case r.URL.Host == "auth.test":
						return reply(200, `{"token":"T"}`)
					case r.Header.Get("Authorization") == "Bearer T":
						return reply(200, blobText)
					}
					return reply(401, "", "WWW-Authenticate", challenge)
				}
				s := newStore(t, "https://r.test", w, Login{Username: "u", Password: "p"})
				ask := func() error {
					if !upload {
						_, err := s.GetBlob(t.Context(), "app", blobDigest)
						return err
					}
					// The body of this request can be sent only once.
					r, err := http.NewRequestWithContext(t.Context(), "PUT", "https://r.test/v2/app/x", struct{ *strings.Reader }{strings.NewReader("x")})
					require.NoError(t, err)
					resp, err := s.Client.Do(r)
					if err == nil {
						require.Equal(t, 200, resp.StatusCode)
					}
					return err
				}
				for range 2 {
					require.ErrorContains(t, ask(), c.err)
				}
				challenge = good
				require.NoError(t, ask())
				challenge = c.challenge // A client with a valid token needs no challenge.
				require.NoError(t, ask())
			})
		}
	}
}

// If the response has a refused challenge and a good one, the client answers the
// good one.
func TestGoodChallengeBesideARefusedOne(t *testing.T) {
	t.Parallel()
	for challenge, auth := range map[string]string{
		`Bearer realm="http://auth.test/", Bearer realm="https://auth.test/token"`: "Bearer T",
		`Bearer realm="https://10.0.0.1/", Basic realm="x"`:                        "Basic dTpw",
	} {
		w := protected(challenge, auth, issue("T"))
		_, err := newStore(t, "https://r.test", w, Login{Username: "u", Password: "p"}).GetBlob(t.Context(), "app", blobDigest)
		require.NoError(t, err, challenge)
	}
}

// With OnBehalf, requests have the Authorization of the client's request or
// none. Only the registry gets it, and the Transport requests no token.
func TestRequestsOnBehalfOfAClient(t *testing.T) {
	t.Parallel()
	base, err := url.Parse("https://r.test")
	require.NoError(t, err)
	for _, auth := range []string{"", "Bearer client"} {
		w := &world{answer: func(r *http.Request) *http.Response {
			switch {
			case r.URL.Host == "cdn.test":
				return reply(200, blobText)
			case r.Header.Get("Authorization") == "Bearer client":
				return reply(307, "", "Location", "https://cdn.test/blob")
			}
			return reply(401, "", "WWW-Authenticate", `Bearer realm="https://r.test/token"`)
		}}
		transport := &Transport{Registry: base, Next: w, OnBehalf: http.Header{}}
		blob := "GET https://r.test/v2/app/blobs/" + string(blobDigest)
		want := []string{blob}
		if auth != "" {
			transport.OnBehalf.Set("Authorization", auth)
			want = []string{blob + " " + auth, "GET https://cdn.test/blob"}
		}
		s := &Store{Base: "https://r.test", Client: &http.Client{Transport: transport}}
		_, err := s.GetBlob(t.Context(), "app", blobDigest)
		require.Equal(t, auth == "", err != nil)
		require.Equal(t, want, w.seen)
	}
}

// A proxy sends no credentials to a forbidden token service. It checks both the
// realm and the address that its host resolves to.
func TestRealmsOfProxies(t *testing.T) {
	t.Parallel()
	checkRealms(t, PassRealm, []realmCase{
		{"https://r.test", "https://auth.test/token", ""},
		{"http://r.test", "http://auth.test/token", ""},
		{"http://127.0.0.1:5000", "http://127.0.0.1:5001/token", ""},
		{"http://127.0.0.1:5000", "https://localhost:5001/token", ""},
		{"http://localhost:5000", "http://10.0.0.1/token", ""},
		{"http://10.0.0.5", "http://10.0.0.6/token", ""},
		{"http://169.254.1.2:5000", "http://169.254.1.2:5000/token", ""},
		{"https://127.0.0.1:5000", "http://127.0.0.1:5001/token", "not https"},
		{"https://r.test", "http://auth.test/token", "not https"},
		{"https://r.test", "http://r.test/token", "not https"},
		{"https://r.test", "https://127.0.0.1/token", "this machine"},
		{"https://r.test", "https://10.0.0.1/token", "this machine"},
		{"https://r.test", "https://[fe80::1]/token", "this machine"},
		{"https://r.test", "https://2130706433/token", "this machine"},
		{"http://127.0.0.1:5000", "http://169.254.169.254/token", "link-local"},
		{"http://127.0.0.1:5000", "http://0.0.0.0:5001/token", "unspecified"},
		{"http://127.0.0.1:5000", "http://2852039166/token", "link-local"},
		{"http://10.0.0.5", "http://224.0.0.1/token", "multicast"},
		{"https://r.test", "https://u:secret@auth.test/token", "has a user"},
		{"https://r.test", "https://auth.test/token#x", "fragment"},
		{"https://r.test", "ftp://auth.test/", "http or https"},
		{"https://r.test", "/token", "http or https"},
		{"https://r.test", "https://secret:%zz@x/", "not a URL"},
	})
	for _, c := range []struct {
		registry, address string
		permitted         bool
	}{
		{"http://8.8.8.8", "8.8.4.4:80", true},
		{"http://8.8.8.8", "127.0.0.1:80", false},
		{"http://8.8.8.8", "[::ffff:10.0.0.1]:80", false},
		{"http://8.8.8.8", "[64:ff9b::a9fe:a9fe]:80", false},
		{"http://127.0.0.1:5000", "127.0.0.1:5001", true},
		{"http://127.0.0.1:5000", "10.0.0.1:80", true},
		{"http://10.0.0.5", "10.0.0.6:80", true},
		{"http://10.0.0.5", "169.254.169.254:80", false},
		{"http://10.0.0.5", "[::]:80", false},
		{"http://169.254.1.2", "169.254.1.2:5001", true},
		{"http://169.254.1.2", "169.254.169.254:80", false},
		{"http://", "10.0.0.6:80", false},
	} {
		u, err := url.Parse(c.registry)
		require.NoError(t, err)
		err = PassDialer(u).ControlContext(t.Context(), "tcp", c.address, nil)
		require.Equal(t, c.permitted, err == nil, "%s from %s: %v", c.address, c.registry, err)
	}
}

// For a public registry, CheckRealm and PassRealm accept the same realms, and
// refuse those with an address of this machine.
func FuzzRealm(f *testing.F) {
	f.Add("https://auth.test/token")
	f.Add("https://0x7f.1/")
	f.Add("https://[64:ff9b::7f00:1]/")
	registry, err := url.Parse("https://r.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, realm string) {
		u, err := CheckRealm(registry, realm)
		_, passErr := PassRealm(registry, realm)
		if (err == nil) != (passErr == nil) {
			t.Fatalf("%q: CheckRealm returned %v, but PassRealm %v", realm, err, passErr)
		}
		if err == nil && (u.Scheme != "https" || u.User != nil || internalHost(u.Hostname())) {
			t.Fatalf("%q is accepted", realm)
		}
	})
}

// A list whose pages never end causes an error, even if all pages differ.
func TestEndlessList(t *testing.T) {
	t.Parallel()
	n := 0
	w := &world{answer: func(*http.Request) *http.Response {
		n++
		return reply(200, `{"tags":["v1"]}`, "Link", `</v2/app/tags/list?last=`+strconv.Itoa(n)+`>; rel="next"`)
	}}
	for tag, err := range newStore(t, "https://r.test", w, Login{}).Tags(t.Context(), "app", "") {
		require.ErrorContains(t, err, "more than 10000 pages")
		require.Empty(t, tag)
	}
	require.Equal(t, maxPages, n)
}
