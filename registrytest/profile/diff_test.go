package profile

import (
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/auth"
)

// compare starts a server with the handler and compares it with the profile.
func compare(t *testing.T, p *Profile, h http.Handler, user auth.Credentials) ([]Result, error) {
	t.Helper()
	server := httptest.NewServer(h)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return results(p.Diff(t.Context(), Target{URL: server.URL, Prefix: "probe", Credentials: user, Transport: transport}))
}

func results(all iter.Seq[Result], err error) (results []Result, _ error) {
	if err != nil {
		return nil, err
	}
	for r := range all {
		results = append(results, r)
	}
	return results, nil
}

var someone = auth.Credentials{Username: "user", Password: "secret"}

// after returns a handler that responds to GET /v2/ with 200, and passes other
// requests to h.
func after(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			h(w, r)
		}
	})
}

// A silent is a RoundTripper that responds only to the first requests. The field pings
// is the number of requests that it still responds to.
type silent struct{ pings int }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.pings--; s.pings >= 0 {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// The comparison with a registry that does not respond ends after a few
// timeouts.
func TestDiffOfSilentRegistry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		diff := func(pings int) ([]Result, error) {
			return results(Distribution3().Diff(t.Context(), Target{
				URL: "http://registry.test", Prefix: "probe", Credentials: someone, Transport: &silent{pings}, Timeout: time.Second,
			}))
		}
		_, err := diff(0)
		require.ErrorContains(t, err, "GET http://registry.test/v2/: ")
		_, err = diff(1)
		require.Error(t, err)
		results, err := diff(2)
		require.NoError(t, err)
		require.Len(t, results, len(Distribution3().Quirks()))
		for i, r := range results {
			require.Error(t, r.Err, r.Quirk)
			if i >= maxTimeouts {
				require.ErrorContains(t, r.Err, "did not respond in time to 3 probes in a row")
			}
		}
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}

// An endless response ends a probe with an error. If GET /v2/ does not have the
// status of a registry, Diff returns an error.
func TestDiffOfHostileRegistry(t *testing.T) {
	t.Parallel()
	flood := func(w http.ResponseWriter, _ *http.Request) {
		for piece := make([]byte, 1<<20); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	_, err := compare(t, Distribution3(), http.HandlerFunc(flood), someone)
	require.ErrorContains(t, err, "it has more than 8388608 bytes")
	results, err := compare(t, Distribution3(), after(flood), someone)
	require.NoError(t, err)
	for _, r := range results {
		require.ErrorContains(t, r.Err, "it has more than", r.Quirk)
	}
	_, err = compare(t, Distribution3(), http.NotFoundHandler(), someone)
	require.ErrorContains(t, err, "the response has status 404; a registry responds with 200 or 401")
}

// A malformed response ends a probe with an error, or leads to a different
// observation, unless the probe observes only the status. No request leaves the
// prefix.
func TestDiffOfOddRegistry(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"", "::", "http://", "https://[::1", "/v2/victim/app/blobs/uploads/1", "/v2/probe/../victim/blobs/uploads/1", "/%zz", "null://x", "#"} {
		results, err := compare(t, Distribution3(), after(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "victim") {
				t.Errorf("%s %s leaves the prefix", r.Method, r.URL)
			}
			w.Header()["Location"] = []string{location}
			w.Header().Set("WWW-Authenticate", `Bearer realm="`)
			w.Header().Set("Docker-Content-Digest", "x")
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, `{"errors":[`)
		}), someone)
		require.NoError(t, err)
		for _, r := range results {
			require.False(t, r.Holds() && r.Quirk != "distribution.single-post-202", "%s with Location %q: %s", r.Quirk, location, r.Got)
		}
	}
}

// Diff does not follow redirects. It sends no credentials to the host of a
// Location, or to a token service at another host without HTTPS.
func TestDiffKeepsCredentials(t *testing.T) {
	t.Parallel()
	var asked, leaked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" {
			leaked.Add(1)
		}
		if r.Method == http.MethodDelete {
			t.Errorf("Diff sent %s %s to another host", r.Method, r.URL)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(other.Close)
	h := func(status int, challenge string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", challenge)
				w.WriteHeader(http.StatusUnauthorized)
			} else if r.URL.Path != "/v2/" {
				// The Location is on the other host.
				w.Header().Set("Location", other.URL+r.URL.Path)
				w.WriteHeader(status)
			}
		})
	}
	_, err := compare(t, Distribution3(), h(http.StatusTemporaryRedirect, `Basic realm="x"`), someone)
	require.NoError(t, err)
	require.Zero(t, asked.Load(), "a redirect was followed")
	_, err = compare(t, Distribution3(), h(http.StatusAccepted, `Basic realm="x"`), someone)
	require.NoError(t, err)
	require.NotZero(t, asked.Load(), "the Location of uploads was not used")
	asked.Store(0)
	_, err = compare(t, Distribution3(), h(http.StatusAccepted, `Bearer realm="`+other.URL+`/token"`), someone)
	require.ErrorContains(t, err, "is on another host and does not use HTTPS, so it gets no credentials")
	require.Zero(t, asked.Load())
	require.Zero(t, leaked.Load())

	require.False(t, trusted("http://127.0.0.1:50", &url.URL{Scheme: "http", Host: "127.0.0.1:5000"}))
}

// Diff requests a new token after the registry refuses an expired one.
func TestDiffRenewsTokens(t *testing.T) {
	t.Parallel()
	p := Quay(Repositories("probe/ocireg-*"))
	reg := registry.New(memstore.New(), p.Options()...)
	var n atomic.Int32
	results, err := compare(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") && n.Add(1)%3 == 0 {
			r.Header.Set("Authorization", "Bearer expired")
		}
		reg.ServeHTTP(w, r)
	}), p.Credentials())
	require.NoError(t, err)
	for _, r := range results {
		require.True(t, r.Holds() || r.Err != nil && strings.Contains(r.Err.Error(), "which is not below probe"), "%+v", r)
	}
}

func TestParametersOfChallenge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header, scheme string
		want           map[string]string
	}{
		{`Bearer realm="https://x/token",service="s",scope="repository:a:pull,push"`, "bearer", map[string]string{"realm": "https://x/token", "service": "s", "scope": "repository:a:pull,push"}},
		{`bearer realm=x, service = y`, "bearer", map[string]string{"realm": "x", "service": "y"}},
		{`Bearer realm="x",Basic realm="y"`, "basic", map[string]string{"realm": "y"}},
		{`Bearer realm="x",Basic realm="y"`, "bearer", map[string]string{"realm": "x"}},
		{`BASIC`, "basic", map[string]string{}},
		{`Bearer realm="Basic`, "bearer", map[string]string{}},
		{`NotBasic realm="x"`, "basic", nil},
		{``, "basic", nil},
	} {
		got, ok := parameters(c.header, c.scheme)
		require.Equal(t, c.want, got, c.header)
		require.Equal(t, c.want != nil, ok, c.header)
	}
}
