package export

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// har is an object of an HTTP Archive. A map, unlike a struct, shows missing fields.
type har = map[string]any

func writeHAR(t *testing.T, r journal.Requests) (entries []har) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, HAR(&b, r))
	var archive har
	require.NoError(t, json.Unmarshal(b.Bytes(), &archive))
	log := archive["log"].(har)
	checkHAR(t, log, "log", map[string]string{"version": "s", "creator": "o", "entries": "a"})
	require.Equal(t, "1.2", log["version"])
	checkHAR(t, log["creator"].(har), "creator", map[string]string{"name": "s", "version": "s"})
	for _, e := range log["entries"].([]any) {
		entries = append(entries, e.(har))
	}
	return entries
}

// checkHAR checks that an object has the fields that HAR 1.2 requires, of the
// required types (s for string, n for number, o for object, a for array), and
// that each other field is optional in HAR 1.2 or begins with an underscore.
func checkHAR(t *testing.T, object har, name string, required map[string]string, optional ...string) {
	t.Helper()
	for field, kind := range required {
		require.Contains(t, object, field, "%s has no %s", name, field)
		switch v := object[field].(type) {
		case string:
			require.Equal(t, "s", kind, "%s.%s", name, field)
		case float64:
			require.Equal(t, "n", kind, "%s.%s", name, field)
		case har:
			require.Equal(t, "o", kind, "%s.%s", name, field)
		case []any:
			require.Equal(t, "a", kind, "%s.%s", name, field)
		default:
			require.Fail(t, "a field has the wrong type", "%s.%s is %T", name, field, v)
		}
	}
	for field := range object {
		if _, ok := required[field]; !ok && !strings.HasPrefix(field, "_") && field != "comment" {
			require.Contains(t, optional, field, "%s.%s is not a field of HAR", name, field)
		}
	}
}

func checkPairs(t *testing.T, name string, list any) {
	t.Helper()
	for _, p := range list.([]any) {
		checkHAR(t, p.(har), name, map[string]string{"name": "s", "value": "s"})
	}
}

