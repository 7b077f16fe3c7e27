package registry_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// TestOddRanges checks ranges and a condition for which the response of
// [http.ServeContent] alone would be wrong by RFC 9110, or an error without JSON.
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
		{"Range", "bytes=-00", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=,-0 ,", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=-0,11-", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=0-10,-00", 206, "bytes 0-10/11", ""},
		{"Range", "bytes= 00-0000000000000000000010", 206, "bytes 0-10/11", ""},
		{"Range", "bytes=- 11", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=-+11", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=0 -10", 416, "bytes */11", "SIZE_INVALID"},
		{"Range", "bytes=-", 416, "bytes */11", "SIZE_INVALID"},
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

// The response to a Range of an empty blob is the whole blob, because a 206
// response cannot describe a range of it.
func TestRangeOfAnEmptyBlob(t *testing.T) {
	h := registry.New(memstore.New())
	d := string(digest.FromString(""))
	upload := httptest.NewRecorder()
	h.ServeHTTP(upload, httptest.NewRequest("POST", "/v2/app/blobs/uploads/", nil))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PUT", upload.Header().Get("Location")+"?digest="+d, nil))
	require.Equal(t, 201, w.Code)
	for _, ranges := range []string{"bytes=0-", "bytes=-1", "bytes=-0"} {
		r := httptest.NewRequest("GET", "/v2/app/blobs/"+d, nil)
		r.Header.Set("Range", ranges)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code, ranges)
		require.Equal(t, "0", w.Header().Get("Content-Length"), ranges)
		require.Empty(t, w.Header().Get("Content-Range"), ranges)
	}
}

// The registry ignores a Range with more than 100 ranges (RFC 9110, section
// 14.2): each part has its own header, so the response could be larger than the
// blob.
func TestManyRanges(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	content := strings.Repeat("0123456789abcdef", size/16)
	h := inMemory(t)
	path := "/v2/app/blobs/" + string(h.pushBlob("app", content))
	pieces := func(n int, separator string) string {
		var b strings.Builder
		b.WriteString("bytes=")
		for i := range n {
			fmt.Fprintf(&b, "%d-%d%s", 2*i, 2*i, separator)
		}
		return b.String()
	}
	for _, n := range []int{101, 1000, 200_000} {
		w := h.want(200, h.call("GET", path, "", "Range", pieces(n, ",")))
		require.Equal(t, size, w.Body.Len(), n)
		require.Empty(t, w.Header().Get("Content-Range"))
	}
	w := h.want(206, h.call("GET", path, "", "Range", pieces(100, " ,\t, ")))
	require.Contains(t, w.Header().Get("Content-Type"), "multipart/byteranges")
	require.Less(t, w.Body.Len(), 100*200)
	require.Equal(t, 100, strings.Count(w.Body.String(), "Content-Range: bytes "))
	h.want(206, h.call("GET", path, "", "Range", "bytes="+strings.Repeat(",", 200_000)+"1-2"))
	h.wantError(416, h.call("GET", path, "", "Range", "bytes="+strings.Repeat("x,", 200_000)), registry.CodeSizeInvalid)
}

// FuzzRange sends GET requests with any Range. A response with one part has the
// part that its Content-Range names. A response with several parts is not
// checked. Any other response is the whole blob or an error.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"0-", "5-2", "-00", "-+0", "0-1,-0", ",", " 0-1 ,\t-5", "99999999999999999999-", "0-1,3-4"} {
		f.Add(s)
	}
	const content = "hello world"
	h := registry.New(memstore.New())
	d := string(digest.FromString(content))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v2/app/blobs/uploads/?digest="+d, strings.NewReader(content)))
	f.Fuzz(func(t *testing.T, ranges string) {
		r := httptest.NewRequest("GET", "/v2/app/blobs/"+d, nil)
		r.Header.Set("Range", "bytes="+ranges)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200:
			require.Equal(t, content, w.Body.String())
		case 206:
			if strings.HasPrefix(w.Header().Get("Content-Type"), "multipart/byteranges") {
				return
			}
			var first, last, size int
			_, err := fmt.Sscanf(w.Header().Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
			require.NoError(t, err)
			require.Equal(t, len(content), size)
			require.True(t, 0 <= first && first <= last && last < size, w.Header().Get("Content-Range"))
			require.Equal(t, content[first:last+1], w.Body.String())
		default:
			require.Equal(t, 416, w.Code)
		}
	})
}
