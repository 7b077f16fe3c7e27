package upstream_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/upstream"
)

// If an upstream sends a broken blob or an error, no client gets a complete blob, and
// the Store keeps nothing. The next good response is kept. Clients get a 429 or 503 with
// its Retry-After, and 403 instead of 401.
func TestPoisonedBlobs(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]fault.Rule{
		"another byte":             fault.On(registry.GetBlob).Corrupt(100),
		"cut":                      fault.On(registry.GetBlob).Close(fault.AtByte(3 << 10)),
		"reset":                    fault.On(registry.GetBlob).Reset(fault.AtByte(3 << 10)),
		"truncated, as announced":  fault.On(registry.GetBlob).ContentLength(-1000),
		"compressed":               fault.On(registry.GetBlob).SetHeader("Content-Encoding", "gzip"),
		"a page":                   fault.On(registry.GetBlob).Status(200).Body(fault.Text("<html>")),
		"accepted":                 fault.On(registry.GetBlob).Status(202),
		"too many requests":        fault.On(registry.GetBlob).Status(429).RetryAfter(7 * time.Second),
		"refused":                  fault.On(registry.GetBlob).Status(401),
		"a broken upstream":        fault.On(registry.GetBlob).Status(500),
		"an upstream at its limit": fault.On(registry.GetBlob).Status(503).RetryAfter(7 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := registrytest.NewServer(t, registrytest.WithInMemory())
			image := up.Push(t, "app:v1", content.Image(content.LayerSizes(8<<10)))
			layer := image.Layers[0]
			local := memstore.New()
			front := record(t, local, remote(up, "up.test"))
			// The fault affects all requests until it is removed, because an
			// HTTP client may repeat a request by itself.
			f := up.Fault(t, rule)
			for range 2 {
				r := get(t, front.Server, "/v2/app/blobs/"+string(layer.Digest))
				if r.Err == nil {
					require.NotEqual(t, 200, r.Status, r.Body)
				} else {
					require.Less(t, len(r.Body), 8<<10)
				}
				switch {
				case strings.Contains(name, "too many"):
					require.Equal(t, 429, r.Status)
					require.Equal(t, "7", r.Header.Get("Retry-After"))
				case strings.Contains(name, "limit"):
					require.Equal(t, 503, r.Status)
					require.Equal(t, "7", r.Header.Get("Retry-After"))
				case name == "refused":
					require.Equal(t, 403, r.Status)
				}
				_, err := local.StatBlob(t.Context(), "app", layer.Digest)
				require.ErrorIs(t, err, fs.ErrNotExist)
			}
			f.Remove()
			r := get(t, front.Server, "/v2/app/blobs/"+string(layer.Digest))
			require.NoError(t, r.Err)
			require.Equal(t, 200, r.Status)
			require.Equal(t, layer.Digest, digest.FromString(r.Body))
			_, err := local.StatBlob(t.Context(), "app", layer.Digest)
			require.NoError(t, err, "the good response is kept")
		})
	}
}

