package journal

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

// A journalServer is a registry behind a journal's handler, as a registrytest.Server
// is.
type journalServer struct {
	*httptest.Server
	Journal
	store registry.Store
}

// newJournalServer starts a journalServer, and closes it at the end of the test.
func newJournalServer(t *testing.T, bodies int64, opts ...registry.Option) *journalServer {
	s := &journalServer{store: memstore.New()}
	opts = append([]registry.Option{registry.WithRecorder(s)}, opts...)
	s.KeepBodies(bodies)
	s.Server = httptest.NewUnstartedServer(s.Handler(registry.New(s.store, opts...)))
	var conns atomic.Int64
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return conn.WithNumber(ctx, int(conns.Add(1)))
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// do sends a request, and returns the response after reading its whole body.
func (s *journalServer) do(t *testing.T, method, target string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = s.URL + target
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body = io.NopCloser(bytes.NewReader(content))
	return resp
}

func (s *journalServer) put(t *testing.T, ref string, c content.Content) content.Content {
	t.Helper()
	require.NoError(t, content.Put(t.Context(), s.store, ref, c))
	return c
}

// recorded returns the records, which get numbers and default values, as Requests.
func recorded(records ...Record) Requests {
	var all []*Record
	for i := range records {
		record := &records[i]
		record.Number = i + 1
		if record.Method == "" {
			record.Method = "GET"
		}
		if record.URL == nil {
			record.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:4321", Path: "/v2/"}
		}
		all = append(all, record)
	}
	return NewRequests(all...)
}

func numbers(r Requests) []int {
	list := []int{}
	for _, record := range r.Records() {
		list = append(list, record.Number)
	}
	return list
}
