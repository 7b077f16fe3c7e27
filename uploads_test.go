package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// wantUpload fails the test unless the response has the location of the upload
// and says that size bytes have arrived.
func (t *registryTest) wantUpload(status int, a *httptest.ResponseRecorder, repo string, size int) string {
	t.Helper()
	t.want(status, a)
	location := a.Header().Get("Location")
	require.Regexp(t, `^/v2/`+repo+`/blobs/uploads/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, location)
	require.Equal(t, location[strings.LastIndex(location, "/")+1:], a.Header().Get("Docker-Upload-UUID"))
	require.Equal(t, fmt.Sprintf("0-%d", max(size-1, 0)), a.Header().Get("Range"))
	return location
}

// finish ends an upload.
func (t *registryTest) finish(location string, d digest.Digest, rest string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return t.call("PUT", location+"?digest="+url.QueryEscape(string(d)), rest, header...)
}

// wantNoUpload fails the test unless the session is unknown.
func (t *registryTest) wantNoUpload(location string) {
	t.Helper()
	t.wantError(404, t.call("GET", location, ""), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.call("PATCH", location, "x"), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.chunk(location, 0, "x"), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.finish(location, sum("x"), "x"), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.call("DELETE", location, ""), registry.CodeBlobUploadUnknown)
}

// POST then PUT.
func TestUploadAtOnce(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, path := range []string{"/v2/team/app/blobs/uploads/", "/v2/team/app/blobs/uploads"} {
			for _, content := range []string{"", "hello", strings.Repeat("large", 100_000)} {
				a := t.call("POST", path, "")
				location := t.wantUpload(202, a, "team/app", 0)
				require.Equal(t, "0", a.Header().Get("Content-Length"))
				require.Empty(t, a.Header().Get("OCI-Chunk-Min-Length"))
				d := sum(content)
				a = t.want(201, t.finish(location, d, content, "Content-Type", "application/octet-stream"))
				require.Equal(t, "/v2/team/app/blobs/"+string(d), a.Header().Get("Location"))
				require.Equal(t, string(d), a.Header().Get("Docker-Content-Digest"))
				require.Equal(t, "0", a.Header().Get("Content-Length"))
				t.wantPulled("/v2/team/app/blobs/"+string(d), content)
				t.wantNoUpload(location)
			}
		}
	})
}

// Pushing a blob in chunks: with and without a last chunk in the PUT, and as a
// stream without Content-Range.
func TestUploadInChunks(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		d := sum(content)
		blob := "/v2/app/blobs/" + string(d)
		for _, tt := range []struct{ chunks, last string }{
			{"5,5", ""}, {"5", "5"}, {"1,1,1,1,1,1,1,1,1,1", ""}, {"9", "1"}, {"", "10"}, {"10", ""},
		} {
			for _, ranged := range []bool{true, false} {
				location := t.start("app")
				sent := 0
				for size := range strings.SplitSeq(tt.chunks, ",") {
					n, _ := strconv.Atoi(size)
					if n == 0 {
						continue
					}
					var header []string
					if ranged {
						header = []string{"Content-Range", fmt.Sprintf("%d-%d", sent, sent+n-1)}
					}
					a := t.call("PATCH", location, content[sent:sent+n], header...)
					sent += n
					require.Equal(t, location, t.wantUpload(202, a, "app", sent))
					require.Equal(t, "0", a.Header().Get("Content-Length"))
					require.Equal(t, location, t.wantUpload(204, t.call("GET", location, ""), "app", sent))
					t.wantUpload(204, t.call("HEAD", location, ""), "app", sent)
				}
				var header []string
				if ranged && tt.last != "" {
					header = []string{"Content-Range", fmt.Sprintf("%d-%d", sent, len(content)-1)}
				}
				t.want(404, t.call("GET", blob, ""))
				t.want(201, t.finish(location, d, content[sent:], header...))
				t.wantPulled(blob, content)
				t.wantNoUpload(location)
				t.want(202, t.call("DELETE", blob, ""))
			}
		}
	})
}

// A chunk out of order is 416, and the response says where to continue.
func TestChunkOutOfOrder(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		location := t.start("app")
		refused := func(a *httptest.ResponseRecorder, size int) {
			t.Helper()
			t.wantError(416, a, registry.CodeBlobUploadInvalid)
			require.Equal(t, location, t.wantUpload(416, a, "app", size))
		}
		refused(t.chunk(location, 1, "1"), 0)
		t.want(202, t.chunk(location, 0, content[:4]))
		for _, first := range []int{0, 3, 5, 100} {
			refused(t.chunk(location, first, "4"), 4)
			refused(t.finish(location, sum(content), "4", "Content-Range", fmt.Sprintf("%d-%d", first, first)), 4)
		}
		t.want(202, t.chunk(location, 4, content[4:]))
		t.want(201, t.finish(location, sum(content), ""))
		t.wantPulled("/v2/app/blobs/"+string(sum(content)), content)
	})
}

func TestContentRangeMustBeOne(t *testing.T) {
	overStores(t, func(t *registryTest) {
		location := t.start("app")
		for _, header := range []string{
			"bytes 0-4/5", "bytes=0-4", "0-4/5", "0-", "-4", "0", "4-0", "a-b", "0 - 4", "+0-4", "0--4", "0-99999999999999999999", "0-4,5-9", "0-4-",
		} {
			// Docker Registry HTTP API V2, PATCH Blob Upload: 416 if "it is invalid".
			for _, a := range []*httptest.ResponseRecorder{
				t.call("PATCH", location, "01234", "Content-Range", header), t.finish(location, sum("01234"), "01234", "Content-Range", header),
			} {
				t.wantError(416, a, registry.CodeBlobUploadInvalid)
				t.wantUpload(416, a, "app", 0)
			}
		}
		for _, header := range []string{"0-3", "0-5", "0-9223372036854775807"} {
			t.wantError(400, t.call("PATCH", location, "01234", "Content-Range", header), registry.CodeSizeInvalid)
		}
		// The registry has not stored any of it.
		t.wantUpload(204, t.call("GET", location, ""), "app", 0)
		t.want(202, t.call("PATCH", location, "01234", "Content-Range", "0-4"))
		t.want(201, t.finish(location, sum("01234"), ""))
	})
}

// If the body does not have the length in its Content-Range, the registry
// notices after it has arrived. The session cannot be continued then.
func TestBodyIsNotAsLongAsItsContentRange(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, body := range []string{"0123", "012345"} {
			location := t.start("app")
			r := httptest.NewRequest("PATCH", location, strings.NewReader(body))
			r.ContentLength = -1
			r.Header.Set("Content-Range", "0-4")
			w := httptest.NewRecorder()
			t.ServeHTTP(w, r)
			t.wantError(400, w, registry.CodeSizeInvalid)
			t.wantNoUpload(location)
			t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum(body)), ""))
		}
	})
}

func TestContentOfAnotherDigestIsNotStored(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, chunks := range []bool{true, false} {
			location, rest := t.start("app"), "content"
			if chunks {
				t.want(202, t.chunk(location, 0, rest))
				rest = ""
			}
			t.wantError(400, t.finish(location, sum("other"), rest), registry.CodeDigestInvalid)
			for _, content := range []string{"other", "content"} {
				t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum(content)), ""))
			}
			t.wantNoUpload(location)
		}
		// A malformed digest leaves the session as it is.
		location := t.start("app")
		for _, d := range []digest.Digest{"", "x", "sha256:x", "md5:9a0364b9e99bb480dd25e1f0284c8555", "sha256-" + digest.Digest(sum("x").Encoded())} {
			t.wantError(400, t.finish(location, d, "content"), registry.CodeDigestInvalid)
		}
		t.wantError(400, t.call("PUT", location, "content"), registry.CodeDigestInvalid)
		t.wantUpload(204, t.call("GET", location, ""), "app", 0)
		t.want(201, t.finish(location, sum("content"), "content"))
	})
}

func TestUploadWithOtherAlgorithms(t *testing.T) {
	overStores(t, func(t *registryTest) {
		content := strings.Repeat("content", 10_000)
		half := len(content) / 2
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			d := algorithm.FromString(content)
			for _, announced := range []string{"", "?digest-algorithm=sha256", "?digest-algorithm=sha384", "?digest-algorithm=sha512"} {
				for _, chunked := range []bool{true, false} {
					location := t.want(202, t.call("POST", "/v2/app/blobs/uploads/"+announced, "")).Header().Get("Location")
					rest := content
					if chunked {
						t.want(202, t.chunk(location, 0, content[:half]))
						rest = content[half:]
					}
					a := t.want(201, t.finish(location, d, rest))
					require.Equal(t, string(d), a.Header().Get("Docker-Content-Digest"))
					t.wantPulled("/v2/app/blobs/"+string(d), content)
					t.want(202, t.call("DELETE", "/v2/app/blobs/"+string(d), ""))
				}
			}
			location := t.start("app")
			t.want(202, t.chunk(location, 0, content))
			t.wantError(400, t.finish(location, algorithm.FromString("other"), ""), registry.CodeDigestInvalid)
		}
		for _, algorithm := range []string{"md5", "sha1", "SHA256", "sha256%3A"} {
			t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest-algorithm="+algorithm, ""), registry.CodeDigestInvalid)
		}
	})
}

// OCI-Chunk-Min-Length.
func TestMinimumOfChunks(t *testing.T) {
	overStores(t, func(t *registryTest) {
		start := func() string {
			a := t.want(202, t.call("POST", "/v2/app/blobs/uploads/", ""))
			require.Equal(t, "5", a.Header().Get("OCI-Chunk-Min-Length"))
			return a.Header().Get("Location")
		}
		// The last chunk may be shorter, also if it is the only one.
		location := start()
		t.want(202, t.chunk(location, 0, "01234"))
		t.want(202, t.chunk(location, 5, "567890"))
		t.want(202, t.chunk(location, 11, "1"))
		t.want(201, t.finish(location, sum("012345678901"), ""))
		location = start()
		t.want(202, t.chunk(location, 0, "01234"))
		t.want(201, t.finish(location, sum("012345"), "5", "Content-Range", "5-5"))
		t.want(201, t.finish(start(), sum("0"), "0"))

		// A chunk after a short one is an error.
		for _, finish := range []bool{true, false} {
			for _, header := range [][]string{{"Content-Range", "3-7"}, nil} {
				location = start()
				t.want(202, t.chunk(location, 0, "012"))
				if finish {
					t.wantError(400, t.finish(location, sum("01234567"), "34567", header...), registry.CodeSizeInvalid)
				} else {
					t.wantError(400, t.call("PATCH", location, "34567", header...), registry.CodeSizeInvalid)
				}
				// A closing PUT can still follow.
				t.wantUpload(204, t.call("GET", location, ""), "app", 3)
				t.want(201, t.finish(location, sum("012"), ""))
			}
		}
		// For a chunk out of order, the response is 416 in any case.
		location = start()
		t.want(202, t.chunk(location, 0, "012"))
		t.want(416, t.chunk(location, 0, "01234"))

		// The client may send the rest of a chunk that broke off.
		location = start()
		t.want(202, t.chunk(location, 0, "01234"))
		r := httptest.NewRequest("PATCH", location, io.MultiReader(strings.NewReader("5"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		r.Header.Set("Content-Range", "5-7")
		w := httptest.NewRecorder()
		t.ServeHTTP(w, r)
		t.wantUpload(416, w, "app", 6)
		t.want(202, t.chunk(location, 6, "67"))
		t.want(201, t.finish(location, sum("01234567"), ""))
	}, registry.WithMinChunk(5))
}

// Cancel a blob upload.
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
		// A session belongs to its repository.
		location := t.start("app")
		t.wantNoUpload(strings.Replace(location, "/app/", "/other/", 1))
		t.want(201, t.finish(location, sum("x"), "x"))
	})
}

// The clock of an upload's expiry is that of package time.
func TestUploadExpires(t *testing.T) {
	for name, tt := range map[string]struct {
		options []registry.Option
		expiry  time.Duration
	}{"default": {nil, time.Hour}, "option": {[]registry.Option{registry.WithUploadExpiry(time.Minute)}, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := inMemory(t, tt.options...)
				used, unused, other := h.start("app"), h.start("app"), h.start("other")
				// Each request renews the session, also GET of its status.
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

// The next request discards expired uploads.
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

// A session does not expire while it receives a body, however long that takes.
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
		h.want(202, h.call("POST", "/v2/app/blobs/uploads/", "")) // expires the idle sessions
		io.WriteString(out, "y")
		out.Close()
		require.Equal(t, 202, <-done)
		time.Sleep(time.Hour - 1)
		h.want(201, h.finish(location, sum("xy"), ""))
	})
}

// stall starts a PATCH whose body ends only when the test says so.
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
	// The bytes have arrived when the registry reads on.
	body.Write(nil)
	return body, done
}

// While one request writes to a session, another request cannot write to it but
// can get its status. Other sessions are not affected.
func TestOneRequestAtATimeWritesToASession(t *testing.T) {
	overStores(t, func(t *registryTest) {
		location := t.start("app")
		body, done := t.stall(location, "01234")
		t.wantUpload(204, t.call("GET", location, ""), "app", 5)
		for _, a := range []*httptest.ResponseRecorder{
			t.call("PATCH", location, "x"), t.chunk(location, 5, "x"), t.finish(location, sum("x"), "x"), t.finish(location, sum("01234"), ""),
		} {
			t.wantError(416, a, registry.CodeBlobUploadInvalid)
			require.Equal(t, location, t.wantUpload(416, a, "app", 5), "the client can go on")
		}
		t.wantError(400, t.call("DELETE", location, ""), registry.CodeBlobUploadInvalid)
		// Other sessions do not wait.
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

// If a body breaks off, the registry keeps the bytes that have arrived.
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

// The same over a network: the client disconnects in the middle of a chunk.
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

// A monolithic PUT that breaks off stores no blob and can be resumed.
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

// broken is a body that breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Real clients use the Locations of the responses, which may be on another
// host.
func TestUploadOverANetwork(t *testing.T) {
	overStores(t, func(t *registryTest) {
		server := httptest.NewServer(t)
		t.Cleanup(server.Close)
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		d := sum(content)
		a, err := server.Client().Post(server.URL+"/v2/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		a.Body.Close()
		location, err := a.Location()
		require.NoError(t, err)
		// As Docker does: a stream of unknown length.
		for half := range 2 {
			r, err := http.NewRequest("PATCH", location.String(), unknownLength{bytes.NewReader(content[half*len(content)/2 : (half+1)*len(content)/2])})
			require.NoError(t, err)
			a, err = server.Client().Do(r)
			require.NoError(t, err)
			a.Body.Close()
			require.Equal(t, 202, a.StatusCode)
			location, err = a.Location()
			require.NoError(t, err)
		}
		location.RawQuery = "digest=" + string(d)
		r, err := http.NewRequest("PUT", location.String(), nil)
		require.NoError(t, err)
		a, err = server.Client().Do(r)
		require.NoError(t, err)
		a.Body.Close()
		require.Equal(t, 201, a.StatusCode)
		require.True(t, bytes.Equal(content, t.call("GET", "/v2/app/blobs/"+string(d), "").Body.Bytes()))
	})
}
