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

// serve has one request be answered by an empty registry, without a network.
// It returns nil if there was no answer.
func serve(opt registry.Option, method, target string, body io.Reader) (answer *httptest.ResponseRecorder) {
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler {
			answer = nil
		} else if cause != nil {
			panic(cause)
		}
	}()
	answer = httptest.NewRecorder()
	registry.New(memstore.New(), opt).ServeHTTP(answer, httptest.NewRequest(method, target, body))
	return answer
}

// callSite is where a test has set a rule.
var callSite = regexp.MustCompile(`\w+_test\.go:\d+`)

// withConn returns a context of the n-th connection.
func withConn(ctx context.Context, n int) context.Context {
	return conn.WithNumber(ctx, n)
}

// sessionID is what differs between upload sessions.
var sessionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

func dgst(content []byte) digest.Digest { return digest.FromBytes(content) }
