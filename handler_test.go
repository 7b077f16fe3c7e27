package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// TestPing tests the spec's section Determining Support, and the header fields
// that clients of Docker's API expect in the response.
func TestPing(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, path := range []string{"/v2/", "/v2"} {
			for _, method := range []string{"GET", "HEAD"} {
				a := t.want(200, t.call(method, path, ""))
				require.Equal(t, "registry/2.0", a.Header().Get("Docker-Distribution-Api-Version"))
				require.Equal(t, "application/json", a.Header().Get("Content-Type"))
				require.Equal(t, "2", a.Header().Get("Content-Length"))
				if method == "GET" {
					require.Equal(t, "{}", a.Body.String())
				} else {
					require.Zero(t, a.Body.Len())
				}
			}
		}
	})
}

func TestEveryAnswerHasTheAPIVersion(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushImage("app", "v1")
		for _, target := range []string{"/v2/", "/", "/v2/app/manifests/v1", "/v2/app/manifests/v2", "/v2/app/tags/list", "/v2/A/tags/list"} {
			for _, method := range []string{"GET", "HEAD", "PUT", "POST", "OPTIONS"} {
				require.Equal(t, "registry/2.0", t.call(method, target, "").Header().Get("Docker-Distribution-Api-Version"))
				require.Equal(t, "nosniff", t.call(method, target, "").Header().Get("X-Content-Type-Options"))
			}
		}
	})
}

// A browser does not run the scripts in a manifest, which may have the media type of
// a page.
func TestManifestsRunNoScripts(t *testing.T) {
	overStores(t, func(t *registryTest) {
		policy := func(method, target string, header ...string) string {
			w := t.call(method, target, "", header...)
			require.Less(t, w.Code, 300)
			return w.Header().Get("Content-Security-Policy")
		}
		for _, mediaType := range []string{"text/html", "image/svg+xml"} {
			const path = "/v2/app/manifests/page"
			const page = `{"page":"<script>alert(1)</script>"}`
			t.want(201, t.call("PUT", path, page, "Content-Type", mediaType))
			require.Equal(t, "sandbox", policy("GET", path))
			require.Equal(t, "sandbox", policy("HEAD", path))
			require.Equal(t, "sandbox", policy("GET", path, "Range", "bytes=0-9"))
			t.want(202, t.call("DELETE", "/v2/app/manifests/"+string(sum(page)), ""))
		}
		t.pushImage("app", "v1")
		require.Empty(t, policy("GET", "/v2/app/manifests/v1"))
		require.Empty(t, policy("GET", "/v2/app/blobs/"+string(t.pushBlob("app", "blob"))))
	})
}

func TestUnknownEndpointIs404(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	for _, target := range []string{
		"/", "/v1/", "/v2x", "/v3/", "//v2/", "/v2/app", "/v2/app/", "/v2/app/tags", "/v2/app/tags/", "/v2/app/tags/list/x", "/v2/app/tags/list/",
		"/v2/app/manifests", "/v2/app/blobs", "/v2/app/referrers", "/v2/_catalog/", "/v2/_catalog/x", "/v2/_oci", "/v2/_oci/ext/", "/v2/_oci/ext/x", "/v2/app/_oci/ext",
		"/v2/manifests/v1", "/v2/blobs/uploads", "/v2/blobs/uploads/", "/v2/tags/list", "/v2/uploads/x",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			h.wantError(404, h.call(method, target, ""), registry.CodeUnsupported)
		}
		require.Zero(t, h.want(404, h.call("HEAD", target, "")).Body.Len())
	}
}

func TestUnsupportedMethodIs405(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	d := string(sum("x"))
	for target, allowed := range map[string]string{
		"/v2/":                     "GET, HEAD",
		"/v2/_catalog":             "GET, HEAD",
		"/v2/_oci/ext/discover":    "GET, HEAD",
		"/v2/app/tags/list":        "GET, HEAD",
		"/v2/app/referrers/" + d:   "GET, HEAD",
		"/v2/app/manifests/v1":     "GET, HEAD, PUT, DELETE",
		"/v2/app/manifests/" + d:   "GET, HEAD, PUT, DELETE",
		"/v2/app/blobs/" + d:       "GET, HEAD, DELETE",
		"/v2/app/blobs/uploads/":   "POST",
		"/v2/app/blobs/uploads":    "POST",
		"/v2/app/blobs/uploads/id": "GET, HEAD, PATCH, PUT, DELETE",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"} {
			if slices.Contains(strings.Split(allowed, ", "), method) {
				require.NotEqual(t, 405, h.call(method, target, "").Code, "%s %s", method, target)
				continue
			}
			a := h.want(405, h.call(method, target, ""))
			require.Equal(t, allowed, a.Header().Get("Allow"), "%s %s", method, target)
			if method != "HEAD" {
				h.wantError(405, a, registry.CodeUnsupported)
			}
		}
	}
}