// If an upstream sends an error, or a broken manifest or list, the client gets an error,
// and the Store keeps nothing. The next good response is served.
func TestPoisonedManifests(t *testing.T) {
	t.Parallel()
	index := content.Index(content.Image())
	for name, c := range map[string]struct {
		rule   fault.Rule
		status int
	}{
		"another byte":        {fault.On(registry.GetManifest).Corrupt(3), 502},
		"cut":                 {fault.On(registry.GetManifest).Close(fault.AtByte(30)), 502},
		"another digest":      {fault.On(registry.GetManifest).SetHeader("Docker-Content-Digest", string(digest.FromString("x"))), 502},
		"no digest at all":    {fault.On(registry.GetManifest).SetHeader("Docker-Content-Digest", "../../x"), 502},
		"compressed":          {fault.On(registry.GetManifest).SetHeader("Content-Encoding", "gzip"), 502},
		"a page":              {fault.On(registry.GetManifest).Status(200).Body(fault.Text("<html>")).SetHeader("Content-Type", "text/html"), 502},
		"another type":        {fault.On(registry.GetManifest).SetHeader("Content-Type", "application/vnd.oci.image.manifest.v1+json"), 502},
		"no type":             {fault.On(registry.GetManifest).SetHeader("Content-Type", ";"), 502},
		"too many requests":   {fault.On(registry.GetManifest).Status(429), 429},
		"a broken upstream":   {fault.On(registry.GetManifest).Status(500), 502},
		"no tags, but a page": {fault.On(registry.ListTags).Status(200).Body(fault.Text("<html>")), 502},
		"tags at their limit": {fault.On(registry.ListTags).Status(429), 429},
		"an endless list":     {fault.On(registry.ListTags).AddHeader("Link", `</v2/app/tags/list>; rel="next"`), 502},
		"a list elsewhere":    {fault.On(registry.ListTags).AddHeader("Link", `<http://evil.test/v2/app/tags/list>; rel="next"`), 502},
		"refused referrers":   {fault.On(registry.ListReferrers).Status(403), 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := registrytest.NewServer(t, registrytest.WithInMemory())
			up.Push(t, "app:v1", index)
			local := memstore.New()
			front := record(t, local, remote(up, "up.test"))
			up.Fault(t, c.rule.Once())
			target := "/v2/app/manifests/v1"
			if strings.Contains(c.rule.String(), "list-tags") {
				target = "/v2/app/tags/list"
			} else if strings.Contains(c.rule.String(), "list-referrers") {
				target = "/v2/app/referrers/" + string(index.Digest)
			}
			r := get(t, front.Server, target)
			require.NoError(t, r.Err)
			require.Equal(t, c.status, r.Status, r.Body)
			for repo := range local.Repositories(t.Context(), "") {
				require.Fail(t, "the local store keeps content in "+repo)
			}
			require.Equal(t, 200, get(t, front.Server, target).Status)
		})
	}
}

