package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A faultTest is a registry behind a server with one version of HTTP. Its
// repository app has the blob faultBlob and the manifest v1.
type faultTest struct {
	*testing.T
	h2     bool
	url    string
	client *http.Client
	store  *memstore.Store

	mu        sync.Mutex      // guards fault
	fault     *registry.Fault // the fault to inject into the next request, or nil
	exchanges chan *registry.Exchange
}

var faultBlob = bytes.Repeat([]byte("0123456789abcdef"), 4096)

// bothVersions runs a test over HTTP/1.1 with and without TLS, and over HTTP/2.
func bothVersions(t *testing.T, test func(t *faultTest)) {
	for _, version := range []string{"HTTP/1.1", "HTTP/1.1 over TLS", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f := &faultTest{T: t, h2: version == "HTTP/2", store: memstore.New(), exchanges: make(chan *registry.Exchange, 100)}
			f.seed()
			var complaints bytes.Buffer
			server := httptest.NewUnstartedServer(registry.New(f.store,
				registry.WithFaults(f.next),
				registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { f.exchanges <- e })),
			))
			server.Config.ErrorLog = log.New(&complaints, "", 0)
			server.EnableHTTP2 = f.h2
			if version == "HTTP/1.1" {
				server.Start()
			} else {
				server.StartTLS()
			}
			f.url, f.client = server.URL, server.Client()
			// The client follows no redirect and, with HTTP/1.1, uses each connection
			// for one request, so that it repeats no request.
			f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			f.client.Transport.(*http.Transport).DisableKeepAlives = !f.h2
			test(f)
			server.Close()
			require.Empty(t, complaints.String(), "net/http must not log an error because of a fault")
		})
	}
}

func (t *faultTest) seed() {
	w, err := t.store.CreateBlob(t.Context(), "app", -1)
	require.NoError(t, err)
	_, err = w.Write(faultBlob)
	require.NoError(t, err)
	require.NoError(t, w.Commit(t.Context(), digest.FromBytes(faultBlob)))
	content := []byte(`{}`)
	m := registry.Manifest{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(content), Content: content}
	require.NoError(t, t.store.PutManifest(t.Context(), "app", m, []string{"v1"}, nil))
}

func (t *faultTest) next(*registry.Request) *registry.Fault {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.fault
	t.fault = nil
	return f
}

// An answered is a response with its body, as the client received it.
type answered struct {
	*http.Response
	body []byte
	err  error // the error of the request or, if it has a Response, of reading the body
}

