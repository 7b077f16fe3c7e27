package upstream_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/upstream"
)

// A response is a transport that responds to every request with the body and its
// size.
type response struct {
	io.Reader
	size int64
}

func (r response) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(r), ContentLength: r.size, Request: request}, nil
}

// A blocked is a reader that waits until the channel is closed, and then returns
// EOF.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) {
	<-b
	return 0, io.EOF
}

// A counter is a writer that counts bytes. When it has enough bytes, it closes the
// channel reached.
type counter struct {
	n, enough int
	reached   chan struct{}
}

func (c *counter) Write(p []byte) (int, error) {
	if c.n < c.enough && c.n+len(p) >= c.enough {
		close(c.reached)
	}
	c.n += len(p)
	return len(p), nil
}

// OpenBlob passes a blob on while it arrives, but the last byte only after the
// digest is verified.
func TestLastByteWaits(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("blob"), 100_000)
	for name, d := range map[string]digest.Digest{"right": digest.FromBytes(text), "wrong": digest.FromString("another")} {
		w := &counter{enough: len(text) - 1, reached: make(chan struct{})}
		body := response{io.MultiReader(bytes.NewReader(text), blocked(w.reached)), int64(len(text))}
		store, err := upstream.Open(memstore.New(), upstream.Remote("up.test", upstream.RoundTripper(body)))
		require.NoError(t, err)
		r, err := store.OpenBlob(t.Context(), "app", d)
		require.NoError(t, err)
		_, err = r.(io.WriterTo).WriteTo(w)
		if name == "right" {
			require.NoError(t, err)
			require.Equal(t, len(text), w.n)
		} else {
			require.ErrorContains(t, err, "have the digest")
			require.Equal(t, len(text)-1, w.n)
			_, err = r.Read(make([]byte, 1))
			require.Error(t, err)
			require.False(t, errors.Is(err, io.EOF))
		}
		require.NoError(t, r.Close())
	}
}
