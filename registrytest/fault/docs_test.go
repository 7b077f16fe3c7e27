package fault_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// What docs/faults.md says in its tables of what a client of net/http sees is
// what it sees: each row is tried, over connections of the operating system
// and, with the time that it takes, over connections in memory.

// A faultRow is a row of the tables: a rule, and what comes of it.
type faultRow struct {
	rule     string
	versions [2]string // under HTTP/1.1 and under HTTP/2
}

func faultRows(t *testing.T) (rows []faultRow) {
	file, err := os.Open("../../docs/faults.md")
	require.NoError(t, err)
	defer file.Close()
	table := "" // its first line
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

// whichAndWhen are the words that do nothing.
var whichAndWhen = []string{
	"repo", "tag", "digest", "method", "has-header", "user", "conn",
	"optional", "once", "times", "after", "every", "first-bytes", "probability", "seed", "then",
}

// waits says whether the rule takes time.
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
			for _, row := range rows {
				if i == 1 && !row.waits() {
					continue // TLS takes its time.
				}
				if strings.Contains(row.rule, "reset=header") {
					continue // Over TCP, net/http overlooks why a header ends.
				}
				synctest.Test(t, func(t *testing.T) {
					s := newFaultServer(t, append(opts, registrytest.WithInMemory())...)
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

// tryRow has the rule happen to a client, and compares what that sees.
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
	require.Empty(s.t, in.Problem())
}

// requireQuiet requires that net/http has not complained of what faults do.
func (s *faultServer) requireQuiet() {
	s.t.Helper()
	s.Close()
	require.Empty(s.t, s.tb.Errors())
	s.tb.Errorf("the log is wanted")
	s.tb.End()
	for _, line := range s.tb.Lines() {
		require.NotContains(s.t, line, "the log of")
	}
}

// A faultServer is a registry with repository app, in which there are a blob,
// an image manifest and three tags.
type faultServer struct {
	*registrytest.Server
	t     *testing.T
	tb    *faketb.TB
	rules fault.Rules
	blob  []byte
}

func newFaultServer(t *testing.T, opts ...registrytest.Option) *faultServer {
	s := &faultServer{t: t, tb: faketb.New(t), blob: bytes.Repeat([]byte("0123456789"), 100)}
	t.Cleanup(s.tb.End)
	s.Server = registrytest.NewServer(s.tb, append(opts[:len(opts):len(opts)], registry.WithFaults(s.rules.Inject))...)
	require.NoError(t, content.PutBlob(t.Context(), s.Store, "app", content.Bytes("application/octet-stream", s.blob)))
	for _, tag := range []string{"v1", "v2", "v3"} {
		s.Push(t, "app:"+tag, content.Image(content.Layers(1)))
	}
	return s
}

// sessionID is what differs between upload sessions.
var sessionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// seen is what a client sees of an exchange.
type seen struct {
	*http.Response
	body  []byte
	err   error         // of the request or, with a Response, of reading the body
	took  time.Duration // in a bubble
	after string        // what there is then
}

// ask sends a request of the kind that the rule is for.
func (s *faultServer) ask(rule fault.Rule) seen {
	// Connections are used once, as net/http repeats by itself what fails on
	// one that has been used before.
	transport := s.Transport().Clone()
	transport.DisableCompression = true
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	// The registry itself is not to be hit by what prepares the request.
	direct := func(method, target string, body io.Reader) (int, http.Header) {
		defer s.rules.Suspend()()
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

	// A client waits for an hour.
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Hour)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+target, bytes.NewReader(body))
	require.NoError(s.t, err)
	req.Header = header
	start := time.Now()
	got := seen{}
	if got.Response, got.err = client.Do(req); got.err == nil {
		defer got.Body.Close()
		got.body, got.err = io.ReadAll(got.Body)
	}
	got.took = time.Since(start)
	got.after = after()
	if got.err == nil && method == "GET" {
		before := s.Requests().Last().Conn
		if again, err := client.Get(s.URL + "/nothing"); err == nil {
			again.Body.Close()
		}
		if s.Requests().Last().Conn != before {
			got.after = "its connection is closed"
		}
	}
	return got
}

// describe says in what an answer differs from a plain one.
func (s *faultServer) describe(got, plain seen) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if got.Response == nil {
		add("no response: %s", endingOf(got.err))
	} else {
		add("%d", got.StatusCode)
		if got.StatusCode >= 300 {
			s.describeError(got, add)
		} else {
			describeHeader(got, plain, add)
			s.describeBody(got, plain, add)
		}
		if got.err != nil {
			add("then %s", endingOf(got.err))
		}
	}
	if got.took >= time.Second {
		add("after %s", got.took.Round(100*time.Millisecond))
	}
	if got.after != "" {
		add("%s", got.after)
	}
	return s.anonymous(strings.Join(parts, ", "))
}

// anonymous leaves out what differs from run to run.
func (s *faultServer) anonymous(text string) string {
	for _, location := range sessionID.FindAllString(text, -1) {
		text = strings.ReplaceAll(text, location, "<session>")
	}
	text = strings.ReplaceAll(text, string(digest.FromBytes(s.blob)), "<digest>")
	return strings.ReplaceAll(text, s.URL, "")
}

// endingOf names the error that a client gets.
func endingOf(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, context.DeadlineExceeded):
		return "nothing more"
	case strings.Contains(err.Error(), "INTERNAL_ERROR"):
		return "stream reset"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	}
	return err.Error()
}