// do sends a request and injects the fault into it.
func (t *faultTest) do(f *registry.Fault, method, path string, body io.Reader) answered {
	t.Helper()
	t.mu.Lock()
	t.fault = f
	t.mu.Unlock()
	req, err := http.NewRequestWithContext(t.Context(), method, t.url+path, body)
	require.NoError(t, err)
	resp, err := t.client.Do(req)
	if err != nil {
		return answered{err: err}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return answered{resp, content, err}
}

// requireEnded fails the test unless err is an error that a client gets when the
// connection, or the stream of HTTP/2, ends in the given way.
func (t *faultTest) requireEnded(end, err error) {
	t.Helper()
	switch {
	case t.h2:
		require.ErrorContains(t, err, "INTERNAL_ERROR")
	case end == registry.ResetConnection && runtime.GOOS != "windows":
		require.ErrorIs(t, err, syscall.ECONNRESET)
	case end == registry.ResetConnection:
		require.Error(t, err)
	default:
		require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
	}
}

func blobPath() string { return "/v2/app/blobs/" + digest.FromBytes(faultBlob).String() }

func TestFaultBefore(t *testing.T) {
	bothVersions(t, func(t *faultTest) {
		t.Run("an error is answered in place of the operation", func(*testing.T) {
			got := t.do(&registry.Fault{Before: func(*registry.Request) error {
				return &registry.Error{Code: registry.CodeTooManyRequests, Message: "slow down", Header: http.Header{"Retry-After": {"1"}}}
			}}, "PUT", "/v2/app/manifests/v2", strings.NewReader("{}"))
			require.NoError(t, got.err)
			require.Equal(t, 429, got.StatusCode)
			require.Equal(t, "1", got.Header.Get("Retry-After"))
			require.JSONEq(t, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`, string(got.body))
			_, err := t.store.StatManifest(t.Context(), "app", "v2")
			require.Error(t, err)
			e := <-t.exchanges
			require.Equal(t, 429, e.Status)
			require.NotNil(t, e.Fault)
			require.Len(t, e.Errors, 1)
			require.NoError(t, e.Err)
		})
		t.Run("a changed request is served, and recorded unchanged", func(*testing.T) {
			got := t.do(&registry.Fault{Before: func(r *registry.Request) error {
				r.Digest = digest.FromString("another")
				r.Header.Set("X-Changed", "yes")
				r.URL.RawQuery = "n=1"
				r.User, r.Scope = "anna", "repository:app:pull"
				return nil
			}}, "GET", blobPath(), nil)
			require.Equal(t, 404, got.StatusCode)
			e := <-t.exchanges
			require.Equal(t, digest.FromBytes(faultBlob), e.Request.Digest)
			require.Empty(t, e.Request.Header.Get("X-Changed"))
			require.Empty(t, e.Request.URL.RawQuery)
			require.Equal(t, "anna", e.Request.User, "Before may set the user, which the record then has")
			require.Equal(t, "repository:app:pull", e.Request.Scope)
		})
		for _, end := range []error{registry.CloseConnection, registry.ResetConnection, registry.HalfCloseConnection} {
			t.Run("ends: "+end.Error(), func(*testing.T) {
				got := t.do(&registry.Fault{Before: func(*registry.Request) error { return end }}, "GET", blobPath(), nil)
				t.requireEnded(end, got.err)
				require.Nil(t, got.Response)
				e := <-t.exchanges
				require.ErrorIs(t, e.Err, end)
				require.Zero(t, e.Status)
			})
		}
	})
}

// endAfter returns a [registry.Fault.Before] that makes the body of the request
// return the error end after n bytes.
func endAfter(n int64, end error) func(r *registry.Request) error {
	return func(r *registry.Request) error {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r.Body, n), errReader{end}), r.Body}
		return nil
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestFaultWhileReceiving(t *testing.T) {
	bothVersions(t, func(t *faultTest) {
		start := func() string {
			got := t.do(nil, "POST", "/v2/app/blobs/uploads/", nil)
			require.Equal(t, 202, got.StatusCode)
			<-t.exchanges
			return got.Header.Get("Location")
		}
		held := func(session string) string {
			got := t.do(nil, "GET", session, nil)
			require.Equal(t, 204, got.StatusCode)
			<-t.exchanges
			return got.Header.Get("Range")
		}
		for _, end := range []error{registry.CloseConnection, registry.ResetConnection} {
			session := start()
			// If the client is still sending, it may get only the error of its write,
			// and no response.
			got := t.do(&registry.Fault{Before: endAfter(7, end)}, "PATCH", session, strings.NewReader("0123456789"))
			require.Error(t, got.err)
			require.Nil(t, got.Response)
			e := <-t.exchanges
			require.ErrorIs(t, e.Err, end)
			require.Zero(t, e.Status)
			require.Empty(t, e.Errors, "the record has no errors, because none was sent")
			require.Equal(t, "0-6", held(session), "the session keeps the bytes that have arrived")
		}
		session := start()
		got := t.do(&registry.Fault{Before: endAfter(7, io.ErrUnexpectedEOF)}, "PATCH", session, strings.NewReader("0123456789"))
		require.NoError(t, got.err)
		require.Equal(t, 416, got.StatusCode)
		require.Equal(t, "0-6", got.Header.Get("Range"))
		require.Equal(t, session, got.Header.Get("Location"))
	})
}

func TestFaultLoseUpload(t *testing.T) {
	bothVersions(t, func(t *faultTest) {
		session := t.do(nil, "POST", "/v2/app/blobs/uploads/", nil).Header.Get("Location")
		got := t.do(&registry.Fault{LoseUpload: true}, "PATCH", session, strings.NewReader("0123456789"))
		require.Equal(t, 404, got.StatusCode)
		require.Contains(t, string(got.body), registry.CodeBlobUploadUnknown)
		require.Equal(t, 404, t.do(nil, "GET", session, nil).StatusCode)
	})
}

func TestFaultAfterCommit(t *testing.T) {
	refuse := func(http.ResponseWriter, *registry.Request) error {
		return &registry.Error{Code: "UNKNOWN", Status: 502, Message: "lost"}
	}
	bothVersions(t, func(t *faultTest) {
		committed := func(tag string) bool {
			_, err := t.store.StatManifest(t.Context(), "app", tag)
			return err == nil
		}
		put := func(tag, content string, f *registry.Fault) answered {
			t.mu.Lock()
			t.fault = f
			t.mu.Unlock()
			req, err := http.NewRequestWithContext(t.Context(), "PUT", t.url+"/v2/app/manifests/"+tag, strings.NewReader(content))
			require.NoError(t, err)
			req.Header.Set("Content-Type", ocispec.MediaTypeImageIndex)
			resp, err := t.client.Do(req)
			if err != nil {
				return answered{err: err}
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return answered{resp, body, err}
		}
		const index = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`

		got := put("answered", index, &registry.Fault{AfterCommit: true, Serve: refuse})
		require.NoError(t, got.err)
		require.Equal(t, 502, got.StatusCode)
		require.Empty(t, got.Header.Get("Location"), "the response has no field of the operation")
		require.Empty(t, got.Header.Get("Docker-Content-Digest"))
		require.True(t, committed("answered"))
		e := <-t.exchanges
		require.Len(t, e.Errors, 1)
		require.Equal(t, "lost", e.Errors[0].Message)

		for _, end := range []error{registry.CloseConnection, registry.ResetConnection, registry.HalfCloseConnection} {
			got = put("ended", index, &registry.Fault{AfterCommit: true, Serve: func(http.ResponseWriter, *registry.Request) error { return end }})
			t.requireEnded(end, got.err)
			require.True(t, committed("ended"))
			require.NoError(t, t.store.DeleteTag(t.Context(), "app", "ended"))
		}

		got = put("unanswered", index, &registry.Fault{AfterCommit: true})
		t.requireEnded(registry.CloseConnection, got.err)
		require.True(t, committed("unanswered"))

		got = put("failed", `{`, &registry.Fault{AfterCommit: true, Serve: refuse})
		require.NoError(t, got.err)
		require.Equal(t, 400, got.StatusCode)
		require.Contains(t, string(got.body), registry.CodeManifestInvalid)
		require.False(t, committed("failed"))
	})
}

func TestFaultHeader(t *testing.T) {
	bothVersions(t, func(t *faultTest) {
		f := func(change func(http.Header)) *registry.Fault {
			return &registry.Fault{Header: func(status int, h http.Header) int {
				change(h)
				return status
			}}
		}
		got := t.do(f(func(h http.Header) { h.Set("Docker-Content-Digest", "sha256:wrong") }), "GET", blobPath(), nil)
		require.NoError(t, got.err)
		require.Equal(t, "sha256:wrong", got.Header.Get("Docker-Content-Digest"))
		require.Equal(t, faultBlob, got.body)

		got = t.do(&registry.Fault{Header: func(int, http.Header) int { return 203 }}, "GET", blobPath(), nil)
		require.Equal(t, 203, got.StatusCode)

		for _, status := range []int{204, 304} {
			got = t.do(&registry.Fault{Header: func(int, http.Header) int { return status }}, "GET", blobPath(), nil)
			require.NoError(t, got.err, "a response with this status has no body")
			require.Equal(t, status, got.StatusCode)
			require.Empty(t, got.Header.Values("Content-Length"))
		}

		got = t.do(f(func(h http.Header) { h.Set("Content-Length", fmt.Sprint(len(faultBlob)+1)) }), "GET", blobPath(), nil)
		require.ErrorIs(t, got.err, io.ErrUnexpectedEOF, "the body is shorter than the Content-Length")
		require.Equal(t, faultBlob, got.body)

		got = t.do(f(func(h http.Header) { h.Set("Content-Length", "10") }), "GET", blobPath(), nil)
		require.NoError(t, got.err)
		require.Equal(t, faultBlob[:10], got.body, "the bytes beyond the Content-Length are not sent")

		got = t.do(f(func(h http.Header) { h.Set("Content-Length", "10") }), "HEAD", blobPath(), nil)
		require.EqualValues(t, 10, got.ContentLength)
	})
}
