package auth_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/auth"
)

// FuzzParseRule checks that ParseRule accepts exactly the valid rules, and that
// a valid rule gives the rights that it names.
func FuzzParseRule(f *testing.F) {
	for _, text := range []string{
		"anonymous pull public/**", "* pull,list **", "ci delete team/app", "ci * *", "ci pull,pull a", " ci\tpush\u00a0x ", "a:b pull **", "ci pull, **", "ci ** **", "*x pull **",
		"ci pull\x00 **", "\u202eci pull **", "ci PULL **", "ci pull a b", "ci",
	} {
		f.Add(text)
	}
	form := regexp.MustCompile(`^(\*|(pull|push|delete|list)(,(pull|push|delete|list))*)$`)
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Fields(text)
		valid := len(words) == 3 && !strings.Contains(words[0], ":") && form.MatchString(words[1])
		rule, err := auth.ParseRule(text)
		require.Equal(t, valid, err == nil, "%q: %v", text, err)
		if !valid {
			return
		}
		again, err := auth.ParseRule(rule.String())
		require.NoError(t, err)
		require.Equal(t, rule, again)

		// The rule gives the rights in its text, and no others.
		a := auth.Basic()
		require.NoError(t, a.Allow(text))
		r := newReg(t, a)
		other := basic(a.User("a-user-of-no-rule", "list no/such"))
		everybody := words[0] == "*" || words[0] == "anonymous"
		wanted := strings.Split(words[1], ",")
		may := everybody && (words[1] == "*" || slices.Contains(wanted, "pull")) && names.Match(words[2], "secret/app")
		for _, h := range []header{nil, other} {
			w := r.do("GET", "/v2/secret/app/manifests/v1", h, "")
			require.Equal(t, may, w.Code == 200, "%q: %d", text, w.Code)
		}
	})
}

// FuzzWays sends a request to two registries, of which only one has the
// repository secret/app. Then it pulls from secret/app with each token in the
// response. No response may contain content of that repository or reveal that it
// exists.
//
// In the fuzzed texts, $BASIC and $TOKEN stand for credentials of a user without
// rights on secret/app, $BLOB and $MANIFEST for digests of its content, and
// $SESSION for an upload session of its owner.
func FuzzWays(f *testing.F) {
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, seed := range [][4]string{
		{"GET", "/v2/secret/app/manifests/v1", "", ""},
		{"GET", "/v2/team/../secret/app/blobs/$BLOB", "Authorization: Bearer $TOKEN", ""},
		{"GET", "/v2/secret/app/manifests/$MANIFEST", "Authorization: Bearer $TOKEN\nAuthorization: Basic $BASIC", ""},
		{"HEAD", "/v2/secret/app/manifests/v1?ns=x", "Authorization: Basic $BASIC\nIf-None-Match: \"$MANIFEST\"", ""},
		{"GET", "/token?service=registry.test&scope=repository:secret/app:pull&offline_token=true", "Authorization: Basic $BASIC", ""},
		{"GET", "/token?scope=repository:team/app:*%20repository:secret/app:pull", "", ""},
		{"POST", "/token", form, "grant_type=password&username=eve&password=x&scope=repository:secret/app:pull"},
		{"POST", "/token?grant_type=refresh_token", form + "\nAuthorization: Basic $BASIC", "refresh_token=x&scope=registry:catalog:*"},
		{"POST", "/v2/team/app/blobs/uploads/?mount=$BLOB&from=secret/app", "Authorization: Bearer $TOKEN", ""},
		{"POST", "/v2/team/app/blobs/uploads/?digest=$BLOB", "Authorization: Bearer $TOKEN", "x"},
		{"PUT", "/v2/team/app/manifests/v2?tag=a", "Authorization: Bearer $TOKEN\nContent-Type: application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"$MANIFEST","size":1}]}`},
		{"PUT", "/v2/secret/app/manifests/v1", "Authorization: Bearer $TOKEN", `{"schemaVersion":2}`},
		{"PATCH", "/v2/team/app/blobs/uploads/$SESSION", "Authorization: Bearer $TOKEN\nContent-Range: 0-0", "x"},
		{"DELETE", "/v2/secret/app/blobs/uploads/$SESSION", "Authorization: bearer  $TOKEN", ""},
		{"DELETE", "/v2/secret/app/blobs/$BLOB", "Authorization: Basic $BASIC", ""},
		{"GET", "/v2/_catalog?n=1&last=public/app", "Authorization: Bearer $TOKEN", ""},
		{"GET", "/v2/team/app/referrers/$MANIFEST", "Authorization: Bearer $TOKEN", ""},
		{"GET", "/v2/secret/app/tags/list", "Authorization: Bearer $TOKEN$TOKEN", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	c := credentials{a: auth.BearerOrBasic("anonymous pull public/**")}
	c.owner, c.eve = c.a.User("owner"), c.a.User("eve", "* team/**")
	c.as = func(who auth.Credentials, repo string) header { return basic(who) }
	var with, without memstore.Store
	newWorld(f, &with, c, "public/app", "team/app", "secret/app")
	newWorld(f, &without, c, "public/app", "team/app")
	token := c.a.AccessToken("eve", "repository:team/app:pull,push,delete", "repository:secret/app:pull,push,delete", "registry:catalog:*")
	pair := strings.TrimPrefix(basic(c.eve).Get("Authorization"), "Basic ")

	f.Fuzz(func(t *testing.T, method, target, fields, body string) {
		if method == "" {
			return // Package net/http replaces an empty method by GET.
		}
		a, _ := newWorld(t, with.Clone(), c)
		b, _ := newWorld(t, without.Clone(), c)
		session := a.do("POST", "/v2/secret/app/blobs/uploads/", basic(c.owner), "").Header().Get("Docker-Upload-Uuid")
		replace := strings.NewReplacer("$BASIC", pair, "$TOKEN", token, "$BLOB", string(digest.FromString(secretBlob)),
			"$MANIFEST", string(digest.FromString(secretManifest)), "$SESSION", session).Replace
		h := header{}
		for line := range strings.Lines(replace(fields)) {
			name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
			h.Add(name, strings.TrimSpace(value))
		}
		secrets := []string{replace(target), replace(body)}
		try := func(w *world) {
			got := w.send(method, secrets[0], secrets[1], h)
			var fields map[string]any
			json.Unmarshal(got.Body.Bytes(), &fields)
			for _, name := range []string{"token", "access_token", "refresh_token"} {
				if token, ok := fields[name].(string); ok {
					pullSecret(bearer(token))(w)
				}
			}
			if location := got.Header().Get("Location"); location != "" {
				w.send("GET", location, "", h)
			}
		}
		one, two := &world{reg: a, session: session}, &world{reg: b, session: session}
		try(one)
		try(two)
		require.Equal(t, two.said, one.said)
		wantUntouched(t, a, c, session)
	})
}
