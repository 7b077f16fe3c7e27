package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/auth"
)

// host is the host in all requests that the tests send to a registry.
const host = "registry.test"

// A reg is a registry that an Auth protects. The tests call its handler
// directly.
type reg struct {
	t testing.TB
	*auth.Auth
	http.Handler
	store registry.Store
}

// newReg returns a registry in memory that the Auth protects. Each of its three
// repositories has one blob and one manifest.
func newReg(t testing.TB, a *auth.Auth, opts ...registry.Option) *reg {
	store := memstore.New()
	for _, repo := range []string{"public/app", "team/app", "secret/app"} {
		content := blob(repo)
		w, err := store.CreateBlob(t.Context(), repo, int64(len(content)))
		require.NoError(t, err)
		_, err = w.Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Commit(t.Context(), digest.FromBytes(content)))
		require.NoError(t, w.Close())
		m := registry.Manifest{MediaType: "application/vnd.test", Content: []byte(`{"repo":"` + repo + `"}`)}
		m.Digest = digest.FromBytes(m.Content)
		require.NoError(t, store.PutManifest(t.Context(), repo, m, []string{"v1"}, nil))
	}
	h := registry.New(store, append(a.Options(), opts...)...)
	return &reg{t, a, h, store}
}

func blob(repo string) []byte { return []byte("the blob of " + repo) }

func blobPath(repo string) string {
	return "/v2/" + repo + "/blobs/" + string(digest.FromBytes(blob(repo)))
}

type header = http.Header

func basic(c auth.Credentials) header {
	r := &http.Request{Header: header{}}
	r.SetBasicAuth(c.Username, c.Password)
	return r.Header
}

func bearer(token string) header { return header{"Authorization": {"Bearer " + token}} }

func (r *reg) do(method, target string, h header, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://"+host+target, strings.NewReader(body))
	req.Host = host
	for k, v := range h {
		req.Header[k] = v
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// token requests a token with the scopes, and returns the decoded response of
// the token service.
func (r *reg) token(h header, scopes ...string) map[string]any {
	r.t.Helper()
	w := r.do("GET", "/token?"+url.Values{"service": {host}, "scope": scopes}.Encode(), h, "")
	require.Equal(r.t, http.StatusOK, w.Code, w.Body)
	return decode(r.t, w)
}

func (r *reg) tokenOf(h header, scopes ...string) header {
	r.t.Helper()
	return bearer(r.token(h, scopes...)["token"].(string))
}

// scopes returns the text of the scopes, separated by spaces.
func scopes(all []auth.Scope) string {
	var words []string
	for _, s := range all {
		words = append(words, s.String())
	}
	return strings.Join(words, " ")
}

func decode(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v), w.Body)
	return v
}

func code(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	return decode(t, w)["errors"].([]any)[0].(map[string]any)["code"].(string)
}

func put(r *reg, path string, h header, body string) *httptest.ResponseRecorder {
	h = h.Clone()
	if h == nil {
		h = header{}
	}
	h.Set("Content-Type", "application/vnd.test")
	return r.do("PUT", path, h, body)
}
