package fault

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/inject"
)

// ask sends requests, one after the other, to an empty registry with the rules. It
// returns the status of each response, or 0 if there was none.
func ask(f *inject.Rules, targets ...string) (statuses []int) {
	for _, target := range targets {
		method, path, ok := strings.Cut(target, " ")
		if !ok {
			method, path = "GET", target
		}
		status := 0
		if response := serve(registry.WithFaults(f.Inject), method, path, http.NoBody); response != nil {
			status = response.Code
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func times(n int, target string) []string {
	targets := make([]string, n)
	for i := range targets {
		targets[i] = target
	}
	return targets
}

func TestFaultsCombine(t *testing.T) {
	t.Parallel()
	var f inject.Rules
	add := func(text string) *inject.Fault {
		rule, err := Parse(text)
		require.NoError(t, err)
		in, err := f.Add(rule)
		require.NoError(t, err)
		return in
	}
	add(`ping body=text:one body=append:two`)
	add(`ping body=append:three set-header=X:first set-header=Y:first`)
	add(`ping set-header=X:second`)
	response := serve(registry.WithFaults(f.Inject), "GET", "/v2/", nil)
	require.Equal(t, "onetwothree", response.Body.String())
	require.Equal(t, "11", response.Header().Get("Content-Length"))
	require.Equal(t, "second", response.Header().Get("X"), "rules take effect in the order in which they were added")
	require.Equal(t, "first", response.Header().Get("Y"))

	third := add(`ping times=3 status=429 set-header=Z:third`)
	second := add(`ping once reset`)
	first := add(`ping once status=503`)
	require.Equal(t, []int{503, 0, 429, 429, 429, 200}, ask(&f, times(6, "/v2/")...), "each responds in its turn, the last one first")
	require.Equal(t, []int{1, 1, 3}, []int{first.Fired(), second.Fired(), third.Fired()})

	names := make(chan string, 1)
	serve(registry.Options(registry.WithFaults(f.Inject), registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { names <- x.Fault.Name }))),
		"GET", "/v2/", nil)
	require.Equal(t, `ping body=text:one body=append:two; ping body=append:three set-header=X:first set-header=Y:first; ping set-header=X:second`, <-names)
}

// A rule for a special case that is set after a general rule has precedence.
func TestSpecialAfterGeneral(t *testing.T) {
	t.Parallel()
	var f inject.Rules
	f.Set(t, On(registry.ListTags).Status(503).SetHeader("X", "general").SetHeader("Y", "general"))
	f.Set(t, On(registry.ListTags).Repo("a").Times(2).Status(404).SetHeader("X", "special"))
	require.Equal(t, []int{404, 503, 404, 503}, ask(&f, "/v2/a/tags/list", "/v2/b/tags/list", "/v2/a/tags/list", "/v2/a/tags/list"))

	f = inject.Rules{}
	f.Set(t, On(registry.ListTags).SetHeader("X", "general").SetHeader("Y", "general").Body(Text("general")))
	f.Set(t, On(registry.ListTags).Repo("a").SetHeader("X", "special").Body(Text("special")))
	response := serve(registry.WithFaults(f.Inject), "GET", "/v2/a/tags/list", nil)
	require.Equal(t, "special", response.Header().Get("X"))
	require.Equal(t, "general", response.Header().Get("Y"))
	require.Equal(t, "special", response.Body.String())
}

// Under HTTP/2, a rule that ends the connection in the header ends it before any
// response, even if another rule responds. The operation is carried out only if no
// rule responds.
func TestEndInHeaderAndResponse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		target string
		order  []Rule
	}{
		{"/v2/", []Rule{On().Close(InHeader(5)), On().Status(500)}},
		{"/v2/", []Rule{On().Status(500), On().Close(InHeader(5))}},
		{"/v2/", []Rule{On().Close(InHeader(5))}},
		{"/v2/app/manifests/missing", []Rule{On().Close(InHeader(5))}},
	} {
		var f inject.Rules
		for _, rule := range test.order {
			f.Set(t, rule)
		}
		carriedOut := 0
		var x *registry.Exchange
		h := registry.New(memstore.New(), registry.WithFaults(f.Inject),
			registry.WithMiddleware(func(next registry.Handler) registry.Handler {
				return func(w http.ResponseWriter, r *registry.Request) error {
					carriedOut++
					return next(w, r)
				}
			}),
			registry.WithRecorder(registry.RecorderFunc(func(exchange *registry.Exchange) { x = exchange })))
		r := httptest.NewRequest("GET", test.target, nil)
		r.ProtoMajor = 2
		require.Nil(t, served(h, r))
		require.ErrorIs(t, x.Err, registry.CloseConnection)
		require.Zero(t, x.Status)
		require.Equal(t, 2-len(test.order), carriedOut)
	}
}

