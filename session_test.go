package registry_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// After an upload is cancelled, the session and its bytes are gone (section Cancel a
// blob upload).
func TestUploadIsCancelled(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, content := range []string{"", "x"} {
			location := t.start("app")
			t.want(202, t.call("PATCH", location, content))
			t.want(204, t.call("DELETE", location, ""))
			t.wantNoUpload(location)
			t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum("x")), ""))
		}
	})
}

func TestUnknownUpload(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, session := range []string{"x", "00000000-0000-4000-8000-000000000000", "%2E%2E", "sha256:x"} {
			t.wantNoUpload("/v2/app/blobs/uploads/" + session)
		}
		// A session of one repository is unknown in another.
		location := t.start("app")
		t.wantNoUpload(strings.Replace(location, "/app/", "/other/", 1))
		t.want(201, t.finish(location, sum("x"), "x"))
	})
}

// Upload sessions expire by the clock of package time.
func TestUploadExpires(t *testing.T) {
	for name, tt := range map[string]struct {
		options []registry.Option
		expiry  time.Duration
	}{"default": {nil, time.Hour}, "option": {[]registry.Option{registry.WithUploadExpiry(time.Minute)}, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := inMemory(t, tt.options...)
				used, unused, other := h.start("app"), h.start("app"), h.start("other")
				// Each request to a session, even a GET or a failed chunk, renews it.
				for i := range 5 {
					time.Sleep(tt.expiry - 1)
					switch i % 3 {
					case 0:
						h.want(202, h.call("PATCH", used, "x"))
					case 1:
						h.want(204, h.call("GET", used, ""))
					case 2:
						h.want(416, h.chunk(used, 100, "x"))
					}
				}
				h.wantNoUpload(unused)
				h.wantNoUpload(other)
				h.wantUpload(204, h.call("GET", used, ""), "app", 2)
				time.Sleep(tt.expiry)
				h.wantNoUpload(used)
			})
		})
	}
}

// When upload sessions have expired, the next request closes their writers.
func TestExpiredUploadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &watchedStore{Store: memstore.New()}
		h := &registryTest{t, registry.New(store), store}
		for range 3 {
			h.want(202, h.call("PATCH", h.start("app"), "x"))
		}
		time.Sleep(time.Hour)
		require.Zero(t, store.closed)
		h.start("app")
		require.Equal(t, 3, store.closed)
	})
}

// A session does not expire while it receives a body, even if that takes hours.
func TestUploadDoesNotExpireWhileItIsReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := inMemory(t)
		location := h.start("app")
		in, out := io.Pipe()
		done := make(chan int)
		go func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("PATCH", location, in)
			h.ServeHTTP(w, r)
			done <- w.Code
		}()
		io.WriteString(out, "x")
		time.Sleep(10 * time.Hour)
		h.want(202, h.call("POST", "/v2/app/blobs/uploads/", "")) // makes the registry look for expired sessions
		io.WriteString(out, "y")
		out.Close()
		require.Equal(t, 202, <-done)
		time.Sleep(time.Hour - 1)
		h.want(201, h.finish(location, sum("xy"), ""))
	})
}

// stall starts a PATCH and writes content to its body, and leaves the body open.
// It returns the open body and a channel for the response.
func (t *registryTest) stall(location, content string) (body *io.PipeWriter, done chan *httptest.ResponseRecorder) {
	in, body := io.Pipe()
	done = make(chan *httptest.ResponseRecorder, 1)
	go func() {
		w := httptest.NewRecorder()
		t.ServeHTTP(w, httptest.NewRequest("PATCH", location, in))
		done <- w
	}()
	_, err := io.WriteString(body, content)
	require.NoError(t, err)
	// When the registry reads again, it has read the content.
	body.Write(nil)
	return body, done
}

// While a request writes to a session, another request cannot write to it, but
// it can get its status. Other sessions are not affected.
func TestOneRequestAtATimeWritesToASession(t *testing.T) {
	overStores(t, func(t *registryTest) {
		location := t.start("app")
		body, done := t.stall(location, "01234")
		t.wantUpload(204, t.call("GET", location, ""), "app", 5)
		for _, a := range []*httptest.ResponseRecorder{
			t.call("PATCH", location, "x"), t.chunk(location, 5, "x"), t.finish(location, sum("x"), "x"), t.finish(location, sum("01234"), ""),
		} {
			t.wantError(416, a, registry.CodeBlobUploadInvalid)
			require.Equal(t, location, t.wantUpload(416, a, "app", 5), "the response names the session, so the client can continue")
		}
		t.wantError(400, t.call("DELETE", location, ""), registry.CodeBlobUploadInvalid)
		// A request to another session does not wait.
		t.want(201, t.finish(t.start("app"), sum("y"), "y"))
		t.wantPulled("/v2/app/blobs/"+string(sum("y")), "y")
		t.pushImage("app", "v1")

		io.WriteString(body, "56789")
		body.Close()
		require.Equal(t, location, t.wantUpload(202, <-done, "app", 10))
		t.want(201, t.finish(location, sum("0123456789"), ""))
	})
}

