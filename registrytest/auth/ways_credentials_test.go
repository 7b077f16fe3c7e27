package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/auth"
)

func base64Of(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// waysByBasic returns attacks with wrong Basic credentials, or with valid ones
// in a malformed field.
func waysByBasic(c credentials) (all []way) {
	name, password := c.owner.Username, c.owner.Password
	right := base64Of(name + ":" + password)
	lines := map[string][]string{}
	for _, pair := range []string{
		"", ":", name, name + ":", ":" + password, name + password, password + ":" + name, name + ":" + name, name + "::" + password, name + ":" + password + ":",
		name + ":" + password + " ", name + ": " + password, name + " :" + password, " " + name + ":" + password, name + ":" + password + "\n", name + ":" + password + "\x00",
		name + "\x00:" + password, "\x00" + name + ":" + password, name + "\x00" + password, "\ufeff" + name + ":" + password, name + ":" + password + "\xff", "\xff\xfe:\xff",
		strings.ToUpper(name) + ":" + password, name + ":" + strings.ToLower(password), name + ":" + password[1:], name + ":" + password[:len(password)-1], name + ":" + password + password,
		name + ":" + base64Of(password), name + ":*", name + ":%00", "*:", "*:" + password, "**:" + password, "anonymous:", "anonymous:" + password, "root:" + password, "admin:admin",
		c.eve.Username + ":" + password, name + ":" + c.eve.Password, c.eve.Username + "," + name + ":" + c.eve.Password, name + "/" + c.eve.Username + ":" + c.eve.Password,
		"$oauthtoken:" + password, "<token>:" + password, "oauth2accesstoken:" + password, "AWS:" + password, name + ":" + strings.Repeat("a", 1<<16), strings.Repeat(name, 1<<12) + ":" + password,
		name + ":{SHA}" + password, name + ":$2y$05$" + password, name + ":\u202e" + password, "o\u0077ner\u0301:" + password,
	} {
		lines["pair "+pair[:min(len(pair), 60)]] = []string{"Basic " + base64Of(pair)}
	}
	for _, line := range []string{
		"Basic", "Basic ", "Basic :", "Basic %%%", "Basic " + name + ":" + password, "Basic " + right + "=", "Basic " + right + "AAAA", "Basic =" + right, "Basic " + base64Of(right),
		"Basic\t" + right, "Basic" + right, "Basic:" + right, "Basic=" + right, `Basic "` + right + `"`, "Basic realm=x " + right, "Basic " + right[:8] + " " + right[8:], right, "Basic " + right + ", Basic " + right,
		"Basic, " + right, "Basıc " + right, "Basic\u00a0" + right, "Digest " + right, `Digest username="owner", realm="registry"`, "Negotiate " + right, "NTLM " + right, "Token " + right, "ApiKey " + right,
		"AWS4-HMAC-SHA256 Credential=owner", "Hawk id=owner", "Bearer " + right, "OAuth " + right, " ", "\x00",
	} {
		lines["line "+line] = []string{line}
	}
	eve := c.as(c.eve, "team/app").Get("Authorization")
	lines["two lines, eve and the owner"] = []string{eve, "Basic " + right}
	lines["two lines, the owner and eve"] = []string{"Basic " + right, eve}
	lines["two lines, the owner twice"] = []string{"Basic " + right, "Basic " + right}
	lines["two lines, nothing and the owner"] = []string{"", "Basic " + right}
	lines["a list of eve and the owner"] = []string{eve + ", Basic " + right}
	for name, values := range lines {
		all = append(all, way{name, pullSecret(header{"Authorization": values})})
	}
	return all
}

// waysByBearer returns attacks with tokens that are invalid or do not cover the secret
// repository, and with valid tokens in a wrong place of the request.
func waysByBearer(c credentials) (all []way) {
	add := func(name string, try func(*world)) { all = append(all, way{"token " + name, try}) }
	for user, scopes := range map[string][]string{
		"eve": {"repository:secret/app:pull", "repository:secret/app:pull,push,delete", "repository:secret/app:*", "repository:**:*", "repository:*:pull", "registry:catalog:*", "repository(plugin):secret/app:pull"},
		"":    {"repository:secret/app:pull", "repository:secret/app:*", "registry:catalog:*"},
		"owner": {"repository:team/app:pull", "repository:secret/ap:pull", "repository:secret/app/x:pull", "repository:secret:pull", "repository:secret/*:pull", "repository:**:pull", "repository:secret/app:push",
			"repository:secret/app:PULL", "repository:SECRET/APP:pull", "registry:secret/app:pull", "repository:registry.test/secret/app:pull", "repository:secret/app:", "repository(image):secret/app:pull"},
	} {
		for _, scope := range scopes {
			add("of "+user+" for "+scope, pullSecret(bearer(c.a.AccessToken(user, scope))))
		}
	}
	const pull = "repository:secret/app:pull"
	c.a.TokenLife = -time.Minute
	add("that has expired", pullSecret(bearer(c.a.AccessToken("owner", pull))))
	c.a.TokenLife = 0
	c.a.SetSkew(time.Hour)
	add("that is not valid yet", pullSecret(bearer(c.a.AccessToken("owner", pull))))
	c.a.SetSkew(0)
	gone := c.a.User("gone")
	token, static, identity := c.a.AccessToken("gone", pull), c.a.StaticToken("gone"), c.a.IdentityToken("gone")
	c.a.Revoke("gone")
	add("of a revoked user", pullSecret(bearer(token)))
	add("of a revoked user, static", pullSecret(bearer(static)))
	add("of a revoked user, the password", pullSecret(basic(gone)))
	moved := c.a.User("moved")
	old := c.a.AccessToken("moved", pull)
	oldStatic := c.a.StaticToken("moved")
	c.a.User("moved")
	add("from before a new password", pullSecret(bearer(old)))
	add("from before a new password, static", pullSecret(bearer(oldStatic)))
	add("from before a new password, the password", pullSecret(basic(moved)))
	add("for refreshing", pullSecret(bearer(c.a.IdentityToken("owner"))))
	add("for refreshing, of a revoked user", pullSecret(bearer(identity)))
	other := auth.Bearer()
	other.User("owner")
	add("of another registry", pullSecret(bearer(other.AccessToken("owner", pull))))
	add("of another registry, static", pullSecret(bearer(other.StaticToken("owner"))))

	right := c.a.AccessToken("owner", pull)
	parts := strings.Split(right, ".")
	for name, token := range map[string]string{
		"empty": "", "space": " ", "null": "null", "undefined": "undefined", "dots": "..", "one part": parts[0], "two parts": parts[0] + "." + parts[1], "no signature": parts[0] + "." + parts[1] + ".",
		"the signature cut": right[:len(right)-2], "more after it": right + "A", "a fourth part": right + ".x", "padding": right + "=", "a newline after it": right + "\n", "a comma after it": right + ",",
		"twice": right + ", " + right, "quoted": `"` + right + `"`, "encoded again": base64Of(right), "in upper case": strings.ToUpper(right), "the header of none": encoded(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".",
		"the header of None": encoded(`{"alg":"None"}`) + "." + parts[1] + "." + parts[2], "no algorithm": encoded(`{}`) + "." + parts[1] + "." + parts[2], "an algorithm twice": encoded(`{"alg":"HS256","alg":"none"}`) + "." + parts[1] + ".",
		"JSON for the algorithm": encoded(`{"alg":["HS256"]}`) + "." + parts[1] + "." + parts[2], "as JSON": `{"payload":"` + parts[1] + `","signatures":[]}`, "encrypted": parts[0] + "." + parts[1] + "." + parts[2] + ".x.y",
	} {
		add(name, pullSecret(bearer(token)))
	}
	add("with another scheme", pullSecret(header{"Authorization": {"Basic " + right}}))
	add("without a scheme", pullSecret(header{"Authorization": {right}}))
	add("with a tab", pullSecret(header{"Authorization": {"Bearer\t" + right}}))
	add("with JWT as the scheme", pullSecret(header{"Authorization": {"JWT " + right}}))
	add("on two lines", pullSecret(header{"Authorization": {"Bearer " + right, "Bearer " + right}}))
	add("in Proxy-Authorization", pullSecret(header{"Proxy-Authorization": {"Bearer " + right}}))
	add("in a cookie", pullSecret(header{"Cookie": {"access_token=" + right}}))
	add("in X-Auth-Token", pullSecret(header{"X-Auth-Token": {right}}))
	for _, parameter := range []string{"access_token", "token", "authorization", "jwt"} {
		add("in the parameter "+parameter, func(w *world) {
			w.send("GET", "/v2/secret/app/manifests/v1?"+parameter+"="+right, "")
			w.send("POST", "/v2/secret/app/blobs/uploads/", parameter+"="+right, header{"Content-Type": {"application/x-www-form-urlencoded"}})
		})
	}
	return append(all, forgedTokens()...)
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// forgedTokens returns attacks with tokens that no key of the registry signed.
func forgedTokens() (all []way) {
	claims := claimsOf(auth.Scope{Type: "repository", Name: "secret/app", Actions: []string{"pull"}})
	claims["iss"], claims["sub"], claims["jti"], claims["gen"] = "registry", "owner", "1000000", 1
	anonymous := object{}
	for k, v := range claims {
		anonymous[k] = v
	}
	anonymous["sub"] = ""
	for _, key := range []string{"", "registry", "secret", "key", host, strings.Repeat("\x00", 32), `{"kty":"oct","k":""}`} {
		for _, algorithm := range []string{"HS256", "HS512", "none", "RS256", "ES256", "EdDSA"} {
			all = append(all, way{"token forged with " + algorithm + " and the key " + key, func(w *world) {
				pullSecret(bearer(signed(w.t, algorithm+strings.Repeat(" ", max(0, 3-len(algorithm))), []byte(key), object{"alg": algorithm}, claims)))(w)
				pullSecret(bearer(signed(w.t, algorithm, []byte(key), nil, anonymous)))(w)
			}})
		}
	}
	for name, h := range map[string]object{
		"a key of its own":       {"jwk": object{"kty": "oct", "k": "c2VjcmV0"}},
		"a key elsewhere":        {"jku": "http://" + host + "/v2/team/app/blobs/" + string(digest.FromString("x"))},
		"a certificate":          {"x5u": "http://" + host + "/", "x5c": []string{"AAAA"}},
		"a path for a key":       {"kid": "../../../../dev/null"},
		"a query for a key":      {"kid": "x' UNION SELECT 'secret"},
		"an empty key":           {"kid": ""},
		"critical extensions":    {"crit": []string{"b64"}, "b64": false},
		"a token in the token":   {"cty": "JWT"},
		"compression":            {"zip": "DEF"},
		"another type":           {"typ": "at+jwt"},
		"a number for algorithm": {"alg": 256},
	} {
		all = append(all, way{"token forged with " + name, func(w *world) {
			pullSecret(bearer(signed(w.t, "HS256", []byte("secret"), h, claims)))(w)
		}})
	}
	return all
}

// waysByTokenService returns attacks that request a token for more than the
// client's rights, and use the token from the response.
func waysByTokenService(c credentials, scheme string) (all []way) {
	tokenFrom := func(w *world, method, target, body string, h ...header) {
		got := w.send(method, target, body, h...)
		if scheme == "basic" {
			require.Equal(w.t, 404, got.Code)
			return
		}
		var fields map[string]any
		require.NoError(w.t, json.Unmarshal(got.Body.Bytes(), &fields))
		for _, k := range []string{"token", "access_token", "refresh_token"} {
			if token, ok := fields[k].(string); ok {
				pullSecret(bearer(token))(w)
			}
		}
	}
	for _, scope := range []string{
		"repository:secret/app:pull", "repository:secret/app:*", "repository:secret/app:pull,push,delete", "repository:secret/*:pull", "repository:**:pull", "repository:*:*", "repository::pull", "registry:catalog:*", "*:*:*", "**",
		"repository:team/../secret/app:pull", "repository:team/app:pull repository:secret/app:pull", "repository:team/app:pull,repository:secret/app:pull", "repository:team/app:pull\nrepository:secret/app:pull",
		"repository:team/app,secret/app:pull", "repository:SECRET/app:pull", "repository:secret/app\x00:pull", "repository:team/app\x00secret/app:pull", "repository(plugin):secret/app:pull", "repository:registry.test/secret/app:pull",
		"repository:secret/app:pull,", "repository:secret/app: pull", "Repository:secret/app:pull", "repository:secret%2fapp:pull", "repository:team/app:pull:secret/app:pull", "repository:" + strings.Repeat("secret/", 9999) + "app:pull", "",
	} {
		query := url.Values{"service": {host}, "scope": {scope}}.Encode()
		all = append(all, way{"token service, scope " + scope[:min(len(scope), 90)], func(w *world) {
			tokenFrom(w, "GET", "/token?"+query, "")
			tokenFrom(w, "GET", "/token?"+query, "", basic(c.eve))
			tokenFrom(w, "GET", "/token?offline_token=true&account=owner&"+query, "", basic(c.eve))
		}})
	}
	const pull = "repository%3Asecret%2Fapp%3Apull"
	form := header{"Content-Type": {"application/x-www-form-urlencoded"}}
	identity := c.a.IdentityToken("eve")
	for name, body := range map[string]string{
		"no password":              "grant_type=password&username=owner&scope=" + pull,
		"a wrong password":         "grant_type=password&username=owner&password=x&scope=" + pull,
		"eve for the owner":        "grant_type=password&username=eve&password=" + c.eve.Password + "&account=owner&sub=owner&scope=" + pull,
		"two users":                "grant_type=password&username=eve&username=owner&password=" + c.eve.Password + "&scope=" + pull,
		"no refresh token":         "grant_type=refresh_token&scope=" + pull,
		"an empty refresh token":   "grant_type=refresh_token&refresh_token=&scope=" + pull,
		"eve's refresh token":      "grant_type=refresh_token&refresh_token=" + identity + "&username=owner&scope=" + pull,
		"an access token":          "grant_type=refresh_token&refresh_token=" + c.a.AccessToken("owner", "repository:secret/app:pull") + "&scope=" + pull,
		"client credentials":       "grant_type=client_credentials&client_id=owner&scope=" + pull,
		"a device code":            "grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=x&scope=" + pull,
		"token exchange":           "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=" + identity + "&scope=" + pull,
		"an assertion":             "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x&scope=" + pull,
		"an authorization code":    "grant_type=authorization_code&code=x&scope=" + pull,
		"anonymous":                "grant_type=password&username=anonymous&password=&scope=" + pull,
		"every client as the user": "grant_type=password&username=*&password=*&scope=" + pull,
		"no grant type":            "scope=" + pull,
		"a form that is none":      "%zz&grant_type=password",
	} {
		all = append(all, way{"token service, form with " + name, func(w *world) {
			tokenFrom(w, "POST", "/token", body, form)
			tokenFrom(w, "POST", "/token", body, form, basic(c.eve))
		}})
	}
	all = append(all, way{"token service, for another service", func(w *world) {
		tokenFrom(w, "GET", "/token?service=other.test&scope="+pull, "", basic(c.owner))
	}}, way{"token service, with a token", func(w *world) {
		tokenFrom(w, "GET", "/token?scope="+pull, "", bearer(c.a.AccessToken("owner", "repository:secret/app:pull")))
	}}, way{"token service, with two lines", func(w *world) {
		tokenFrom(w, "GET", "/token?scope="+pull, "", basic(c.eve), basic(c.owner))
	}})
	return all
}

// No two attacks have the same name.
func TestWaysAreDifferent(t *testing.T) {
	t.Parallel()
	c := credentials{a: auth.Bearer()}
	c.owner, c.eve = c.a.User("owner"), c.a.User("eve", "* team/**")
	c.as = func(who auth.Credentials, repo string) header { return bearer(c.a.AccessToken(who.Username)) }
	seen := map[string]bool{}
	for _, way := range ways(c, "bearer") {
		require.False(t, seen[way.name], way.name)
		seen[way.name] = true
	}
}
