package explore

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// oddPassword has characters that forms, queries and JSON escape.
const oddPassword = `s3 cret/+&;%"é`

// A password with special characters is found in the form, the query and the JSON
// that a client sends to a realm without TLS.
func TestOddPassword(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{
		"form":  "attacker.example.net gets the password, in its body",
		"query": "attacker.example.net gets the password, in its URL",
		"JSON":  "attacker.example.net gets the password, in its body",
		"":      "",
	} {
		z := Hostile(t, getting, func(_ *T, reg *registrytest.Server) error {
			return oddLogin(reg.Client(), reg.URL+"/v2/team/app/manifests/v1", how)
		}, ReportOnly(), Login("ci", oddPassword), OnlyTraps("Bearer realm without TLS"))
		if want == "" {
			require.NotEqual(t, Caught, z.Traps[0].Outcome, "%s", z.Markdown())
			continue
		}
		require.Equal(t, Caught, z.Traps[0].Outcome, "%s: %s", how, z.Markdown())
		require.Equal(t, want, z.Traps[0].Detail, how)
	}
	for text, want := range map[string]bool{
		"password=a%2Fb": true, "a/b=": true, "x=%zz&password=a%2Fb": true, `{"p":["a\/b"]}`: true, "password=a/": false, "": false,
	} {
		require.Equal(t, want, shows(text, "a/b"), text)
	}
}

// oddLogin requests the URL with a token from the realm of the challenge. To a realm
// with TLS it sends Basic credentials. To any other realm it sends the password as how
// says: in a form, in the query or in JSON. For any other how, it returns an error and
// sends nothing to the realm.
func oddLogin(c *http.Client, at, how string) error {
	resp, err := c.Get(at)
	if err != nil {
		return err
	}
	resp.Body.Close()
	realm, fields := "", make(url.Values)
	for _, m := range parameter.FindAllStringSubmatch(resp.Header.Get("WWW-Authenticate"), -1) {
		if m[1] == "realm" {
			realm = m[2]
		} else {
			fields.Set(m[1], m[2])
		}
	}
	method, body := "GET", ""
	if !strings.HasPrefix(realm, "https:") {
		switch how {
		case "form":
			method, body = "POST", url.Values{"password": {oddPassword}}.Encode()
		case "query":
			fields.Set("password", oddPassword)
		case "JSON":
			text, _ := json.Marshal(oddPassword)
			method, body = "POST", string(text)
		default:
			return errors.New("the realm has no TLS")
		}
	}
	req, err := http.NewRequest(method, realm+"?"+fields.Encode(), strings.NewReader(body))
	if err != nil {
		return err
	}
	if strings.HasPrefix(realm, "https:") {
		req.SetBasicAuth("ci", oddPassword)
	}
	if resp, err = c.Do(req); err != nil {
		return err
	}
	var token struct{ Token string }
	err = errors.Join(json.NewDecoder(resp.Body).Decode(&token), resp.Body.Close())
	if err != nil {
		return err
	}
	if req, err = http.NewRequest("GET", at, nil); err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token.Token)
	if resp, err = c.Do(req); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}
