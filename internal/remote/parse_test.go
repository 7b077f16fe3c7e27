package remote

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzChallenges(f *testing.F) {
	for _, s := range []string{
		`Bearer realm="https://a/t",service="s",scope="x:y:pull,push"`, `Basic realm=x, Bearer realm=y`, `Negotiate abc==`, `a="b\"c"`, `,,Basic`, `Bearer realm = "a" , b=c`, "\xff", `"`, `Bearer =`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range parseChallenges([]string{s}) {
			if c.scheme == "" || !strings.Contains(strings.ToLower(s), c.scheme) {
				t.Fatalf("%q: the scheme %q is not in the header", s, c.scheme)
			}
		}
	})
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][]challenge{
		`Bearer realm="https://a/t",service="s",scope="x:y:pull,push"`: {{"bearer", map[string]string{"realm": "https://a/t", "service": "s", "scope": "x:y:pull,push"}}},
		`Basic realm=x, BEARER Realm="a \"b\"" , b=https://c/d?e`:      {{"basic", map[string]string{"realm": "x"}}, {"bearer", map[string]string{"realm": `a "b"`, "b": "https://c/d?e"}}},
		`Basic`:                      {{"basic", map[string]string{}}},
		`Bearer realm="a",realm="b"`: {{"bearer", map[string]string{"realm": "a"}}},
		`, ,`:                        nil,
	} {
		require.Equal(t, want, parseChallenges([]string{s}), s)
	}
}

func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"token":"a","expires_in":300}`))
	f.Add([]byte(`{"access_token":"a","expires_in":-1e300}`))
	f.Add([]byte(`{"token":"a","expires_in":1e300}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		now := time.Now()
		tok, err := parseToken(text, now)
		if err == nil && (tok.text == "" || strings.ContainsAny(tok.text, "\r\n ") || !tok.expires.After(now)) {
			t.Fatalf("parseToken accepted %q as the token %+v", text, tok)
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"r.test":{"auth":"dTpw"}},"credHelpers":{"r.test":"x"},"credsStore":"y"}`))
	f.Add([]byte(`{"auths":{"https://r.test/v1/":{"username":"u","password":"p","identitytoken":"i"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		if _, key := c.helper("r.test"); key != "r.test" {
			t.Fatalf("helper returned the key %q, want r.test", key)
		}
		if login, err := c.login("r.test"); err != nil && login != (Login{}) {
			t.Fatal("login returned a Login and an error")
		}
		parseHelper(text)
	})
}

func TestDockerConfigKeys(t *testing.T) {
	t.Parallel()
	for key, hosts := range map[string][]string{
		"r.test":                      {"r.test"},
		"https://r.test/v1/":          {"r.test"},
		"https://index.docker.io/v1/": {"docker.io", "index.docker.io", "registry-1.docker.io"},
		"docker.io":                   {"docker.io", "index.docker.io", "registry-1.docker.io"},
		"r.test:5000":                 {"r.test:5000"},
	} {
		text, err := json.Marshal(map[string]any{"auths": map[string]any{key: map[string]string{"auth": "dTpw"}}})
		require.NoError(t, err)
		c, err := parseConfig(text)
		require.NoError(t, err)
		for _, host := range []string{"r.test", "r.test:5000", "docker.io", "index.docker.io", "registry-1.docker.io", "est"} {
			login, err := c.login(host)
			require.NoError(t, err)
			require.Equal(t, slices.Contains(hosts, host), login.Username == "u", "%s in %s", host, key)
		}
	}
}
