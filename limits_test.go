package registry_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// With WithUploadLimit, a client can start no more sessions than permitted, until one
// ends or expires. A push in a single POST needs no session.
func TestSessionLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := inMemory(t, registry.WithUploadLimit(2), registry.WithUploadExpiry(time.Minute))
		post := func() *httptest.ResponseRecorder { return h.call("POST", "/v2/app/blobs/uploads/", "") }
		first := h.start("app")
		time.Sleep(10 * time.Second)
		second := h.start("other")
		w := h.wantError(429, post(), registry.CodeTooManyRequests)
		require.Equal(t, "50", w.Header().Get("Retry-After"))
		require.Contains(t, errorIn(t, w).Message, "all of the 2 upload sessions that the registry permits are open; finish or cancel one")
		h.wantError(429, h.call("POST", "/v2/app/blobs/uploads/?mount="+string(sum("none")), ""), registry.CodeTooManyRequests)
		h.pushBlob("app", "in a single POST")

		h.want(204, h.call("DELETE", first, ""))
		third := h.start("app")
		h.wantError(429, post(), registry.CodeTooManyRequests)
		h.want(202, h.chunk(second, 0, "abc"))
		h.want(201, h.finish(second, sum("abc"), ""))
		h.start("app")
		h.wantError(429, post(), registry.CodeTooManyRequests)

		time.Sleep(time.Minute)
		h.start("app")
		h.want(404, h.call("GET", third, ""))
	})
}

// A limit of 0 permits no upload session and no bytes.
func TestLimitOfNothing(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.WithUploadLimit(0), registry.WithUploadExpiry(time.Minute))
	w := h.wantError(429, h.call("POST", "/v2/app/blobs/uploads/", ""), registry.CodeTooManyRequests)
	require.Equal(t, "60", w.Header().Get("Retry-After"))
	h.pushBlob("app", "in a single POST")
	h = inMemory(t, registry.WithStorageLimit(0))
	h.pushBlob("app", "")
	h.wantError(507, h.call("POST", "/v2/app/blobs/uploads/?digest="+string(sum("a")), "a"), registry.CodeDenied)
}

// A session that a request is writing to does not expire. Retry-After is then
// the time until another session expires, or the whole expiry if requests are
// writing to all.
func TestSessionLimitWhileASessionIsWrittenTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := inMemory(t, registry.WithUploadLimit(2), registry.WithUploadExpiry(time.Minute))
		retryAfter := func() string {
			return h.wantError(429, h.call("POST", "/v2/app/blobs/uploads/", ""), registry.CodeTooManyRequests).Header().Get("Retry-After")
		}
		first, firstDone := h.stall(h.start("app"), "x")
		time.Sleep(time.Hour)
		location := h.start("app")
		time.Sleep(20 * time.Second)
		require.Equal(t, "40", retryAfter())
		second, secondDone := h.stall(location, "y")
		time.Sleep(time.Hour)
		require.Equal(t, "60", retryAfter())
		for body, done := range map[io.Closer]chan *httptest.ResponseRecorder{first: firstDone, second: secondDone} {
			body.Close()
			h.want(202, <-done)
		}
	})
}