func describeHeader(got, plain seen, add func(string, ...any)) {
	names := map[string]bool{}
	for name := range got.Header {
		names[name] = true
	}
	for name := range plain.Header {
		names[name] = true
	}
	for _, ignored := range []string{"Date", "Docker-Upload-Uuid"} {
		delete(names, ignored)
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		is, was := strings.Join(got.Header.Values(name), ", "), plain.Header.Get(name)
		switch {
		case sessionID.MatchString(is) && sessionID.ReplaceAllString(is, "") == sessionID.ReplaceAllString(was, ""), is == was:
		case is == "":
			add("without %s", name)
		default:
			add("`%s: %s`", name, is)
		}
	}
}

// describeError describes an error, from what it has that others have not.
func (s *faultServer) describeError(got seen, add func(string, ...any)) {
	var spec struct{ Errors []struct{ Code string } }
	contentType := got.Header.Get("Content-Type")
	body := s.decoded(got)
	switch {
	case json.Unmarshal(body, &spec) == nil && len(spec.Errors) > 0 && spec.Errors[0].Code != "":
		add("%s", spec.Errors[0].Code)
	case got.Request.Method == "HEAD":
	case len(body) == 0:
		add("no body")
	case contentType == "application/json" && json.Valid(body):
		add("JSON without a code in `errors`")
	case contentType == "application/json":
		add("broken JSON")
	default:
		add("%s", contentType)
	}
	for _, name := range []string{"Retry-After", "Location", "Range", "Content-Encoding", "Www-Authenticate"} {
		if v := got.Header.Get(name); v != "" {
			if at, err := http.ParseTime(v); err == nil {
				v = "the date in " + time.Until(at).Round(time.Minute).String()
			}
			add("`%s: %s`", name, v)
		}
	}
}

// decoded returns the body without its Content-Encoding.
func (s *faultServer) decoded(got seen) []byte {
	body := got.body
	for _, coding := range slices.Backward(got.Header.Values("Content-Encoding")) {
		body = decode(s.t, coding, body)
	}
	return body
}

func decode(t *testing.T, coding string, body []byte) (decoded []byte) {
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(body))
	case "zstd":
		r = bytes.NewReader(unzstd(t, body))
	default:
		t.Fatalf("unknown coding %q", coding)
	}
	require.NoError(t, err)
	decoded, err = io.ReadAll(r)
	require.NoError(t, err)
	return decoded
}

// unzstd reads a frame of blocks that are not compressed.
func unzstd(t *testing.T, frame []byte) (content []byte) {
	require.Equal(t, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3}, frame[:6])
	for frame = frame[6:]; ; {
		header := int(frame[0]) | int(frame[1])<<8 | int(frame[2])<<16
		last, kind, size := header&1, header>>1&3, header>>3
		require.Zero(t, kind, "raw block")
		require.LessOrEqual(t, size, fault.MaxZstdBlock)
		content = append(content, frame[3:3+size]...)
		if frame = frame[3+size:]; last == 1 {
			require.Empty(t, frame)
			return content
		}
	}
}

func (s *faultServer) describeBody(got, plain seen, add func(string, ...any)) {
	is, was := s.decoded(got), plain.body
	if got.Request.Header.Get("Range") != "" && got.StatusCode == 200 {
		was = s.blob
	}
	switch {
	case bytes.Equal(is, was):
		if len(was) > 0 {
			add("all %d bytes", len(was))
		}
	case bytes.HasPrefix(was, is):
		add("%d of %d bytes", len(is), len(was))
	case bytes.HasPrefix(is, was):
		add("%d bytes more", len(is)-len(was))
	case len(is) == len(was):
		for i := range is {
			if is[i] != was[i] {
				add("byte %d is another", i)
			}
		}
	default:
		add("%d other bytes", len(is))
	}
}
