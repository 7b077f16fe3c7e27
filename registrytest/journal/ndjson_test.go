package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
)

func writeNDJSON(t *testing.T, r Requests, bodies bool) (list []map[string]any) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteNDJSON(&b, bodies))
	for line := range bytes.Lines(b.Bytes()) {
		var o map[string]any
		require.NoError(t, json.Unmarshal(line, &o))
		list = append(list, o)
	}
	return list
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	faults := registry.WithFaults(func(r *registry.Request) *registry.Fault {
		if r.Op == registry.ListTags {
			return &registry.Fault{Name: "slow & <late>"}
		}
		return nil
	})
	s := newJournalServer(t, 20, faults)
	app := s.put(t, "app:v1", content.Image())
	s.do(t, "GET", "/v2/app/manifests/v1", nil, "Authorization", "Bearer geheim", "Range", "bytes=0-9")
	s.do(t, "POST", "/v2/app/blobs/uploads/", nil)
	s.do(t, "GET", "/v2/none/tags/list", nil)
	list := writeNDJSON(t, s.Requests(), false)
	require.Len(t, list, 3)
	get, post, tags := list[0], list[1], list[2]
	for name, want := range map[string]any{
		"number": 1.0, "op": "get-manifest", "repo": "app", "tag": "v1", "method": "GET", "proto": "HTTP/1.1", "conn": 1.0, "range": "bytes=0-9",
		"status": 206.0, "bytesOut": 10.0, "failed": false, "ongoing": false, "gone": false, "line": "GET /v2/app/manifests/v1 206 range=bytes=0-9",
	} {
		require.Equal(t, want, get[name], name)
	}
	require.Equal(t, []any{"Bearer redacted"}, get["requestHeader"].(map[string]any)["Authorization"])
	require.NotContains(t, get, "responseBody")
	require.NotEmpty(t, post["upload"])
	require.Equal(t, "slow & <late>", tags["fault"])
	require.Equal(t, "NAME_UNKNOWN", tags["errors"].([]any)[0].(map[string]any)["code"])
	_, err := time.Parse(time.RFC3339Nano, get["start"].(string))
	require.NoError(t, err)
	require.Positive(t, get["durationMs"])

	bodies := writeNDJSON(t, s.Requests(), true)
	require.Equal(t, map[string]any{"text": string(app.Manifest[:10])}, bodies[0]["responseBody"])
	require.Equal(t, true, bodies[2]["responseBody"].(map[string]any)["cut"])
}

// The bodies of the token service are in no form.
func TestBodiesOfTokensAreLeftOut(t *testing.T) {
	t.Parallel()
	r := NewRequests(
		&Record{Op: registry.GetToken, RequestBody: []byte("password=geheim"), ResponseBody: []byte(`{"token":"geheim"}`)},
		&Record{Op: registry.GetBlob, ResponseBody: []byte("\xff"), BytesOut: 2, Err: errors.New("cut"), Fault: &registry.Fault{}},
	)
	var b bytes.Buffer
	require.NoError(t, r.WriteHAR(&b))
	list := writeNDJSON(t, r, true)
	require.NoError(t, r.WriteNDJSON(&b, true))
	require.NotContains(t, b.String(), "geheim")
	require.Equal(t, map[string]any{"base64": "/w==", "cut": true}, list[1]["responseBody"])
	require.Equal(t, "cut", list[1]["err"])
	require.Equal(t, "fault", list[1]["fault"])
	require.Equal(t, "", list[1]["url"])
	require.ErrorContains(t, r.WriteNDJSON(failing{}, false), "writing requests as JSON")
}

// failing is a writer that fails.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }
