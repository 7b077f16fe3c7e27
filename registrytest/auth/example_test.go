package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// A registry that asks for Basic credentials, as a handler without a server.
func ExampleBasic() {
	a := auth.Basic("anonymous pull public/**")
	ci := a.User("ci", "pull,push team/**")
	handler := registry.New(memstore.New(), a.Options()...)

	status := func(method, target string, c auth.Credentials) int {
		r := httptest.NewRequest(method, target, nil)
		if c.Username != "" {
			r.SetBasicAuth(c.Username, c.Password)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	fmt.Println("anonymous pull:", status("GET", "/v2/public/app/manifests/v1", auth.Credentials{}))
	fmt.Println("push:", status("POST", "/v2/team/app/blobs/uploads/", ci))
	fmt.Println("delete:", status("DELETE", "/v2/team/app/manifests/v1", ci))
	a.Revoke("ci")
	fmt.Println("revoked:", status("POST", "/v2/team/app/blobs/uploads/", ci))
	// Output:
	// anonymous pull: 404
	// push: 202
	// delete: 403
	// revoked: 401
}

// In this test, all tokens expire between two pushes, so the client must request
// a new one.
func ExampleBearer() {
	_ = func(t *testing.T) {
		a := auth.Bearer()
		ci := a.User("ci", "pull,push team/**")
		reg := registrytest.NewServer(t, a)

		config := ci.DockerConfig(t, reg.Host())
		t.Setenv("DOCKER_CONFIG", config)
		push(t, reg.Ref("team/app:v1"))
		a.ExpireTokens()
		push(t, reg.Ref("team/app:v2"))

		if n := len(a.Grants()); n < 2 {
			t.Errorf("the client got %d tokens, want one for each push", n)
		}
	}
}

// A registry that limits the number of requests of each client, as Docker Hub does.
func ExampleRateLimit() {
	limit := &auth.RateLimit{Limit: 1, Window: time.Minute}
	handler := registry.New(memstore.New(), limit.Options()...)
	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/app/manifests/v1", nil))
		fmt.Printf("%d %s %q\n", w.Code, w.Header().Get("RateLimit-Remaining"), w.Header().Get("Retry-After"))
	}
	// Output:
	// 404 0;w=60 ""
	// 429 0;w=60 "60"
}

func push(*testing.T, string) {}
