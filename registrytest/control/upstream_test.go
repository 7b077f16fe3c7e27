package control_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/control"
	"github.com/ocireg/registry/registrytest/upstream"
)

// The content of a proxy is in another registry. So the control API of a proxy
// refuses to take a snapshot of it, to replace it, to reset it and to tamper with
// it, and says why.
func TestContentBehindAProxy(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	image := content.Image()
	require.NoError(t, content.Put(t.Context(), store, "app:v1", image))
	behind := httptest.NewServer(registry.New(store))
	t.Cleanup(behind.Close)
	a := newAPI(t, control.Config{}, upstream.NewProxy(behind.URL))
	const theirs = "the content is that of the registry behind this one"
	digest := string(image.Digest)
	for request, body := range map[string]string{
		"POST /v1/snapshots": `{"name":"x"}`,
		"PUT /v1/content":    "not even a tar",
		"POST /v1/reset":     "",
		"POST /v1/tamper":    `{"repo":"app","digest":"` + digest + `","drop":true}`,
		"POST /v1/tamper ":   `{"ref":"app:v1","flip":0}`,
	} {
		method, target := split(request)
		require.Contains(t, a.refused(t, http.StatusConflict, method, target, body), theirs, request)
	}
	require.Empty(t, a.do(t, 200, "GET", "/v1/snapshots", "")["snapshots"])
	a.refused(t, 404, "POST", "/v1/snapshots/x/restore", "")
	a.refused(t, 404, "DELETE", "/v1/snapshots/x", "")
	a.do(t, 204, "POST", "/v1/reset", `{"keep":["content"]}`)
	a.do(t, 204, "DELETE", "/v1/tamper", "")

	// Reading and pushing content work, since the proxy passes these operations
	// on.
	a.do(t, 201, "POST", "/v1/content", `{"ref":"app:v2","image":{"layers":1}}`)
	_, err := store.StatManifest(t.Context(), "app", "v2")
	require.NoError(t, err)
	require.NotEmpty(t, a.text(t, 200, "GET", "/v1/content", ""))
}

// If the registry behind a proxy refuses a request or does not respond, the
// control API responds with an error that says why.
func TestContentBehindAProxyThatIsRefused(t *testing.T) {
	t.Parallel()
	behind := registrytest.NewServer(t, auth.Basic(), registrytest.WithListener(testclient.Listen(t)))
	a := newAPI(t, control.Config{}, upstream.NewProxy(behind.URL))
	for range 2 {
		require.Contains(t, a.refused(t, 502, "GET", "/v1/content", ""), "401 Unauthorized")
		require.Contains(t, a.refused(t, 502, "POST", "/v1/content", `{"ref":"app:v2","image":{"layers":1}}`), "401 Unauthorized")
	}
	behind.Stop()
	require.Contains(t, a.refused(t, 502, "GET", "/v1/content", ""), "/v2/_catalog")
	behind.Start()
}

func split(request string) (method, target string) {
	for i := range request {
		if request[i] == ' ' {
			method, target = request[:i], request[i+1:]
			break
		}
	}
	if target[len(target)-1] == ' ' {
		target = target[:len(target)-1]
	}
	return method, target
}