// The name of a repository may contain words of the API, such as manifests.
func TestRepositoriesNamedLikeTheAPI(t *testing.T) {
	overStores(t, func(t *registryTest) {
		repos := []string{
			"manifests", "blobs", "uploads", "tags", "list", "referrers", "v2",
			"a/manifests/b", "a/blobs", "a/blobs/uploads", "blobs/uploads", "tags/list", "referrers/x", "a/blobs/uploads/manifests",
			"a/tags", "a/tags/list", "a/referrers", "a/manifests", "manifests/manifests", "blobs/blobs/blobs", "v2/v2", "a/blobs/uploads/tags/list",
		}
		manifests := map[string]string{}
		for _, repo := range repos {
			m := t.image(repo, annotated(repo))
			for _, tag := range []string{"uploads", "list", "manifests"} {
				t.want(201, t.call("PUT", "/v2/"+repo+"/manifests/"+tag, m, "Content-Type", imageType))
			}
			manifests[repo] = m
			location := t.wantUpload(202, t.call("POST", "/v2/"+repo+"/blobs/uploads/", ""), repo, 0)
			t.want(202, t.chunk(location, 0, repo))
			t.want(201, t.finish(location, sum(repo), ""))
		}
		for repo, m := range manifests {
			t.wantPulled("/v2/"+repo+"/manifests/uploads", m)
			t.wantPulled("/v2/"+repo+"/manifests/"+string(sum(m)), m)
			t.wantPulled("/v2/"+repo+"/blobs/"+string(sum(repo)), repo)
			require.Equal(t, [][]string{{"list", "manifests", "uploads"}}, t.names("/v2/"+repo+"/tags/list", "tags"))
			require.Len(t, t.referrers(repo, sum(m), ""), 1)
		}
		slices.Sort(repos)
		require.Equal(t, [][]string{repos}, t.names("/v2/_catalog", "repositories"))
	})
}

func TestNameMustBeOne(t *testing.T) {
	t.Parallel()
	h := inMemory(t)
	for _, repo := range []string{
		"A", "aB", "-a", "a-", "_a", "a_", ".a", "a.", "a..b", "a.-b", "a___b", "a_.b", "a/", "/a", "a//b", "a/-b", "a/../b", "..", "%C3%A9", "a%20b", "a:b", "a@b", "a+b", "",
		strings.Repeat("a", 256), "_oci", "a%00b",
	} {
		for _, rest := range []string{"/tags/list", "/manifests/v1", "/blobs/" + string(sum("x")), "/referrers/" + string(sum("x")), "/blobs/uploads/id"} {
			h.wantError(400, h.call("GET", "/v2/"+repo+rest, ""), registry.CodeNameInvalid)
		}
		h.wantError(400, h.call("POST", "/v2/"+repo+"/blobs/uploads/", ""), registry.CodeNameInvalid)
	}
	for _, repo := range []string{"a", "0", "a-b", "a--b", "a---b", "a_b", "a__b", "a.b", "a/b", "a0/b-1/c__2/d.3", strings.Repeat("a", 255)} {
		h.want(202, h.call("POST", "/v2/"+repo+"/blobs/uploads/", ""))
	}
}

// Registry Proxying: the response to a pull with the parameter ns, or to a list of
// tags, has OCI-Namespace.
func TestNamespaceIsConfirmed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		d := string(t.pushBlob("app", "x"))
		t.pushImage("app", "v1")
		for _, target := range []string{"/v2/app/manifests/v1", "/v2/app/blobs/" + d, "/v2/app/tags/list", "/v2/app/referrers/" + d, "/v2/app/manifests/v2"} {
			for _, method := range []string{"GET", "HEAD"} {
				a := t.call(method, target+"?ns=registry.example.org%3A5000", "")
				require.Equal(t, "registry.example.org:5000", a.Header().Get("OCI-Namespace"))
				require.NotContains(t, t.call(method, target, "").Header(), "Oci-Namespace")
				require.NotContains(t, t.call(method, target+"?ns=", "").Header(), "Oci-Namespace")
			}
		}
		// The registry does not confirm ns on a push.
		require.NotContains(t, t.call("POST", "/v2/app/blobs/uploads/?ns=x", "").Header(), "Oci-Namespace")
	})
}

