package upstream

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// If the body of an upload ends early, the proxy responds with 416 once the upstream
// has all bytes that were sent.
func TestUnfinishedUpload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		contentRange string
		ranges       []string // the field Range in each response to a status request
		want         string
	}{
		"at once":       {"", []string{"0-6"}, "0-6"},
		"later":         {"", []string{"0-0", "0-3", "bytes=0-6"}, "bytes=0-6"},
		"a later chunk": {"100-109", []string{"0-99", "0-106"}, "0-106"},
		"no range":      {"", []string{"", "0-6"}, "0-6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.Header().Set("Range", c.ranges[0])
					c.ranges = c.ranges[1:]
					w.WriteHeader(http.StatusNoContent)
				}
				io.Copy(io.Discard, r.Body)
			}))
			t.Cleanup(up.Close)
			proxy := NewProxy(up.URL)
			t.Cleanup(func() { proxy.Close() })
			r := httptest.NewRequest("PATCH", "/v2/app/blobs/uploads/x", io.MultiReader(strings.NewReader("0123456"), iotest.ErrReader(io.ErrUnexpectedEOF)))
			r.ContentLength = 10
			if c.contentRange != "" {
				r.Header.Set("Content-Range", c.contentRange)
			}
			w := httptest.NewRecorder()
			registry.New(proxy).ServeHTTP(w, r)
			require.Equal(t, http.StatusRequestedRangeNotSatisfiable, w.Code)
			require.Equal(t, c.want, w.Header().Get("Range"))
			require.Equal(t, "/v2/app/blobs/uploads/x", w.Header().Get("Location"))
			require.Empty(t, c.ranges)
		})
	}
}
