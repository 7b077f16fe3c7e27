package field

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCredentialsAreRedacted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"Authorization", "Bearer hunter2", "Bearer redacted"},
		{"Authorization", "Basic aHVudGVyMg==", "Basic redacted"},
		{"Authorization", "hunter2", "redacted"},
		{"Proxy-Authorization", "Basic hunter2", "Basic redacted"},
		{"Cookie", "session=hunter2", "redacted"},
		{"Set-Cookie", "session=hunter2; Path=/", "redacted"},
		{"X-Registry-Auth", "hunter2", "redacted"},
		{"Private-Token", "hunter2", "redacted"},
		{"X-Api-Key", "hunter2", "redacted"},
		{"X-Amz-Security-Token", "hunter2", "redacted"},
		{"Location", "/v2/a?token=hunter2&n=1", "/v2/a?token=redacted&n=1"},
		{"Location", "https://cdn.test/b?X-Amz-Signature=hunter2&Expires=5#x", "https://cdn.test/b?X-Amz-Signature=redacted&Expires=5#x"},
		{"Link", `</v2/_catalog?n=1&access_token=hunter2>; rel="next", </x?sig=hunter2>; rel="last"`, `</v2/_catalog?n=1&access_token=redacted>; rel="next", </x?sig=redacted>; rel="last"`},
		{"Location", "/v2/a?", "/v2/a?"},
		{"Location", "https://alice:hunter2@cdn.test/b?n=1", "https://alice:redacted@cdn.test/b?n=1"},
		{"Location", "https://alice:hun@ter2@cdn.test", "https://alice:redacted@cdn.test"},
		{"Location", "https://alice@cdn.test/a:b@c", "https://alice@cdn.test/a:b@c"},
		{"Link", `<https://a:hunter2@x/?n=1>; rel="next", <https://b:hunter2@x>; rel="last"`, `<https://a:redacted@x/?n=1>; rel="next", <https://b:redacted@x>; rel="last"`},

		{"Accept", "application/json", "application/json"},
		{"Www-Authenticate", `Bearer realm="https://auth.test/token"`, `Bearer realm="https://auth.test/token"`},
		{"Docker-Content-Digest", "sha256:123", "sha256:123"},
		{"Location", "/v2/a?n=1", "/v2/a?n=1"},
		{"User-Agent", "a token?token=1", "a token?token=1"},
	} {
		got := Redact(http.Header{c.name: {c.value}})
		require.Equal(t, http.Header{c.name: {c.want}}, got)
	}
	for _, c := range []struct{ query, want string }{
		{"", ""},
		{"n=1&last=a%20b&digest=sha256:1", "n=1&last=a%20b&digest=sha256:1"},
		{"token=hunter2", "token=redacted"},
		{"a=b&refresh_token=hunter2&c", "a=b&refresh_token=redacted&c"},
		{"to%6ben=hunter2", "to%6ben=redacted"},
		{"client_secret=hunter2&password=hunter2", "client_secret=redacted&password=redacted"},
		{"X-Goog-Credential=hunter2", "X-Goog-Credential=redacted"},
		{"token", "token=redacted"},
		{"%zz=1&api_key=hunter2", "%zz=1&api_key=redacted"},
		{"mount=sha256:1&from=a&artifactType=b&ns=c&service=d&scope=e", "mount=sha256:1&from=a&artifactType=b&ns=c&service=d&scope=e"},
	} {
		require.Equal(t, c.want, query(c.query))
	}
	u := RedactURL(url.URL{Scheme: "http", Host: "a", User: url.UserPassword("alice", "hunter2")})
	require.Equal(t, "http://alice:redacted@a", u.String())
}

func FuzzRedact(f *testing.F) {
	f.Add("/v2/?token=hunter2&x", "Bearer hunter2")
	f.Add(`<a?b?sig=c>;"?`, "")
	f.Fuzz(func(t *testing.T, link, authorization string) {
		h := Redact(http.Header{"Link": {link}, "Authorization": {authorization}})
		// Redacting a second time changes nothing.
		again := Redact(h.Clone())
		require.Equal(t, h["Link"], again["Link"])
		if _, secret, ok := strings.Cut(authorization, " "); ok && len(secret) > len(redacted) {
			require.NotContains(t, h.Get("Authorization"), secret)
		}
	})
}