// Each response has the texts of WithWarnings (section Warnings).
func TestWarnings(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithWarnings("old", `with "quotes" and \`), registry.WithWarnings("two\r\nlines"))
	want := []string{`299 - "old"`, `299 - "with \"quotes\" and \\"`, `299 - "two  lines"`}
	h.pushImage("app", "v1")
	for _, target := range []string{"/v2/", "/v2/app/manifests/v1", "/v2/app/manifests/v2", "/x"} {
		require.Equal(t, want, h.call("GET", target, "").Header().Values("Warning"))
	}

	require.Empty(t, inMemory(t).call("GET", "/v2/", "").Header().Values("Warning"))

	// A registry MUST NOT send more than 4096 bytes of warnings.
	text := strings.Repeat("x", 1016)
	h = inMemory(t, registry.WithWarnings(text, text), registry.WithWarnings(text, text))
	require.Equal(t, 4096, len(strings.Join(h.call("GET", "/v2/", "").Header().Values("Warning"), "")))
	require.PanicsWithValue(t, "registry: the warnings have 4105 bytes in the header of a response; the spec allows 4096", func() {
		inMemory(t, registry.WithWarnings(text, text), registry.WithWarnings(text, text, "x"))
	})
}

func TestReadOnly(t *testing.T) {
	overStores(t, func(full *registryTest) {
		m := full.pushImage("app", "v1")
		location := full.start("app")
		d := string(sum("layer"))
		t := full.over(registry.WithReadOnly())
		for _, r := range [][2]string{
			{"PUT", "/v2/app/manifests/v2"}, {"PUT", "/v2/app/manifests/" + string(sum(m))}, {"DELETE", "/v2/app/manifests/v1"}, {"DELETE", "/v2/app/manifests/" + string(sum(m))},
			{"DELETE", "/v2/app/blobs/" + d}, {"POST", "/v2/app/blobs/uploads/"}, {"POST", "/v2/app/blobs/uploads/?digest=" + d}, {"POST", "/v2/new/blobs/uploads/?mount=" + d + "&from=app"},
			{"PATCH", location}, {"PUT", location + "?digest=" + d}, {"GET", location}, {"DELETE", location},
		} {
			a := t.wantError(405, t.call(r[0], r[1], m, "Content-Type", imageType), registry.CodeUnsupported)
			require.NotContains(t, a.Header().Get("Allow"), r[0])
		}
		t.wantPulled("/v2/app/manifests/v1", m)
		t.wantPulled("/v2/app/blobs/"+d, "layer")
		require.Equal(t, [][]string{{"v1"}}, t.names("/v2/app/tags/list", "tags"))
		require.Equal(t, [][]string{{"app"}}, t.names("/v2/_catalog", "repositories"))
		require.Len(t, t.referrers("app", sum(m), ""), 1)
	})
}

// A registry without an operation refuses it as [registry.Without] says. It
// responds to no other operation with 405.
func TestWithoutAnOperation(t *testing.T) {
	t.Parallel()
	for op := registry.Ping; op <= registry.ListExtensions; op++ {
		t.Run(op.String(), func(t *testing.T) {
			t.Parallel()
			full := inMemory(t)
			m := full.pushImage("app", "v1")
			d := string(sum("layer"))
			seen := registry.UnknownOp
			h := full.over(registry.Without(op), registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { seen = e.Request.Op })))
			location := "/v2/app/blobs/uploads/id"
			for asked, r := range map[registry.Op][2]string{
				registry.Ping: {"GET", "/v2/"}, registry.GetBlob: {"GET", "/v2/app/blobs/" + d}, registry.HeadBlob: {"HEAD", "/v2/app/blobs/" + d}, registry.DeleteBlob: {"DELETE", "/v2/app/blobs/" + string(sum("x"))},
				registry.GetManifest: {"GET", "/v2/app/manifests/v1"}, registry.HeadManifest: {"HEAD", "/v2/app/manifests/v1"}, registry.PutManifest: {"PUT", "/v2/app/manifests/v1"},
				registry.DeleteManifest: {"DELETE", "/v2/app/manifests/" + string(sum("x"))}, registry.DeleteTag: {"DELETE", "/v2/app/manifests/v2"},
				registry.StartUpload: {"POST", "/v2/app/blobs/uploads/"}, registry.PostBlob: {"POST", "/v2/app/blobs/uploads/?digest=" + string(sum(m))}, registry.MountBlob: {"POST", "/v2/new/blobs/uploads/?mount=" + d},
				registry.PatchUpload: {"PATCH", location}, registry.PutUpload: {"PUT", location + "?digest=" + d}, registry.GetUpload: {"GET", location}, registry.CancelUpload: {"DELETE", location},
				registry.ListTags: {"GET", "/v2/app/tags/list"}, registry.ListReferrers: {"GET", "/v2/app/referrers/" + d}, registry.ListRepositories: {"GET", "/v2/_catalog"}, registry.ListExtensions: {"GET", "/v2/_oci/ext/discover"},
			} {
				a := h.call(r[0], r[1], m, "Content-Type", imageType)
				require.Equal(t, asked, seen)
				if asked != op {
					require.NotEqual(t, 405, a.Code, "the registry still has %s", asked)
					continue
				}
				switch op {
				case registry.ListReferrers, registry.ListRepositories, registry.ListExtensions:
					h.wantError(404, a, registry.CodeUnsupported)
				case registry.MountBlob, registry.PostBlob:
					h.want(202, a)
				case registry.HeadBlob, registry.HeadManifest:
					h.want(405, a)
				default:
					h.wantError(405, a, registry.CodeUnsupported)
					require.NotContains(t, a.Header().Get("Allow"), r[0])
				}
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var text bytes.Buffer
	h := inMemory(t, registry.WithLogger(slog.New(slog.NewJSONHandler(&text, nil))))
	logged := func() map[string]any {
		t.Helper()
		var line map[string]any
		require.NoError(t, json.Unmarshal(text.Bytes(), &line), text.String())
		text.Reset()
		return line
	}
	h.pushBlob("app", "0123456789")
	line := logged()
	require.Equal(t, "INFO", line["level"])
	require.Equal(t, "POST", line["method"])
	require.Equal(t, "post-blob", line["op"])
	require.Equal(t, "/v2/app/blobs/uploads/?digest="+string(sum("0123456789")), line["path"])
	require.EqualValues(t, 201, line["status"])
	require.EqualValues(t, 10, line["in"])
	h.call("GET", "/v2/app/manifests/v1", "")
	line = logged()
	require.Equal(t, "INFO", line["level"])
	require.Equal(t, []any{"MANIFEST_UNKNOWN: app has no manifest v1"}, line["errors"])
	h.Handler = registry.New(failingStore{h.store, errors.New("disk is gone")}, registry.WithLogger(slog.New(slog.NewJSONHandler(&text, nil))))
	h.call("GET", "/v2/app/manifests/v1", "")
	line = logged()
	require.Equal(t, "ERROR", line["level"])
	require.Contains(t, line["cause"], "disk is gone")
}

// Without WithLogger, the registry logs nothing.
func TestNothingIsLoggedByDefault(t *testing.T) {
	var text bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	stderr := os.Stderr
	r, w, err := os.Pipe()
	require.NoError(t, err)
	os.Stderr = w
	t.Cleanup(func() {
		slog.SetDefault(before)
		os.Stderr = stderr
	})
	h := inMemory(t)
	h.pushImage("app", "v1")
	h.want(404, h.call("GET", "/v2/app/manifests/v2", ""))
	broken := &registryTest{t, registry.New(failingStore{h.store, errors.New("disk is gone")}), h.store}
	broken.want(500, broken.call("GET", "/v2/app/manifests/v1", ""))
	require.NoError(t, w.Close())
	written, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, string(written))
	require.Empty(t, text.String())
}

// A caller without a server may pass a request whose Body is nil.
func TestRequestWithoutABody(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]registry.Option{nil, {registry.WithRecorder(registry.RecorderFunc(func(*registry.Exchange) {}))}} {
		h := inMemory(t, opts...)
		location := h.start("app")
		for _, r := range [][2]string{
			{"GET", "/v2/"}, {"POST", "/v2/app/blobs/uploads/"}, {"PATCH", location}, {"PUT", location + "?digest=" + string(sum(""))},
			{"POST", "/v2/app/blobs/uploads/?digest=" + string(sum(""))}, {"PUT", "/v2/app/manifests/v1"}, {"DELETE", "/v2/app/manifests/v1"}, {"GET", "/"},
		} {
			hr, err := http.NewRequestWithContext(context.Background(), r[0], r[1], nil)
			require.NoError(t, err)
			require.Nil(t, hr.Body)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, hr)
			require.NotEqual(t, 500, w.Code, r)
			require.Nil(t, hr.Body, "the handler must not modify the request")
		}
		h.wantPulled("/v2/app/blobs/"+string(sum("")), "")
	}
}
