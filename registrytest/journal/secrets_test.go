package journal

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// Wherever a record can be looked at, no secret is to be seen; the name of the
// user is.
func TestRecordsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			w.Header().Set("Set-Cookie", "session=hunter2")
			return next(w, r)
		}
	}))
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/v2/?token=hunter2", nil)
	require.NoError(t, err)
	r.SetBasicAuth("alice", "hunter2")
	basic := r.Header.Get("Authorization")
	r.AddCookie(&http.Cookie{Name: "session", Value: "hunter2"})
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()

	all := s.Requests()
	var har strings.Builder
	require.NoError(t, all.WriteHAR(&har))
	seen := fmt.Sprintf("%+v %v %v %s", *all.First(), all.First().URL, all, &har)
	require.NotContains(t, seen, "hunter2")
	require.NotContains(t, seen, strings.TrimPrefix(basic, "Basic "))
	require.Equal(t, "Basic redacted", all.First().RequestHeader.Get("Authorization"))
	require.Equal(t, "alice", all.First().User)
	require.Equal(t, "GET /v2/?token=redacted 200 user=alice", all.First().String())
}

// Whom a middleware has found out is the user, whatever the header says.
func TestUserIsWhomTheRegistryTakesItFor(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			r.User = "bob"
			return next(w, r)
		}
	}))
	s.do(t, "GET", "/v2/", nil, "Authorization", "Basic YWxpY2U6c2VjcmV0")
	require.Equal(t, "bob", s.Requests().First().User)
}
