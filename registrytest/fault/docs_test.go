package fault_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// The tables in docs/faults.md show the effects of rules on a client of net/http. The
// tests try each row: over connections of the operating system or, if the rule takes
// time, in a bubble over connections in memory.

// A faultRow is a row of the tables: a rule and its effect.
type faultRow struct {
	rule     string
	versions [2]string // the effects under HTTP/1.1 and HTTP/2
}

func faultRows(t *testing.T) (rows []faultRow) {
	file, err := os.Open("../../docs/faults.md")
	require.NoError(t, err)
	defer file.Close()
	table := "" // the first line of the current table
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		switch {
		case !strings.HasPrefix(line, "|"):
			table = ""
		case table == "":
			table = line
		}
		cells := strings.Split(line, " | ")
		if table != "| Rule | HTTP/1.1 | HTTP/2 |" || line == table || strings.HasPrefix(line, "|---") {
			continue
		}
		require.Len(t, cells, 3, line)
		row := faultRow{rule: strings.TrimSuffix(strings.TrimPrefix(cells[0], "| `"), "`")}
		row.versions = [2]string{cells[1], strings.TrimSuffix(cells[2], " |")}
		if row.versions[1] == "the same" {
			row.versions[1] = row.versions[0]
		}
		rows = append(rows, row)
	}
	require.NotEmpty(t, rows)
	return rows
}

// whichAndWhen lists the words that choose requests. They have no effect by
// themselves, so the tables need not have them.
var whichAndWhen = []string{
	"repo", "tag", "digest", "method", "has-header", "user", "conn", "where",
	"optional", "once", "times", "after", "every", "first-bytes", "probability", "seed", "then",
}

// waits reports whether the rule takes time.
func (r faultRow) waits() bool {
	for _, word := range []string{" delay=", " delay=0s..", " stall=", " throttle="} {
		if strings.Contains(r.rule, word) {
			return true
		}
	}
	return false
}

func TestFaultsAreAsDocumented(t *testing.T) {
	t.Parallel()
	rows := faultRows(t)
	for i, version := range []string{"HTTP/1.1", "HTTP/2"} {
		var opts []registrytest.Option
		if i == 1 {
			opts = append(opts, registrytest.WithTLS())
		}
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" {
				t.Skip("errors of the network have other texts")
			}
			s := newFaultServer(t, opts...)
			for _, row := range rows {
				if !row.waits() {
					s.tryRow(row, row.versions[i])
				}
			}
			s.requireQuiet()
		})
		t.Run(version+" in memory", func(t *testing.T) {
			t.Parallel()
			if i == 1 {
				testclient.NeedHTTP2InBubbles(t)
			}
			for _, row := range rows {
				if i == 1 && !row.waits() {
					continue // TLS in a bubble is slow.
				}
				if strings.Contains(row.rule, "reset=header") {
					continue // The row is for TCP, where net/http does not say why a header ended.
				}
				synctest.Test(t, func(t *testing.T) {
					s := newFaultServer(t, append(opts, registrytest.WithInMemory())...)
					s.timed = true
					s.tryRow(row, row.versions[i])
					s.requireQuiet()
				})
			}
		})
	}
	words := map[string]bool{}
	for _, row := range rows {
		for _, word := range strings.Fields(row.rule) {
			name, _, _ := strings.Cut(word, "=")
			words[name] = true
		}
	}
	for _, text := range fault.Samples() {
		for _, word := range strings.Fields(text)[1:] {
			name, _, _ := strings.Cut(word, "=")
			require.True(t, words[name] || !fault.Known(name) || slices.Contains(whichAndWhen, name), "the tables do not have %s", name)
		}
	}
}

// tryRow sends a request that the rule hits, and compares the response with the row.
func (s *faultServer) tryRow(row faultRow, want string) {
	s.t.Helper()
	rule, err := fault.Parse(row.rule)
	require.NoError(s.t, err)
	plain := s.ask(rule)
	in, err := s.rules.Add(rule)
	require.NoError(s.t, err)
	got := s.ask(rule)
	in.Remove()
	require.Equal(s.t, want, s.describe(got, plain), "%s", row.rule)
	require.Empty(s.t, fault.Problem(s.t, in))
}

// requireQuiet closes the server, and requires that net/http logged nothing.
func (s *faultServer) requireQuiet() {
	s.t.Helper()
	s.Close()
	require.Empty(s.t, s.tb.Errors())
	s.tb.Errorf("a failure, so that the server logs")
	s.tb.End()
	for _, line := range s.tb.Lines() {
		require.NotContains(s.t, line, "the log of")
	}
}

// A faultServer is a registry whose repository app has a blob, an image manifest
// and three tags.
type faultServer struct {
	*registrytest.Server
	t     *testing.T
	tb    *faketb.TB
	timed bool // whether the server is in a bubble, where only rules take time
	rules inject.Rules
	rests atomic.Bool // whether no rule hits a request
	blob  []byte
}