// Clients can add as many bytes as WithStorageLimit permits, and more after deletions.
func TestStorageLimit(t *testing.T) {
	overStores(t, func(t *registryTest) {
		h := t.over(registry.WithStorageLimit(1000), registry.WithAnyManifest())
		full := func(w *httptest.ResponseRecorder) {
			t.Helper()
			require.Contains(t, errorIn(t.T, h.wantError(507, w, registry.CodeDenied)).Message, "of the 1000 bytes that it may store")
		}
		text := func(n int, c string) string { return strings.Repeat(c, n) }
		post := func(repo, text string) *httptest.ResponseRecorder {
			return h.call("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(sum(text)), text)
		}
		put := func(tag, text string) *httptest.ResponseRecorder {
			return h.call("PUT", "/v2/app/manifests/"+tag, text, "Content-Type", "text/plain")
		}

		// If the client announces a length that is too large, the registry refuses
		// the request before it reads the body. If the length is unknown, it refuses
		// the request while it reads.
		full(post("app", text(1001, "a")))
		location := h.start("app")
		h.want(202, h.chunk(location, 0, text(600, "b")))
		full(h.call("PATCH", location, text(401, "b"), "Transfer-Encoding", "chunked"))
		h.want(404, h.call("GET", location, ""))
		h.want(404, h.call("HEAD", "/v2/app/blobs/"+string(sum(text(600, "b"))), ""))

		// When a session has ended, by a refusal as above or by a DELETE, its bytes
		// no longer count.
		location = h.start("app")
		h.want(202, h.chunk(location, 0, text(1000, "c")))
		full(put("v1", "x"))
		h.want(204, h.call("DELETE", location, ""))
		h.want(201, post("app", text(900, "d")))
		full(post("app", text(101, "e")))
		full(put("v1", text(101, "f")))

		// A manifest that the repository already has does not count again.
		h.want(201, put("v1", text(100, "g")))
		h.want(201, put("v2", text(100, "g")))
		full(put("v3", "h"))
		h.want(202, h.call("DELETE", "/v2/app/manifests/"+string(sum(text(100, "g"))), ""))
		h.want(201, put("v1", text(50, "i")))
		h.want(201, h.call("POST", "/v2/app/blobs/uploads/?mount="+string(sum(text(900, "d")))+"&from=app", ""))
		h.want(201, post("app", text(50, "j")))
		full(post("app", "k"))

		// Deletions make room, even deletions of content that was in the store before.
		h.want(202, h.call("DELETE", "/v2/app/blobs/"+string(sum(text(900, "d"))), ""))
		full(post("app", text(901, "l")))
		t.pushBlob("app", text(500, "from before"))
		h.want(202, h.call("DELETE", "/v2/app/blobs/"+string(sum(text(500, "from before"))), ""))
		h.want(201, post("app", text(6400, "m")))
		full(post("app", "n"))
	})
}

// An upload can be closed once its bytes are accepted, even if a mount has
// exceeded the limit in the meantime.
func TestStorageLimitAtTheEndOfAnUpload(t *testing.T) {
	overStores(t, func(t *registryTest) {
		h := t.over(registry.WithStorageLimit(150))
		mounted := h.pushBlob("base", strings.Repeat("m", 70))
		location := h.start("app")
		h.want(202, h.chunk(location, 0, strings.Repeat("u", 70)))
		h.want(201, h.call("POST", "/v2/app/blobs/uploads/?mount="+string(mounted)+"&from=base", ""))
		h.want(201, h.finish(location, sum(strings.Repeat("u", 70)), ""))
	})
}

// A blob that is pushed again to the same repository counts once.
func TestStorageLimitOfTheSameBlob(t *testing.T) {
	overStores(t, func(t *registryTest) {
		h := t.over(registry.WithStorageLimit(10))
		for range 3 {
			location := h.start("app")
			h.want(202, h.chunk(location, 0, "abcde"))
			h.want(201, h.finish(location, sum("abcde"), ""))
		}
		h.pushBlob("app", "fghij")
		h.wantError(507, h.call("POST", "/v2/app/blobs/uploads/?digest="+string(sum("k")), "k"), registry.CodeDenied)
	})
}

// After many concurrent pushes and deletions, clients can add exactly as many
// bytes to the empty registry as the limit permits.
func TestStorageLimitIsExact(t *testing.T) {
	overStores(t, func(t *registryTest) {
		h := t.over(registry.WithStorageLimit(100_000), registry.WithAnyManifest())
		var all sync.WaitGroup
		for seed := range uint64(8) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(seed, 0))
				for range 50 {
					text := strings.Repeat("x", random.IntN(10))
					repo, d := fmt.Sprint("app", random.IntN(2)), string(sum(text))
					switch random.IntN(6) {
					case 0:
						h.call("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d, text)
					case 1:
						h.call("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d, "no such digest")
					case 2:
						h.call("POST", "/v2/"+repo+"/blobs/uploads/?from=app0&mount="+d, text)
					case 3:
						h.call("DELETE", "/v2/"+repo+"/blobs/"+d, "")
					case 4:
						h.call("PUT", "/v2/"+repo+"/manifests/"+d, text, "Content-Type", "text/plain")
					case 5:
						h.call("DELETE", "/v2/"+repo+"/manifests/"+d, "")
					}
				}
			})
		}
		all.Wait()
		for n := range 10 {
			for _, repo := range []string{"app0", "app1"} {
				d := string(sum(strings.Repeat("x", n)))
				h.call("DELETE", "/v2/"+repo+"/manifests/"+d, "")
				h.call("DELETE", "/v2/"+repo+"/blobs/"+d, "")
			}
		}
		h.wantError(507, h.call("PUT", "/v2/app/manifests/v1", strings.Repeat("y", 100_001), "Content-Type", "text/plain"), registry.CodeDenied)
		h.want(201, h.call("PUT", "/v2/app/manifests/v1", strings.Repeat("y", 100_000), "Content-Type", "text/plain"))
		h.wantError(507, h.call("PUT", "/v2/app/manifests/v2", "z", "Content-Type", "text/plain"), registry.CodeDenied)
	})
}

// A pausedStore waits in PutManifest until it is released, as a layout does while
// another process has the lock on it.
type pausedStore struct {
	registry.Store
	release chan struct{}
}

func (s *pausedStore) PutManifest(ctx context.Context, repo string, m registry.Manifest, tags []string, check func(string, digest.Digest) error) error {
	<-s.release
	return s.Store.PutManifest(ctx, repo, m, tags, check)
}

// While a request waits in the store, others that change the store wait for it. If
// such a request is cancelled, it ends without a change.
func TestStorageLimitWhileTheStoreWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &pausedStore{memstore.New(), make(chan struct{})}
		h := registry.New(s, registry.WithStorageLimit(100), registry.WithAnyManifest())
		put := func(ctx context.Context, tag string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "PUT", "/v2/app/manifests/"+tag, strings.NewReader("{}")))
			return w.Code
		}
		first := make(chan int)
		go func() { first <- put(t.Context(), "v1") }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, 500, put(ctx, "v2"))
		close(s.release)
		require.Equal(t, 201, <-first)
		require.Equal(t, 201, put(t.Context(), "v3"))
		_, err := s.StatManifest(t.Context(), "app", "v2")
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}
