package flatpak_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/flatpak"
	"github.com/ocireg/registry/registrytest/lint"
)

// For every client, the index lists only images that anonymous clients may pull.
// The order of the options does not matter.
func TestOnlyPublicRepositories(t *testing.T) {
	overStores(t, func(t *testing.T, store registry.Store) {
		for _, repo := range []string{"public/app", "public/list", "listed/app", "secret/app"} {
			put(t, store, repo+":latest", app("linux/amd64", nil))
		}
		rules := []string{"anonymous pull public/**", "anonymous list listed/**"}
		for kind, a := range map[string]*auth.Auth{
			"basic":         auth.Basic(rules...),
			"bearer":        auth.Bearer(rules...),
			"always bearer": auth.BearerAlways(rules...),
			"both":          auth.BearerOrBasic(rules...),
		} {
			ci := a.User("ci")
			for order, h := range map[string]http.Handler{
				"before": registry.New(store, append(a.Options(), flatpak.Index())...),
				"after":  registry.New(store, append([]registry.Option{flatpak.Index()}, a.Options()...)...),
			} {
				const want = "public/app:latest public/list:latest"
				require.Equal(t, want, names(get(t, h, "/index/static")), "%s %s", kind, order)
				require.Empty(t, names(get(t, h, "/index/static?repository=secret/app")), "%s %s", kind, order)
				if kind == "basic" || kind == "both" {
					r := httptest.NewRequest("GET", "/index/static", nil)
					r.SetBasicAuth(ci.Username, ci.Password)
					require.Equal(t, want, names(get(t, h, "/index/static", "Authorization", r.Header.Get("Authorization"))), "%s %s", kind, order)
				}
			}
		}
		nobody := registry.New(store, append(auth.Basic("ci pull **").Options(), flatpak.Index())...)
		require.Empty(t, names(get(t, nobody, "/index/static")))
	})
}

// Fault rules can select requests for the index by their path, and the journal
// has these requests.
func TestFaultsAndJournal(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t, flatpak.Index(), registrytest.WithInMemory())
	reg.Push(t, "app:latest", content.Image())
	status := func(path string) int {
		response, err := reg.Client().Get(reg.URL + path)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	rule, err := fault.Parse("unknown where=path:/index/static times=2 status=503")
	require.NoError(t, err)
	reg.Fault(t, rule)
	reg.Fault(t, fault.On(registry.UnknownOp).Where(fault.Path("/index/d*")).Once().Status(404))
	require.Equal(t, 200, status("/v2/app/tags/list"))
	require.Equal(t, 404, status("/index/dynamic"))
	require.Equal(t, 503, status("/index/static?tag=latest"))
	require.Equal(t, 503, status("/index/static"))
	require.Equal(t, 200, status("/index/static?tag=latest"))
	index := reg.Requests().Op(registry.UnknownOp)
	require.Equal(t, 4, index.Len())
	require.Equal(t, 2, index.Status(503).Len())
}

// The linter accepts requests for the index, and reports those for other paths.
func TestLint(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t, flatpak.Index(), registrytest.WithInMemory())
	for _, path := range []string{"/index/static", "/index/other"} {
		response, err := reg.Client().Get(reg.URL + path)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	var found []string
	for _, f := range (lint.Linter{}).Lint(reg.Requests()) {
		if f.Rule == lint.Endpoint {
			found = append(found, f.Record.URL.Path)
		}
	}
	require.Equal(t, []string{"/index/other"}, found)
}

// A largeStore yields the same repository many times, to make the index large.
type largeStore struct {
	registry.Store
	repositories int
	wait         <-chan struct{}
}

func (s largeStore) Repositories(ctx context.Context, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if s.wait != nil {
			<-s.wait
		}
		for range s.repositories {
			if !yield("app", nil) {
				return
			}
		}
	}
}

func TestIndexIsLimited(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	put(t, store, "app:latest", app("linux/amd64", map[string]string{"large": strings.Repeat("x", 1<<20)}))
	w := request(registry.New(largeStore{store, 2, nil}, flatpak.Index()), "GET", "/index/static")
	require.Equal(t, http.StatusOK, w.Code)
	require.Greater(t, w.Body.Len(), 2<<20)

	w = request(registry.New(largeStore{store, 17, nil}, flatpak.Index()), "GET", "/index/static")
	require.Equal(t, http.StatusInsufficientStorage, w.Code)
	require.Contains(t, w.Body.String(), "select fewer images, such as those of one repository")
}

