package registry_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// RFC 9110, section 5.5: a header field has no control characters, even if a
// parameter of the request or an option has them.
func TestFieldsHaveNoControlCharacters(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithWarnings("a\x00b\x7f"))
	h.pushImage("app", "v1")
	server := httptest.NewServer(h)
	defer server.Close()
	for _, ns := range []string{"%00", "%01", "a%0d%0ab", "%7f"} {
		resp, err := server.Client().Get(server.URL + "/v2/app/manifests/v1?ns=" + ns)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		require.Empty(t, resp.Header.Values("OCI-Namespace"))
		require.Equal(t, `299 - "a b"`, resp.Header.Get("Warning"))
	}
}

// An error in response to HEAD has the same status and header as the one in
// response to GET (RFC 9110, section 9.3.2).
func TestErrorsOfHEADAndGETAreAlike(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushImage("app", "v1")
		for _, path := range []string{
			"/v2/app/manifests/v2", "/v2/app/blobs/" + string(sum("x")), "/v2/app/blobs/x", "/v2/nowhere/tags/list", "/v2/app/blobs/uploads/", "/v2/app/blobs/uploads/x",
			"/x", "/v2/App/tags/list", "/v2/app/tags/list?n=x", "/v2/_catalog?n=x", "/v2/app/referrers/x",
		} {
			get, head := t.call("GET", path, ""), t.call("HEAD", path, "")
			require.GreaterOrEqual(t, get.Code, 400)
			require.Equal(t, get.Code, head.Code, path)
			require.Equal(t, get.Header(), head.Header(), path)
			require.Zero(t, head.Body.Len())
		}
	})
}

// The response to a malformed query is 400, even if some of its parameters are
// valid.
func TestMalformedQueryIsRefused(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.image("app")
		for _, query := range []string{"%zz", "tag=%zz", "tag=a;tag=b", "n=1;last=x"} {
			t.wantError(400, t.call("PUT", "/v2/app/manifests/"+string(sum(m))+"?"+query, m, "Content-Type", imageType), registry.CodeUnsupported)
			t.wantError(400, t.call("GET", "/v2/app/tags/list?"+query, ""), registry.CodeUnsupported)
			t.wantError(400, t.call("GET", "/v2/app/referrers/"+string(sum(m))+"?"+query, ""), registry.CodeUnsupported)
			t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?"+query, ""), registry.CodeUnsupported)
		}
		t.want(404, t.call("GET", "/v2/app/manifests/"+string(sum(m)), ""))
	})
}

// The parameter ns is for pulls (Registry Proxying), and clients also send it when
// they list tags. All other responses have no OCI-Namespace.
func TestNamespaceOfNoPullIsNotConfirmed(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/_oci/ext/discover", "/v2/app/blobs/uploads/x", "/x"} {
		require.Empty(t, h.call("GET", path+"?ns=docker.io", "").Header().Values("OCI-Namespace"), path)
	}
}

// If the registry is without an endpoint, the response to every request for it
// is 404.
func TestEndpointThatIsNotThereIs404(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.Without(registry.ListRepositories, registry.ListReferrers, registry.ListExtensions))
	for _, path := range []string{"/v2/_catalog", "/v2/_oci/ext/discover", "/v2/app/_oci/ext/discover", "/v2/app/referrers/" + string(sum("x")), "/v2/app/referrers/x", "/v2/_catalog?n=x"} {
		for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
			h.want(404, h.call(method, path, ""))
		}
	}
}

// Error messages begin with the words of the error code, because clients look
// for them. The details are data and not text.
func TestErrorsBeginWithTheWordsOfTheSpec(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushImage("app", "v1")
		absent := string(sum("absent"))
		for _, c := range []struct {
			method, path, words string
			detail              map[string]any
		}{
			{"GET", "/v2/app/manifests/v2", "manifest unknown: app has no manifest v2", map[string]any{"name": "app", "tag": "v2"}},
			{"GET", "/v2/app/manifests/" + absent, "manifest unknown: ", map[string]any{"name": "app", "digest": absent}},
			{"GET", "/v2/app/blobs/" + absent, "blob unknown: app has no blob " + absent, map[string]any{"name": "app", "digest": absent}},
			{"GET", "/v2/other/tags/list", "name unknown: there is no repository other", map[string]any{"name": "other"}},
			{"GET", "/v2/other/manifests/v1", "name unknown: ", map[string]any{"name": "other"}},
			{"GET", "/v2/App/manifests/v1", "name invalid: ", nil},
			{"GET", "/v2/app/blobs/uploads/x", "blob upload unknown: ", map[string]any{"name": "app", "session": "x"}},
			{"GET", "/v2/app/blobs/x", "digest invalid: ", nil},
			{"PUT", "/v2/app/manifests/v1", "manifest invalid: ", nil},
			{"POST", "/v2/", "unsupported: ", nil},
			{"POST", "/v2/app/blobs/uploads/?digest=" + absent, "digest invalid: ", map[string]any{"digest": absent, "received": string(sum(""))}},
		} {
			a := t.call(c.method, c.path, "")
			var body struct {
				Errors []struct {
					Message string
					Detail  map[string]any
				}
			}
			require.NoError(t, json.Unmarshal(a.Body.Bytes(), &body))
			require.True(t, strings.HasPrefix(body.Errors[0].Message, c.words), "%s %s: %s", c.method, c.path, a.Body)
			require.Equal(t, c.detail, body.Errors[0].Detail, "%s %s", c.method, c.path)
		}
	})
}

func TestWordsOfCodes(t *testing.T) {
	t.Parallel()
	for code, message := range map[registry.Code]string{
		registry.CodeUnauthorized: "unauthorized: no", registry.CodeDenied: "denied: no", registry.CodeTooManyRequests: "too many requests: no",
		registry.CodeManifestBlobUnknown: "manifest blob unknown: no",
	} {
		e := registry.Errorf(code, "%s", "no")
		require.Equal(t, message, e.Message)
		require.EqualError(t, e, string(code)+": no")
	}
	require.EqualError(t, &registry.Error{Code: registry.CodeDenied, Message: "no"}, "DENIED: no")
}
