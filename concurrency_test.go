package registry_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// Many clients use the same repositories at once. No response has a status of
// 500 or above, and all tagged manifests and their referrers can be pulled in
// the end.
func TestManyClientsAtOnce(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const clients, steps = 8, 60
		repos := []string{"a", "a/b", "c"}
		manifests := make([]string, 4)
		for i := range manifests {
			for _, repo := range repos {
				manifests[i] = t.image(repo, annotated(fmt.Sprint(i)))
			}
		}
		var all sync.WaitGroup
		failures := make(chan string, clients*steps)
		for client := range clients {
			random := rand.New(rand.NewPCG(uint64(client), 42))
			all.Go(func() {
				call := func(method, target, body string, header ...string) *httptest.ResponseRecorder {
					a := t.call(method, target, body, header...)
					if a.Code >= 500 {
						failures <- fmt.Sprintf("%s %s: %d %s", method, target, a.Code, a.Body)
					}
					return a
				}
				for range steps {
					repo := "/v2/" + repos[random.IntN(len(repos))]
					m := manifests[random.IntN(len(manifests))]
					tag := fmt.Sprintf("%s/manifests/v%d", repo, random.IntN(3))
					content := fmt.Sprintf("content %d", random.IntN(5))
					blob := repo + "/blobs/" + string(sum(content))
					switch random.IntN(13) {
					case 0:
						call("PUT", tag, m, "Content-Type", imageType)
					case 1:
						call("PUT", repo+"/manifests/"+string(sum(m))+"?tag=x&tag=y", m, "Content-Type", imageType)
					case 2:
						call("DELETE", tag, "")
					case 3:
						call("DELETE", repo+"/manifests/"+string(sum(m)), "")
					case 4:
						if a := call("GET", tag, ""); a.Code == 200 && string(sum(a.Body.Bytes())) != a.Header().Get("Docker-Content-Digest") {
							failures <- tag + " does not match its digest"
						}
					case 5:
						call("POST", repo+"/blobs/uploads/?digest="+string(sum(content)), content)
					case 6:
						location := call("POST", repo+"/blobs/uploads/", "").Header().Get("Location")
						call("PATCH", location, content[:4])
						if random.IntN(2) == 0 {
							call("GET", location, "")
							call("DELETE", location, "")
						} else {
							call("PUT", location+"?digest="+string(sum(content)), content[4:])
						}
					case 7:
						if a := call("GET", blob, ""); a.Code == 200 && a.Body.String() != content {
							failures <- blob + " does not match its digest"
						}
					case 8:
						call("DELETE", blob, "")
					case 9:
						call("POST", "/v2/"+repos[random.IntN(len(repos))]+"/blobs/uploads/?mount="+string(sum(content)), "")
					case 10:
						call("GET", repo+"/tags/list?n=2", "")
					case 11:
						call("GET", "/v2/_catalog?n=2", "")
					case 12:
						r := strings.Replace(m, `"schemaVersion"`, `"subject":`+toJSON(t, describe(imageType, manifests[0]))+`,"schemaVersion"`, 1)
						call("PUT", repo+"/manifests/"+string(sum(r)), r, "Content-Type", imageType)
						call("GET", repo+"/referrers/"+string(sum(manifests[0])), "")
					}
				}
			})
		}
		all.Wait()
		close(failures)
		for failure := range failures {
			t.Error(failure)
		}
		t.wantConsistent()
	})
}

// The handler starts no goroutine that outlives a request. Otherwise,
// synctest.Test would fail, because it waits for all goroutines of the bubble.
func TestNoGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := inMemory(t, registry.WithRecorder(registry.RecorderFunc(func(*registry.Exchange) {})))
		h.pushImage("app", "v1")
		blob := "/v2/app/blobs/" + string(h.pushBlob("app", strings.Repeat("x", 1<<20)))
		for _, r := range [][2]string{{"GET", ""}, {"GET", "bytes=0-9,20-29"}, {"GET", "bytes=5-"}, {"HEAD", "bytes=0-1"}, {"DELETE", ""}} {
			h.call(r[0], blob, "", "Range", r[1])
		}
		// The client disconnects in the middle of the response.
		blob = "/v2/app/blobs/" + string(h.pushBlob("app", strings.Repeat("y", 1<<20)))
		for _, header := range []string{"", "bytes=5-", "bytes=0-99999,200000-299999"} {
			r := httptest.NewRequest("GET", blob, nil)
			r.Header.Set("Range", header)
			require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(&gone{header: make(http.Header)}, r) })
		}
		h.start("app")
		h.chunk(h.start("app"), 0, "x")
		body, done := h.stall(h.start("app"), "x")
		body.CloseWithError(io.ErrUnexpectedEOF)
		<-done
	})
}

// A gone is the response writer for a client that disconnects after 1000 bytes.
type gone struct {
	header http.Header
	sent   int
}

func (g *gone) Header() http.Header { return g.header }
func (g *gone) WriteHeader(int)     {}

func (g *gone) Write(p []byte) (int, error) {
	if g.sent += len(p); g.sent > 1000 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// If two handlers share a store, each has its own upload sessions. A blob that a
// client pushes to one of them can be pulled from the other.
func TestHandlersOverOneStore(t *testing.T) {
	overStores(t, func(t *registryTest) {
		other := t.over(registry.WithMinChunk(100))
		location := t.start("app")
		other.wantNoUpload(location)
		t.want(201, t.finish(location, sum("x"), "x"))
		other.wantPulled("/v2/app/blobs/"+string(sum("x")), "x")
	})
}
