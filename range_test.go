package registry_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// TestOddRanges has the cases of RFC 9110, section 14, that [http.ServeContent]
// alone gets wrong.
func TestOddRanges(t *testing.T) {
	h := registry.New(memstore.New())
	d := string(digest.FromString("hello world"))
	push := httptest.NewRecorder()
	h.ServeHTTP(push, httptest.NewRequest("POST", "/v2/app/blobs/uploads/?digest="+d, strings.NewReader("hello world")))
	require.Equal(t, 201, push.Code)

	for _, c := range []struct {
		name, value         string
		status              int
		contentRange, inErr string
	}{
		{"Range", "bytes=0-99999999999999999999999", 206, "bytes 0-10/11", ""},
		{"Range", "bytes=99999999999999999999999-", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=-99999999999999999999999", 206, "bytes 0-10/11", ""},
		{"Range", "bytes=-0", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=5-2", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=x", 416, "bytes */11", "SIZE_INVALID"},
		{"If-Match", `"x"`, 412, "", "DIGEST_INVALID"},
	} {
		r := httptest.NewRequest("GET", "/v2/app/blobs/"+d, nil)
		r.Header.Set(c.name, c.value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, c.status, w.Code, c.value)
		require.Equal(t, c.contentRange, w.Header().Get("Content-Range"), c.value)
		require.Contains(t, w.Body.String(), c.inErr)
		if c.inErr == "" {
			require.Equal(t, "hello world", w.Body.String())
		} else {
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		}
	}
}
