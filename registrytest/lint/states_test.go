package lint

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
)

// The parameter is added once to each URL that the client needs for its next request,
// and to no other URL.
func TestStateIsAddedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op       registry.Op
		response func(w http.ResponseWriter)
		location string
		link     string
	}{
		"a session": {registry.StartUpload, func(w http.ResponseWriter) { w.WriteHeader(202) }, "/a?b=c&_state=1%2F%2B%3D", `</l?_state=2%2F%2B%3D&last=x>; rel="next"`},
		"a blob":    {registry.MountBlob, func(w http.ResponseWriter) { w.WriteHeader(103); w.WriteHeader(201) }, "/a?b=c", `</l?_state=1%2F%2B%3D&last=x>; rel="next"`},
		"written without a status": {registry.ListTags, func(w http.ResponseWriter) {
			io.WriteString(w, "a")
			io.WriteString(w, "b")
		}, "/a?_state=1%2F%2B%3D&b=c", `</l?_state=2%2F%2B%3D&last=x>; rel="next"`},
		"with hints before it": {registry.ListTags, func(w http.ResponseWriter) {
			w.WriteHeader(103)
			w.WriteHeader(202)
			io.WriteString(w, "a")
		}, "/a?_state=1%2F%2B%3D&b=c", `</l?_state=2%2F%2B%3D&last=x>; rel="next"`},
		"another operation": {registry.GetBlob, func(w http.ResponseWriter) { w.WriteHeader(307) }, "/a?b=c", `</l?last=x>; rel="next"`},
	} {
		w := httptest.NewRecorder()
		h := new(states).middleware(func(w http.ResponseWriter, r *registry.Request) error {
			w.Header().Set("Location", "/a?b=c")
			w.Header().Set("Link", `</l?last=x>; rel="next"`)
			c.response(w)
			return nil
		})
		require.NoError(t, h(w, &registry.Request{Op: c.op}), name)
		want, err := url.Parse(c.location)
		require.NoError(t, err)
		got, err := url.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		require.Equal(t, want.Query(), got.Query(), name)
		require.Equal(t, c.link, w.Header().Get("Link"), name)
	}
	require.Equal(t, "%zz", new(states).add("%zz"), "add does not change text that is not a URL")
}

// If the registry itself sends a parameter _state in the Location of an upload, as
// Distribution does, the linter does not change it.
func TestStateOfTheRegistryStays(t *testing.T) {
	const own = "/a?_state=abc&b=c"
	w := httptest.NewRecorder()
	w.Header().Set("Location", own)
	sw := &stateWriter{states: new(states)}
	sw.Writer = conn.Writer{ResponseWriter: w, Outer: sw}
	sw.WriteHeader(http.StatusAccepted)
	require.Equal(t, own, w.Header().Get("Location"))
}
