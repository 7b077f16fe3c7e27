package upstream_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/flatpak"
	"github.com/ocireg/registry/registrytest/upstream"
)

// withUser adds the credentials to the URL.
func withUser(t *testing.T, address string, c auth.Credentials) string {
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.UserPassword(c.Username, c.Password)
	return u.String()
}

// A condition of a fault rule sees only content that the client may see at the
// upstream, even if the credentials in the URL permit more.
func TestConditionsSeeWhatTheClientSees(t *testing.T) {
	t.Parallel()
	users := auth.Basic()
	all, guest := users.User("ci"), users.User("guest", "pull open")
	behind := registrytest.NewServer(t, users)
	app := behind.Push(t, "secret:v1", content.Image())
	behind.Push(t, "open:v1", app)
	reg := registrytest.NewServer(t, upstream.NewProxy(withUser(t, behind.URL, all)))
	ask := func(target string, c *auth.Credentials) int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+target, nil)
		require.NoError(t, err)
		if c != nil {
			r.SetBasicAuth(c.Username, c.Password)
		}
		resp, err := reg.Client().Do(r)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	digest := string(app.Digest)
	for _, c := range []struct {
		rule, target                       string
		anonymous, guest, all, guestAtOpen int
	}{
		{"any where=found status=418", "/v2/%s/manifests/v1", 401, 403, 418, 418},
		{"any where=!found status=418", "/v2/%s/manifests/v1", 401, 403, 200, 200},
		{"any where=!found status=418", "/v2/%s/manifests/v2", 401, 403, 418, 418},
		{"any where=found status=418", "/v2/%s/blobs/" + string(app.Layers[0].Digest), 401, 403, 418, 418},
		{"any where=referenced status=418", "/v2/%s/blobs/" + string(app.Layers[0].Digest), 401, 403, 418, 418},
		{"any where=tagged status=418", "/v2/%s/referrers/" + digest, 401, 403, 418, 418},
		{"any where=!tagged status=418", "/v2/%s/referrers/" + digest, 401, 403, 200, 200},
		{"any where=repo-exists status=418", "/v2/%s/tags/list", 401, 403, 418, 418},
		{"any where=!repo-exists status=418", "/v2/%s/tags/list", 401, 403, 200, 200},
	} {
		rule, err := fault.Parse(c.rule)
		require.NoError(t, err)
		in := reg.Fault(t, rule.Optional())
		secret, open := fmt.Sprintf(c.target, "secret"), fmt.Sprintf(c.target, "open")
		require.Equal(t, []int{c.anonymous, c.guest, c.all, c.guestAtOpen},
			[]int{ask(secret, nil), ask(secret, &guest), ask(secret, &all), ask(open, &guest)}, "%s: %s", c.rule, c.target)
		in.Remove()
	}
	// A note in the record says why the Proxy could not evaluate the condition.
	require.Contains(t, fmt.Sprint(reg.Requests().Op(registry.GetManifest).Records()[0].Notes), "where=found is not known: ")
	// The methods of registrytest.Server use the credentials in the URL.
	reg.Push(t, "secret:v2", content.Image(content.Layers(1)))
	require.Equal(t, []string{"v1", "v2"}, behind.Tags(t, "secret"))
}

// The Flatpak index of a proxy lists the repositories that anonymous clients may
// pull from.
func TestPublicRepositoriesOfTheUpstream(t *testing.T) {
	t.Parallel()
	users := auth.Basic("anonymous pull open", "anonymous list **")
	ci := users.User("ci")
	behind := registrytest.NewServer(t, users)
	image := content.Image()
	behind.Push(t, "open:latest", image)
	behind.Push(t, "secret:latest", image)
	reg := registrytest.NewServer(t, upstream.NewProxy(withUser(t, behind.URL, ci)), flatpak.Index())
	c := testclient.New(t, reg.Client(), reg.URL)
	for _, header := range [][]string{nil, {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(ci.Username+":"+ci.Password))}} {
		got := c.Get("/index/static", header...)
		require.Equal(t, 200, got.Status, got.Body)
		require.Contains(t, got.Body, `"open"`)
		require.NotContains(t, got.Body, `"secret"`)
	}
}

// Tampering with a proxy is an error at once, since the content is in another
// registry.
func TestTamperingIsRefused(t *testing.T) {
	t.Parallel()
	behind := registrytest.NewServer(t)
	app := behind.Push(t, "app:v1", content.Image())
	reg := registrytest.NewServer(t, upstream.NewProxy(behind.URL))
	tb := faketb.Try(t, func(tb *faketb.TB) { reg.Tamper(tb, "app", app.Digest, registrytest.Dropped()) })
	require.Contains(t, strings.Join(tb.Errors(), "\n"), "passes requests on to another registry; set a fault, such as Corrupt, or tamper with the content of that registry")
	require.Zero(t, reg.Requests().Len()+behind.Requests().Len())
}
