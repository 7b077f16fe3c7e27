package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	for path, asset := range assets {
		t.Run(asset.name, func(t *testing.T) {
			resp := get(t, "GET", path)
			require.Equal(t, http.StatusOK, resp.StatusCode)
			require.Equal(t, asset.mediaType, resp.Header.Get("Content-Type"))
			require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"))
			tag := resp.Header.Get("ETag")
			require.Regexp(t, `^"[0-9a-f]{16}"$`, tag)
			require.Equal(t, http.StatusNotModified, get(t, "GET", path, "If-None-Match", tag).StatusCode)
			require.Equal(t, http.StatusOK, get(t, "GET", path, "If-None-Match", `"other"`).StatusCode)

			head := get(t, "HEAD", path)
			require.Equal(t, http.StatusOK, head.StatusCode)
			require.Equal(t, resp.Header, head.Header)

			post := get(t, "POST", path)
			require.Equal(t, http.StatusMethodNotAllowed, post.StatusCode)
			require.Equal(t, "GET, HEAD", post.Header.Get("Allow"))
		})
	}
	for _, path := range []string{"/page.html", "/page.go", "/../page.go", "/favicon.ico", "//", "/v1/"} {
		resp := get(t, "GET", path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		var e struct{ Error string }
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&e), path)
		require.Equal(t, "not found: the page is at /", e.Error)
	}
}

// Every response has the security headers, even an error.
func TestHeaders(t *testing.T) {
	for _, request := range []string{"GET /", "GET /page.css", "GET /page.mjs", "GET /none", "POST /"} {
		method, path, _ := strings.Cut(request, " ")
		h := get(t, method, path).Header
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), request)
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), request)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), request)
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Opener-Policy"), request)
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"), request)
		directives := strings.Split(h.Get("Content-Security-Policy"), "; ")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src data:",
			"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
			require.Contains(t, directives, want, request)
		}
		require.NotContains(t, h.Get("Content-Security-Policy"), "unsafe")
		require.Empty(t, h.Values("Access-Control-Allow-Origin"))
	}
}

// The page treats all text from clients as text. It has no code that turns text
// into markup or code, and loads nothing from other hosts.
func TestAssets(t *testing.T) {
	url := regexp.MustCompile(`(https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s'"]*`)
	for path, asset := range assets {
		content, err := files.ReadFile(asset.name)
		require.NoError(t, err)
		text := string(content)
		require.Less(t, len(text), 90_000, path)
		for _, found := range url.FindAllString(text, -1) {
			// The page may contain the namespace of SVG, and links for the user
			// to follow.
			if found != "http://www.w3.org/2000/svg" && !strings.HasPrefix(found, "https://www.rfc-editor.org/rfc/") &&
				!strings.HasPrefix(found, "https://github.com/opencontainers/distribution-spec/blob/") {
				t.Errorf("%s has the URL %s", asset.name, found)
			}
		}
		for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setHTML", "srcdoc", "DOMParser",
			"createContextualFragment", "localStorage", "@import", " style=\"", "onclick=", "javascript:"} {
			if strings.Contains(text, word) {
				t.Errorf("%s has %q", asset.name, word)
			}
		}
	}
	html, err := files.ReadFile("page.html")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(html, -1) {
		if ref := string(m[1]); !strings.HasPrefix(ref, "data:image/svg+xml,") {
			require.Contains(t, assets, "/"+ref)
		}
	}
}

// The page names each operation of the API by its Go constant.
func TestOps(t *testing.T) {
	script, err := files.ReadFile("page.mjs")
	require.NoError(t, err)
	got := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^  '([a-z-]+)': \['([A-Za-z]+)', `).FindAllStringSubmatch(string(script), -1) {
		got[m[1]+" "+m[2]] = true
	}
	want := make(map[string]bool)
	for op, name := range constants() {
		want[fmt.Sprint(op, " ", name)] = true
	}
	require.Equal(t, want, got)
	require.Equal(t, "op", strings.SplitN(registry.Op(len(want)).String(), "(", 2)[0], "constants lists all operations")
}

// constants returns the names of the Go constants by operation.
func constants() map[registry.Op]string {
	return map[registry.Op]string{
		registry.UnknownOp: "UnknownOp", registry.Ping: "Ping",
		registry.GetBlob: "GetBlob", registry.HeadBlob: "HeadBlob", registry.DeleteBlob: "DeleteBlob",
		registry.GetManifest: "GetManifest", registry.HeadManifest: "HeadManifest", registry.PutManifest: "PutManifest",
		registry.DeleteManifest: "DeleteManifest", registry.DeleteTag: "DeleteTag",
		registry.StartUpload: "StartUpload", registry.PostBlob: "PostBlob", registry.MountBlob: "MountBlob",
		registry.PatchUpload: "PatchUpload", registry.PutUpload: "PutUpload", registry.GetUpload: "GetUpload", registry.CancelUpload: "CancelUpload",
		registry.ListTags: "ListTags", registry.ListReferrers: "ListReferrers", registry.ListRepositories: "ListRepositories",
		registry.ListExtensions: "ListExtensions", registry.GetToken: "GetToken",
	}
}

// The functions of the script that need no document pass tests in JavaScript.
func TestScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not in PATH; the functions of page.mjs are tested where it is")
	}
	// With --test, node would start another process for the file.
	out, err := exec.Command(node, "page_test.mjs").CombinedOutput()
	if err != nil {
		t.Errorf("node page_test.mjs: %v\n%s", err, out)
	}
}