// The registry builds one index at a time. If a waiting client disconnects, the
// next one gets its turn.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		put(t, store, "app:latest", app("linux/amd64", nil))
		wait := make(chan struct{})
		h := registry.New(largeStore{store, 1, wait}, flatpak.Index())
		ctx, cancel := context.WithCancel(t.Context())
		codes := make(chan int, 3)
		for i := range 3 {
			go func() {
				r := httptest.NewRequest("GET", "/index/static", nil)
				if i == 1 {
					r = r.WithContext(ctx)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				codes <- w.Code
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		require.Len(t, codes, 1)
		<-codes
		wait <- struct{}{}
		synctest.Wait()
		require.Len(t, codes, 1)
		wait <- struct{}{}
		require.Equal(t, 200, <-codes)
		require.Equal(t, 200, <-codes)
	})
}

type failingStore struct{ registry.Store }

func (failingStore) Repositories(context.Context, string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { yield("", fmt.Errorf("the disk is gone")) }
}

func TestFailures(t *testing.T) {
	t.Parallel()
	w := request(registry.New(failingStore{}, flatpak.Index()), "GET", "/index/static")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), "listing the repositories: the disk is gone")

	store := memstore.New()
	put(t, store, "app:latest", app("linux/amd64", nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w = httptest.NewRecorder()
	registry.New(store, flatpak.Index()).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/index/static", nil))
	require.NotEqual(t, http.StatusOK, w.Code)
}

// Each query gets an index or a 400 response. Adding a condition to a query never
// adds images to the index.
func FuzzQuery(f *testing.F) {
	store := memstore.New()
	for ref, c := range map[string]content.Content{
		"one:latest": app("linux/amd64", map[string]string{"org.flatpak.ref": "app/one"}, content.Annotation("kind", "game")),
		"two:latest": content.Index(app("linux/amd64", map[string]string{"a": "1"}), app("linux/arm64", nil)),
	} {
		if err := content.Put(f.Context(), store, ref, c); err != nil {
			f.Fatal(err)
		}
	}
	h := registry.New(store, flatpak.Index())
	for _, query := range []string{
		"", "repository=one", "tag=latest&os=linux", "label%3Aorg.flatpak.ref%3Aexists=1", "annotation:kind=game&annotation:kind=tool",
		"label::exists=1", "label:", "%zz", "a;b", ":exists=1", "label:a:exists:exists=1", "label:a:exists=0",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		ask := func(query string) (string, bool) {
			r := httptest.NewRequest("GET", "/index/static", nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == http.StatusBadRequest {
				return "", false
			}
			require.Equal(t, http.StatusOK, w.Code)
			return w.Body.String(), true
		}
		body, ok := ask(query)
		parameters, err := url.ParseQuery(query)
		valid := err == nil && len(query) <= 8<<10
		for key, values := range parameters {
			kind, name, _ := strings.Cut(key, ":")
			asks := (kind == "label" || kind == "annotation") && strings.HasSuffix(name, ":exists")
			valid = valid && (!asks || !slices.ContainsFunc(values, func(v string) bool { return v != "1" }))
		}
		require.Equal(t, valid, ok)
		narrow, ok := ask(query + "&annotation:no%2Fsuch:exists=1")
		if ok {
			require.Equal(t, `{"Registry":"/","Results":[]}`, narrow)
			require.LessOrEqual(t, len(narrow), len(body))
		}
	})
}

// A countingStore counts the open readers of its blobs.
type countingStore struct {
	registry.Store
	open *atomic.Int64
}

type countedBlob struct {
	io.ReadSeekCloser
	open *atomic.Int64
}

func (s countingStore) OpenBlob(ctx context.Context, repo string, d digest.Digest) (io.ReadSeekCloser, error) {
	blob, err := s.Store.OpenBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	s.open.Add(1)
	return countedBlob{blob, s.open}, nil
}

func (b countedBlob) Close() error {
	b.open.Add(-1)
	return b.ReadSeekCloser.Close()
}

// The registry closes the configs that it reads, even malformed ones, and with
// several clients at once.
func TestBlobsAreClosed(t *testing.T) {
	overStores(t, func(t *testing.T, store registry.Store) {
		seed(t, store)
		bad := put(t, store, "bad:latest", app("linux/amd64", map[string]string{"a": "b"}))
		require.NoError(t, store.DeleteManifest(t.Context(), "bad", bad.Digest))
		text := content.Bytes("application/octet-stream", []byte(`{"config":1}`))
		require.NoError(t, content.PutBlob(t.Context(), store, "bad", text))
		put(t, store, "bad:latest", content.Raw(ocispec.MediaTypeImageManifest, fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q,"size":1},"layers":[]}`, text.Digest)))
		counting := countingStore{store, new(atomic.Int64)}
		h := registry.New(counting, flatpak.Index())
		var clients sync.WaitGroup
		want := request(h, "GET", "/index/static").Body.String()
		for range 8 {
			clients.Go(func() { assert.Equal(t, want, request(h, "GET", "/index/static").Body.String()) })
		}
		clients.Wait()
		require.Contains(t, want, "org.flatpak.ref")
		require.NotContains(t, want, `"bad"`)
		require.Zero(t, counting.open.Load())
	})
}
