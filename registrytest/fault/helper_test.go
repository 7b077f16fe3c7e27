package fault

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/memstore"
)

// serve returns the response of an empty registry to one request, without a
// network, or nil if there was none.
func serve(opt registry.Option, method, target string, body io.Reader) *httptest.ResponseRecorder {
	return served(registry.New(memstore.New(), opt), httptest.NewRequest(method, target, body))
}

// served returns the response of a handler, or nil if there was none.
func served(h http.Handler, r *http.Request) (response *httptest.ResponseRecorder) {
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler {
			response = nil
		} else if cause != nil {
			panic(cause)
		}
	}()
	response = httptest.NewRecorder()
	h.ServeHTTP(response, r)
	return response
}

// callSite matches the file and line at which a test set a rule.
var callSite = regexp.MustCompile(`\w+_test\.go:\d+`)

// withConn returns a context of the n-th connection.
func withConn(ctx context.Context, n int) context.Context {
	return conn.WithNumber(ctx, n)
}

func dgst(content []byte) digest.Digest { return digest.FromBytes(content) }
