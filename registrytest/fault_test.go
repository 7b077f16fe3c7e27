package registrytest

import (
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/ocireg/registry"
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