func TestFaultsAreRemoved(t *testing.T) {
	t.Parallel()
	var f inject.Rules
	in, err := f.Add(On(registry.Ping).Status(503))
	require.NoError(t, err)
	other, err := f.Add(On(registry.ListRepositories).Status(503))
	require.NoError(t, err)
	require.Equal(t, []int{503, 503}, ask(&f, "/v2/", "/v2/_catalog"))
	in.Remove()
	in.Remove()
	require.Equal(t, []int{200, 503}, ask(&f, "/v2/", "/v2/_catalog"))
	other.Remove()
	require.Equal(t, []int{200, 200}, ask(&f, "/v2/", "/v2/_catalog"))
	require.Nil(t, f.Inject(nil), "without rules, Inject does not read the request")

	t.Run("at the end of the test", func(t *testing.T) {
		f.Set(t, On(registry.Ping).Status(503))
		require.Equal(t, []int{503}, ask(&f, "/v2/"))
	})
	require.Equal(t, []int{200}, ask(&f, "/v2/"))
}

// Rules are added and removed while requests are served. A rule that was removed
// hits no later request, and a rule that stays hits every one.
func TestFaultsUnderLoad(t *testing.T) {
	t.Parallel()
	var f inject.Rules
	all := f.Set(t, On(registry.Ping).SetHeader("All", "yes"))
	h := registry.New(memstore.New(), registry.WithFaults(f.Inject))
	done := make(chan struct{})
	var changing, asking sync.WaitGroup
	for range 2 {
		changing.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := f.Add(On(registry.Ping).Status(503).Then().Once()); err == nil {
					panic("Add accepted a rule whose first part never ends")
				}
				in, err := f.Add(On(registry.Ping).Times(3).Status(503))
				if err != nil {
					panic(err)
				}
				in.Fired()
				in.Remove()
			}
		})
	}
	for range 4 {
		asking.Go(func() {
			for range 500 {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
				if w.Header().Get("All") != "yes" {
					panic("a rule that stays did not hit a request")
				}
			}
		})
	}
	asking.Wait()
	close(done)
	changing.Wait()
	require.Equal(t, 2000, all.Fired())
	require.Equal(t, []int{200}, ask(&f, "/v2/"))
}

// The parameters of a POST decide whether it mounts a blob, pushes a blob or begins an
// upload. If a rule ignores a parameter, the POST can become another operation.
func TestIgnoreParametersOfUploads(t *testing.T) {
	t.Parallel()
	digest := string(dgst(nil))
	for rule, want := range map[string]struct {
		target string
		status int
		ops    string
	}{
		"mount-blob ignore=?mount":                 {"POST /v2/app/blobs/uploads/?mount=" + digest + "&from=other", 202, "start-upload"},
		"mount-blob ignore=?mount=x":               {"POST /v2/app/blobs/uploads/?mount=" + digest + "&from=other", 202, "mount-blob"},
		"post-blob ignore=?digest":                 {"POST /v2/app/blobs/uploads/?digest=" + digest, 202, "start-upload"},
		"post-blob ignore=?digest=x":               {"POST /v2/app/blobs/uploads/?digest=" + digest, 400, "post-blob"},
		"start-upload ignore=?digest=" + digest:    {"POST /v2/app/blobs/uploads/", 201, "post-blob"},
		"post-blob ignore=?other set-header=X:y":   {"POST /v2/app/blobs/uploads/?other=1&digest=" + digest, 201, "post-blob"},
		"get-blob ignore=?digest=x set-header=X:y": {"GET /v2/app/blobs/" + digest, 404, "get-blob"},
	} {
		var f inject.Rules
		parsed, err := Parse(rule)
		require.NoError(t, err)
		in, err := f.Add(parsed)
		require.NoError(t, err)
		op := ""
		seen := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				op = r.Op.String()
				return next(w, r)
			}
		})
		method, target, _ := strings.Cut(want.target, " ")
		response := serve(registry.Options(registry.WithFaults(f.Inject), seen), method, target, http.NoBody)
		require.Equal(t, want.status, response.Code, "%s: %s", rule, response.Body)
		require.Equal(t, want.ops, op, rule)
		require.Empty(t, Problem(t, in))
	}
}

// If a condition reads the body of a request ahead, the operation still gets all of the
// body, with its end or error.
func TestBodyThatIsReadAhead(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 4<<20 - 1, 4 << 20, 4<<20 + 1, 5 << 20} {
		for _, end := range []error{nil, io.ErrUnexpectedEOF} {
			var f inject.Rules
			for _, c := range []Condition{BodyHas("x"), Not(BodyHas("x")), BodyHas("y")} {
				_, err := f.Add(On(registry.PutManifest).Where(c).SetHeader("X", "y"))
				require.NoError(t, err)
			}
			body := io.Reader(strings.NewReader(strings.Repeat("x", size)))
			if end != nil {
				body = io.MultiReader(body, iotest.ErrReader(end))
			}
			var got []byte
			var gotErr error
			h := registry.New(memstore.New(), registry.WithFaults(f.Inject), registry.WithMiddleware(func(registry.Handler) registry.Handler {
				return func(_ http.ResponseWriter, r *registry.Request) error {
					got, gotErr = io.ReadAll(iotest.OneByteReader(io.LimitReader(r.Body, 10)))
					rest, err := io.ReadAll(r.Body)
					got, gotErr = append(got, rest...), errors.Join(gotErr, err)
					return nil
				}
			}))
			served(h, httptest.NewRequest("PUT", "/v2/app/manifests/v1", body))
			require.Len(t, got, size)
			if end == nil {
				require.NoError(t, gotErr)
			} else {
				require.ErrorIs(t, gotErr, end)
			}
		}
	}
}