func TestHAR(t *testing.T) {
	t.Parallel()
	s := newServer(t, 20, registry.WithFaults(func(r *registry.Request) *registry.Fault {
		if r.Op == registry.ListRepositories {
			return &registry.Fault{Name: "cut", Before: func(*registry.Request) error { return registry.CloseConnection }}
		}
		return nil
	}))
	text, binary := "plain text that is longer than that", "\xff\xfe\x00binary"
	do(t, s, "GET", "/v2/?n=1&q=a%20b&n=2", nil, "Authorization", "Bearer c2VjcmV0", "Cookie", "a=c2VjcmV0", "X-Two", "1", "X-Two", "2")
	for _, content := range []string{text, binary} {
		d := string(digest.FromString(content))
		do(t, s, "POST", "/v2/app/blobs/uploads/?digest="+d+"&token=c2VjcmV0", strings.NewReader(content), "Content-Type", "application/octet-stream")
		do(t, s, "GET", "/v2/app/blobs/"+d, nil)
	}
	// On an idle connection, the transport would send the request again.
	s.Client().CloseIdleConnections()
	_, err := s.Client().Get(s.URL + "/v2/_catalog")
	require.Error(t, err)
	all, err := s.Requests().Where(func(r *journal.Record) bool { return !r.Ongoing }).WaitFor(t.Context(), 6)
	require.NoError(t, err)

	entries := writeHAR(t, all)
	require.Len(t, entries, 6)
	for i, e := range entries {
		r := all.Records()[i]
		checkHAR(t, e, "entry", map[string]string{
			"startedDateTime": "s", "time": "n", "request": "o", "response": "o", "cache": "o", "timings": "o",
		}, "pageref", "serverIPAddress", "connection")
		started, err := time.Parse(time.RFC3339, e["startedDateTime"].(string))
		require.NoError(t, err)
		require.True(t, started.Equal(r.Start))
		require.Equal(t, fmt.Sprint(r.Conn), e["connection"])
		require.Equal(t, r.Op.String(), e["_op"])

		timings := e["timings"].(har)
		checkHAR(t, timings, "timings", map[string]string{"send": "n", "wait": "n", "receive": "n"}, "blocked", "dns", "connect", "ssl")
		sum := timings["send"].(float64) + timings["wait"].(float64) + timings["receive"].(float64)
		require.InDelta(t, e["time"], sum, 0.000001, "the timings add up to time")
		require.InDelta(t, r.Duration.Seconds()*1000, sum, 0.001)

		request := e["request"].(har)
		checkHAR(t, request, "request", map[string]string{
			"method": "s", "url": "s", "httpVersion": "s", "cookies": "a", "headers": "a", "queryString": "a",
			"headersSize": "n", "bodySize": "n",
		}, "postData")
		require.Equal(t, r.Method, request["method"])
		require.Equal(t, r.URL.String(), request["url"])
		require.True(t, strings.HasPrefix(request["url"].(string), s.URL+"/v2/"), "the URL is absolute")
		require.EqualValues(t, r.BytesIn, request["bodySize"])
		checkPairs(t, "header", request["headers"])
		checkPairs(t, "queryString", request["queryString"])
		if post, ok := request["postData"]; ok {
			checkHAR(t, post.(har), "postData", map[string]string{"mimeType": "s", "params": "a", "text": "s"})
		}

		response := e["response"].(har)
		checkHAR(t, response, "response", map[string]string{
			"status": "n", "statusText": "s", "httpVersion": "s", "cookies": "a", "headers": "a", "content": "o",
			"redirectURL": "s", "headersSize": "n", "bodySize": "n",
		})
		require.EqualValues(t, r.Status, response["status"])
		require.EqualValues(t, r.BytesOut, response["bodySize"])
		checkPairs(t, "header", response["headers"])
		checkHAR(t, response["content"].(har), "content", map[string]string{"size": "n", "mimeType": "s"}, "compression", "text", "encoding")
	}

	get := func(v any, path ...string) any {
		for _, name := range path {
			v = v.(har)[name]
		}
		return v
	}
	require.Equal(t, []any{
		har{"name": "n", "value": "1"}, har{"name": "q", "value": "a b"}, har{"name": "n", "value": "2"},
	}, get(entries[0], "request", "queryString"))
	require.Contains(t, get(entries[0], "request", "headers"), har{"name": "X-Two", "value": "1"})
	require.Contains(t, get(entries[0], "request", "headers"), har{"name": "X-Two", "value": "2"})
	require.Equal(t, "OK", get(entries[0], "response", "statusText"))
	require.Equal(t, "{}", get(entries[0], "response", "content", "text"))

	require.Equal(t, text[:20], get(entries[1], "request", "postData", "text"))
	require.Equal(t, "application/octet-stream", get(entries[1], "request", "postData", "mimeType"))
	require.Equal(t, "the first 20 bytes of 35", get(entries[1], "request", "postData", "comment"))
	require.Equal(t, text[:20], get(entries[2], "response", "content", "text"))
	require.Equal(t, "the first 20 bytes of 35", get(entries[2], "response", "content", "comment"))

	encoded := base64.StdEncoding.EncodeToString([]byte(binary))
	require.Equal(t, encoded, get(entries[3], "request", "postData", "text"))
	require.Equal(t, "base64", get(entries[3], "request", "postData", "_encoding"))
	require.Equal(t, encoded, get(entries[4], "response", "content", "text"))
	require.Equal(t, "base64", get(entries[4], "response", "content", "encoding"))

	require.Equal(t, "cut", entries[5]["_fault"])
	require.Contains(t, entries[5]["_error"], registry.CloseConnection.Error())
	require.EqualValues(t, 0, get(entries[5], "response", "status"))

	var b strings.Builder
	require.NoError(t, HAR(&b, all))
	require.NotContains(t, b.String(), "c2VjcmV0")
}

func TestHARWithoutBodies(t *testing.T) {
	t.Parallel()
	s := newServer(t, 0)
	do(t, s, "POST", "/v2/app/blobs/uploads/?digest="+string(digest.FromString("x")), strings.NewReader("x"))
	do(t, s, "GET", "/v2/", nil)
	for _, e := range writeHAR(t, s.Requests()) {
		require.NotContains(t, e["request"], "postData")
		require.NotContains(t, e["response"].(har)["content"], "text")
	}
	require.Empty(t, writeHAR(t, journal.Requests{}))
}

func TestHARFails(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	require.ErrorIs(t, HAR(failingWriter{full}, journal.Requests{}), full)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