func newFaultServer(t *testing.T, opts ...registrytest.Option) *faultServer {
	s := &faultServer{t: t, tb: faketb.New(t), blob: bytes.Repeat([]byte("0123456789"), 100)}
	t.Cleanup(s.tb.End)
	s.Server = registrytest.NewServer(s.tb, append(opts[:len(opts):len(opts)], registry.WithFaults(s.inject))...)
	require.NoError(t, content.PutBlob(t.Context(), s.Store, "app", content.Bytes("application/octet-stream", s.blob)))
	for _, tag := range []string{"v1", "v2", "v3"} {
		s.Push(t, "app:"+tag, content.Image(content.Layers(1)))
	}
	return s
}

// inject injects the faults of s.rules.
func (s *faultServer) inject(r *registry.Request) *registry.Fault {
	if s.rests.Load() {
		return nil
	}
	return s.rules.Inject(r)
}

// seen is a response as the client sees it.
type seen struct {
	*http.Response
	body  []byte
	err   error         // the error of the request or, if there is a Response, of reading its body
	took  time.Duration // the duration of the request in a bubble, or 0 if there is no bubble
	after string        // the state of the registry after the request
}

// ask sends a request for the operation of the rule.
func (s *faultServer) ask(rule fault.Rule) seen {
	// Use each connection only once: if a request fails on a connection that was
	// used before, net/http sends it again.
	transport := s.Transport().Clone()
	transport.DisableCompression = true
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	// direct sends a request that no fault hits, such as one that begins an upload.
	direct := func(method, target string, body io.Reader) (int, http.Header) {
		s.rests.Store(true)
		defer s.rests.Store(false)
		req, err := http.NewRequest(method, s.URL+target, body)
		require.NoError(s.t, err)
		resp, err := s.Client().Do(req)
		require.NoError(s.t, err)
		resp.Body.Close()
		return resp.StatusCode, resp.Header
	}
	upload := func() string {
		_, header := direct("POST", "/v2/app/blobs/uploads/", nil)
		return header.Get("Location")
	}

	blob := "/v2/app/blobs/" + string(digest.FromBytes(s.blob))
	header := http.Header{}
	method, target, body, after := "GET", "/v2/", []byte(nil), func() string { return "" }
	op, _, _ := strings.Cut(strings.Fields(rule.String())[0], ",")
	switch op {
	case "get-blob":
		target = blob
		if strings.Contains(rule.String(), "Range") {
			header.Set("Range", "bytes=100-199")
		}
	case "head-blob":
		method, target = "HEAD", blob
	case "get-manifest":
		target = "/v2/app/manifests/v1"
	case "put-manifest":
		method, target = "PUT", "/v2/app/manifests/new"
		body = []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`)
		header.Set("Content-Type", ocispec.MediaTypeImageIndex)
		after = func() string {
			_, err := s.Store.StatManifest(context.Background(), "app", "new")
			s.Store.DeleteTag(context.Background(), "app", "new")
			if err != nil {
				return "not stored"
			}
			return "stored"
		}
	case "start-upload":
		method, target = "POST", "/v2/app/blobs/uploads/"
	case "patch-upload", "put-upload":
		location := upload()
		method, target, body = "PATCH", location, []byte("0123456789")
		header.Set("Content-Range", "0-9")
		if op == "put-upload" {
			method, target = "PUT", location+"?digest="+string(digest.FromBytes(body))
		}
		after = func() string {
			status, header := direct("GET", location, nil)
			if status == http.StatusNotFound {
				return "the session is gone"
			}
			return "the session has `Range: " + header.Get("Range") + "`"
		}
	case "list-tags":
		target = "/v2/app/tags/list?n=2"
	}

	// The client waits for an hour.
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Hour)
	defer cancel()
	send := func() (got seen) {
		req, err := http.NewRequestWithContext(ctx, method, s.URL+target, bytes.NewReader(body))
		require.NoError(s.t, err)
		req.Header = header
		start := time.Now()
		if got.Response, got.err = client.Do(req); got.err == nil {
			defer got.Body.Close()
			got.body, got.err = io.ReadAll(got.Body)
		}
		if s.timed {
			got.took = time.Since(start)
		}
		return got
	}
	got := send()
	got.after = after()
	if got.err == nil && method == "GET" {
		// A transport, too, closes a connection if its goroutine that sends requests
		// does not run for 50 ms. So send two more requests: if the rule makes the
		// server close connections, it closes all three.
		closed := s.isClosed(client)
		for range 2 {
			closed = closed && send().err == nil && s.isClosed(client)
		}
		if closed {
			got.after = "its connection is closed"
		}
	}
	return got
}

// isClosed reports whether the client needs a new connection after its last request.
func (s *faultServer) isClosed(client *http.Client) bool {
	before := s.Requests().Last().Conn
	if again, err := client.Get(s.URL + "/nothing"); err == nil {
		again.Body.Close()
	}
	return s.Requests().Last().Conn != before
}