// Many clients share one request to the upstream for a blob. If one of them
// disconnects in the middle of a blob, the others still get it.
func TestClientsShareABlob(t *testing.T) {
	t.Parallel()
	const clients, blobs = 64, 4
	up := registrytest.NewServer(t)
	image := up.Push(t, "app:v1", content.Image(content.LayerSizes(300<<10, 300<<10, 300<<10, 300<<10)))
	front := record(t, memstore.New(), remote(up, "up.test"))
	var all sync.WaitGroup
	var whole atomic.Int64
	for i := range clients {
		all.Go(func() {
			for k := range blobs {
				layer := image.Layers[(i+k)%blobs]
				resp, err := front.Client().Get(front.URL + "/v2/app/blobs/" + string(layer.Digest))
				if err != nil {
					t.Error(err)
					return
				}
				if i == k {
					io.CopyN(io.Discard, resp.Body, 1000)
					resp.Body.Close()
					continue
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || digest.FromBytes(text) != layer.Digest {
					t.Errorf("client %d did not get the whole blob, but %d bytes: %v", i, len(text), err)
				}
				whole.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, clients*blobs-blobs, whole.Load())
	require.Equal(t, blobs, up.Requests().Op(registry.GetBlob).Len())
}

// The request to the upstream, and its goroutine, end when the last client that
// waits for the blob disconnects.
func TestLastClientEndsTheRequest(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t)
	image := up.Push(t, "app:v1", content.Image(content.LayerSizes(1<<20)))
	layer := image.Layers[0]
	store, err := upstream.Open(memstore.New(), remote(up, "up.test"))
	require.NoError(t, err)
	defer store.Close()
	up.Fault(t, fault.On(registry.GetBlob).Stall(1000))
	r, err := store.OpenBlob(t.Context(), "app", layer.Digest)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	require.NotContains(t, string(stacks), "fetchBlob")
}

// The Store does not pass on header fields of clients, such as credentials.
// Requests that differ only in their header cause one request to the upstream.
func TestClientsCredentialsStay(t *testing.T) {
	t.Parallel()
	up := registrytest.NewServer(t, registrytest.WithInMemory())
	up.Push(t, "app:v1", content.Image())
	front := record(t, memstore.New(), remote(up, "up.test", upstream.User("u", "p")))
	for _, accept := range []string{"application/vnd.oci.image.manifest.v1+json", "*/*", "x/y"} {
		r := get(t, front.Server, "/v2/app/manifests/v1", "Authorization", "Bearer secret", "Cookie", "a=secret", "X-Meta", "secret", "Accept", accept)
		require.Equal(t, 200, r.Status)
	}
	seen := up.Requests()
	require.Equal(t, 1, seen.Len())
	require.NotContains(t, fmt.Sprint(seen.Records()[0].RequestHeader), "secret")
}

// The path or the parameter ns of a request selects the upstream. The first
// upstream is the default. A request with an unknown ns gets 404, and a push 405.
func TestNames(t *testing.T) {
	t.Parallel()
	hub, other := registrytest.NewServer(t, registrytest.WithInMemory()), registrytest.NewServer(t, registrytest.WithInMemory())
	a := hub.Push(t, "library/app:v1", content.Image(content.Layers(1)))
	b := other.Push(t, "app:v1", content.Image(content.Layers(2)))
	front := record(t, memstore.New(), remote(hub, "index.docker.io"), remote(other, "other.test"))
	for target, want := range map[string]string{
		"/v2/app/manifests/v1":                      string(a.Manifest),
		"/v2/library/app/manifests/v1":              string(a.Manifest),
		"/v2/docker.io/library/app/manifests/v1":    string(a.Manifest),
		"/v2/library/app/manifests/v1?ns=docker.io": string(a.Manifest),
		"/v2/other.test/app/manifests/v1":           string(b.Manifest),
		"/v2/app/manifests/v1?ns=other.test":        string(b.Manifest),
		"/v2/app/manifests/v1?ns=" + front.Host():   string(a.Manifest),
	} {
		r := get(t, front.Server, target)
		require.Equal(t, want, r.Body, target)
	}
	r := get(t, front.Server, "/v2/app/manifests/v1?ns=evil.test")
	require.Equal(t, 404, r.Status)
	require.Contains(t, r.Body, "evil.test is not an upstream of this registry")
	var repos []string
	for repo, err := range front.store.Repositories(t.Context(), "") {
		require.NoError(t, err)
		repos = append(repos, repo)
	}
	require.Equal(t, []string{"library/app", "other.test/app"}, repos)
	require.Equal(t, http.StatusMethodNotAllowed, func() int {
		resp, err := front.Client().Post(front.URL+"/v2/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}())
}

// A refreshed tag is requested from the upstream again, but only once.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for refresh, want := range map[string][2]bool{"v1": {true, false}, "app:v1": {true, false}, "up.test/app:v1": {true, false}, "all": {true, true}, "v3": {false, false}} {
		up := registrytest.NewServer(t, registrytest.WithInMemory())
		up.Push(t, "app:v1", content.Image(content.Layers(1)))
		local := memstore.New()
		file := t.TempDir() + "/x.json"
		first := record(t, local, remote(up, "up.test"), upstream.RecordTo(file))
		ask := func(r recorder) (tag string, missing int) {
			list := get(t, r.Server, "/v2/app/tags/list")
			require.Equal(t, 200, list.Status)
			missing = get(t, r.Server, "/v2/app/manifests/v2").Status
			return get(t, r.Server, "/v2/app/manifests/v1").Body, missing
		}
		before, status := ask(first)
		require.Equal(t, 404, status)
		now := up.Push(t, "app:v1", content.Image(content.Layers(3)))
		up.Push(t, "app:v2", content.Image(content.Layers(2)))
		again := record(t, local, remote(up, "up.test"), upstream.RecordTo(file), upstream.Refresh(refresh))
		for range 2 {
			after, status := ask(again)
			require.Equal(t, want[0], after == string(now.Manifest), refresh)
			require.Equal(t, !want[0], after == before, refresh)
			require.Equal(t, want[1], status == 200, refresh)
		}
		asked := up.Requests().Len()
		ask(again)
		require.Equal(t, asked, up.Requests().Len(), refresh)
	}
	_, err := upstream.Open(memstore.New(), upstream.Refresh("a/b"))
	require.ErrorContains(t, err, "cannot be refreshed")
}
