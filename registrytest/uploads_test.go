package registrytest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
)

// The server closes the blob writers of the upload sessions that it forgets, since
// these may hold files. If a request is using the writer, the server closes it when
// that request ends.
func TestForgottenUploadsAreClosed(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*registrytest.Server){
		"ForgetUploads": (*registrytest.Server).ForgetUploads,
		"Restart":       (*registrytest.Server).Restart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &openStore{Store: memstore.New(), created: make(chan struct{}, 2)}
			s := registrytest.NewServer(t, registrytest.WithStore(store))
			send := func(method, path string, body io.Reader) (*http.Response, error) {
				r, err := http.NewRequest(method, s.URL+path, body)
				require.NoError(t, err)
				resp, err := s.Client().Do(r)
				if err == nil {
					resp.Body.Close()
				}
				return resp, err
			}
			start := func() string {
				resp, err := send("POST", "/v2/app/blobs/uploads/", nil)
				require.NoError(t, err)
				return resp.Header.Get("Location")
			}
			idle, busy, empty := start(), start(), start()
			_, err := send("PATCH", idle, http.NoBody)
			require.NoError(t, err)
			<-store.created
			in, body := io.Pipe()
			defer body.Close()
			status := make(chan int, 1)
			go func() {
				resp, err := send("PATCH", busy, in)
				if err != nil {
					status <- 0
					return
				}
				status <- resp.StatusCode
			}()
			io.WriteString(body, "x")
			<-store.created
			require.EqualValues(t, 2, store.open.Load())

			forget(s)
			want, open := 0, 0 // Restart closes the connection.
			if name == "ForgetUploads" {
				want, open = http.StatusAccepted, 1
			}
			require.EqualValues(t, open, store.open.Load())
			body.Close()
			require.Equal(t, want, <-status)
			require.Zero(t, store.open.Load())
			for _, location := range []string{idle, busy, empty} {
				resp, err := send("GET", location, nil)
				require.NoError(t, err)
				require.Equal(t, http.StatusNotFound, resp.StatusCode)
			}
		})
	}
}

// A server that is closed ends its upload sessions, so that a store that the test keeps
// open does not keep their files.
func TestClosedServerEndsUploads(t *testing.T) {
	t.Parallel()
	store := &openStore{Store: memstore.New(), created: make(chan struct{}, 1)}
	s, err := registrytest.StartServer(registrytest.WithStore(store))
	require.NoError(t, err)
	resp, err := s.Client().Post(s.URL+"/v2/app/blobs/uploads/", "", nil)
	require.NoError(t, err)
	resp.Body.Close()
	r, err := http.NewRequest("PATCH", s.URL+resp.Header.Get("Location"), strings.NewReader("x"))
	require.NoError(t, err)
	resp, err = s.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	require.EqualValues(t, 1, store.open.Load())
	require.NoError(t, s.Close())
	require.Zero(t, store.open.Load())
}

// An openStore counts the open blob writers of a store.
type openStore struct {
	registry.Store
	open    atomic.Int64
	created chan struct{}
}

func (s *openStore) CreateBlob(ctx context.Context, repo string, size int64) (registry.BlobWriter, error) {
	s.open.Add(1)
	s.created <- struct{}{}
	w, err := s.Store.CreateBlob(ctx, repo, size)
	return &openWriter{w, s}, err
}

type openWriter struct {
	registry.BlobWriter
	store *openStore
}

func (w *openWriter) Close() error {
	w.store.open.Add(-1)
	return w.BlobWriter.Close()
}