func TestOneOfManyWritersToASessionWins(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for range 20 {
			location := t.start("app")
			var codes [8]int
			var all sync.WaitGroup
			for i := range codes {
				all.Go(func() { codes[i] = t.chunk(location, 0, "0123456789").Code })
			}
			all.Wait()
			won := 0
			for _, code := range codes {
				if code == 202 {
					won++
				} else {
					require.Contains(t, []int{409, 416}, code)
				}
			}
			require.Equal(t, 1, won)
			t.want(201, t.finish(location, sum("0123456789"), ""))
		}
	})
}

// If the body of a chunk ends early, the registry keeps the bytes that have
// arrived, and the client can continue after them.
func TestUploadIsResumed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		location := t.start("app")
		body, done := t.stall(location, content[:4])
		body.CloseWithError(errors.New("gone"))
		t.wantUpload(416, <-done, "app", 4)
		t.wantUpload(204, t.call("GET", location, ""), "app", 4)
		t.want(416, t.chunk(location, 0, content))
		t.want(202, t.chunk(location, 4, content[4:]))
		t.want(201, t.finish(location, sum(content), ""))
		t.wantPulled("/v2/app/blobs/"+string(sum(content)), content)
	})
}

// If the client disconnects from the network in the middle of a chunk, it can
// continue after the bytes that have arrived.
func TestUploadIsResumedWhenTheClientComesBack(t *testing.T) {
	t.Parallel()
	for _, s := range stores {
		for _, length := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
			t.Run(s.name+"/"+length, func(t *testing.T) {
				t.Parallel()
				ended := make(chan *registry.Exchange, 10)
				store := s.open(t)
				h := &registryTest{t, registry.New(store, registry.WithRecorder(registry.RecorderFunc(func(e *registry.Exchange) { ended <- e }))), store}
				server := httptest.NewServer(h)
				t.Cleanup(server.Close)
				const content = "0123456789"
				location := h.start("app")
				<-ended

				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				require.NoError(t, err)
				sent := content[:4]
				if length != "Content-Length: 10" {
					sent = "4\r\n" + sent + "\r\n"
				}
				fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: registry\r\nContent-Range: 0-9\r\n%s\r\n\r\n%s", location, length, sent)
				require.NoError(t, conn.Close())
				e := <-ended
				require.Equal(t, registry.PatchUpload, e.Request.Op)
				require.EqualValues(t, 4, e.BytesIn)

				h.wantUpload(204, h.call("GET", location, ""), "app", 4)
				h.want(202, h.chunk(location, 4, content[4:]))
				h.want(201, h.finish(location, sum(content), ""))
				h.wantPulled("/v2/app/blobs/"+string(sum(content)), content)
			})
		}
	}
}

// If the body of a closing PUT or of a single POST ends early, the registry stores
// no blob. After a PUT, the client can continue.
func TestBrokenOffPutStoresNothing(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		location := t.start("app")
		r := httptest.NewRequest("PUT", location+"?digest="+string(sum(content[:4])), io.MultiReader(strings.NewReader(content[:4]), broken{}))
		w := httptest.NewRecorder()
		t.ServeHTTP(w, r)
		t.wantUpload(416, w, "app", 4)
		t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum(content[:4])), ""))
		t.want(201, t.finish(location, sum(content), content[4:], "Content-Range", "4-9"))

		r = httptest.NewRequest("POST", "/v2/app/blobs/uploads/?digest="+string(sum("xx")), io.MultiReader(strings.NewReader("xx"), broken{}))
		r.ContentLength = -1
		w = httptest.NewRecorder()
		t.ServeHTTP(w, r)
		t.wantError(400, w, registry.CodeBlobUploadInvalid)
		t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum("xx")), ""))
	})
}

// A broken is a body that fails at its first read.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
