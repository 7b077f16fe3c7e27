package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

func writeNDJSON(t *testing.T, r journal.Requests) (list []map[string]any) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, NDJSON(&b, r))
	for line := range bytes.Lines(b.Bytes()) {
		var o map[string]any
		require.NoError(t, json.Unmarshal(line, &o))
		list = append(list, o)
	}
	return list
}

// newServer starts a registry whose journal keeps at most limit bytes of each body.
func newServer(t *testing.T, limit int64, opts ...registry.Option) *registrytest.Server {
	all := []registrytest.Option{registrytest.WithBodies(limit)}
	for _, o := range opts {
		all = append(all, o)
	}
	return registrytest.NewServer(t, all...)
}

// do sends a request, and reads the whole response.
func do(t *testing.T, s *registrytest.Server, method, path string, body io.Reader, header ...string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	faults := registry.WithFaults(func(r *registry.Request) *registry.Fault {
		if r.Op == registry.ListTags {
			return &registry.Fault{Name: "slow & <late>"}
		}
		return nil
	})
	s := newServer(t, 20, faults)
	app := s.Push(t, "app:v1", content.Image())
	do(t, s, "GET", "/v2/app/manifests/v1", nil, "Authorization", "Bearer geheim", "Range", "bytes=0-9")
	do(t, s, "POST", "/v2/app/blobs/uploads/", nil)
	do(t, s, "GET", "/v2/none/tags/list", nil)
	list := writeNDJSON(t, s.Requests())
	require.Len(t, list, 3)
	get, post, tags := list[0], list[1], list[2]
	for name, want := range map[string]any{
		"number": 1.0, "op": "get-manifest", "repo": "app", "tag": "v1", "method": "GET", "proto": "HTTP/1.1", "conn": 1.0, "range": "bytes=0-9",
		"status": 206.0, "bytesOut": 10.0, "failed": false, "ongoing": false, "gone": false, "line": "GET /v2/app/manifests/v1 206 range=bytes=0-9",
	} {
		require.Equal(t, want, get[name], name)
	}
	require.Equal(t, []any{"Bearer redacted"}, get["requestHeader"].(map[string]any)["Authorization"])
	require.NotEmpty(t, post["upload"])
	require.Equal(t, "slow & <late>", tags["fault"])
	require.Equal(t, "NAME_UNKNOWN", tags["errors"].([]any)[0].(map[string]any)["code"])
	_, err := time.Parse(time.RFC3339Nano, get["start"].(string))
	require.NoError(t, err)
	require.Positive(t, get["durationMs"])

	require.Equal(t, map[string]any{"text": string(app.Manifest[:10])}, get["responseBody"])
	require.Equal(t, true, tags["responseBody"].(map[string]any)["cut"])

	bare := newServer(t, 0)
	do(t, bare, "GET", "/v2/none/tags/list", nil)
	require.NotContains(t, writeNDJSON(t, bare.Requests())[0], "responseBody")
}

// Neither export has the bodies of token requests or of their responses. NDJSON has a
// body that is not UTF-8 in base64, and calls a fault without a name "fault".
func TestBodiesOfTokensAreLeftOut(t *testing.T) {
	t.Parallel()
	r := journal.NewRequests(
		&journal.Record{Op: registry.GetToken, RequestBody: []byte("password=geheim"), ResponseBody: []byte(`{"token":"geheim"}`)},
		&journal.Record{Op: registry.GetBlob, ResponseBody: []byte("\xff"), BytesOut: 2, Err: errors.New("cut"), Fault: &registry.Fault{}},
	)
	var b bytes.Buffer
	require.NoError(t, HAR(&b, r))
	list := writeNDJSON(t, r)
	require.NoError(t, NDJSON(&b, r))
	require.NotContains(t, b.String(), "geheim")
	require.Equal(t, map[string]any{"base64": "/w==", "cut": true}, list[1]["responseBody"])
	require.Equal(t, "cut", list[1]["err"])
	require.Equal(t, "fault", list[1]["fault"])
	require.Equal(t, "", list[1]["url"])
	require.ErrorContains(t, NDJSON(failing{}, r), "writing requests as JSON")
}

// The exports have the name of a request's user, but no secrets.
func TestExportsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	s := newServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			w.Header().Set("Set-Cookie", "session=hunter2")
			return next(w, r)
		}
	}))
	basic := "YWxpY2U6aHVudGVyMg==" // alice:hunter2 in base64
	do(t, s, "GET", "/v2/?token=hunter2", nil, "Authorization", "Basic "+basic, "Cookie", "session=hunter2")
	var b bytes.Buffer
	require.NoError(t, HAR(&b, s.Requests()))
	require.NoError(t, NDJSON(&b, s.Requests()))
	require.NotContains(t, b.String(), "hunter2")
	require.NotContains(t, b.String(), basic)
	require.Contains(t, b.String(), `"user":"alice"`)
}

// failing is a writer whose Write always fails.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }
