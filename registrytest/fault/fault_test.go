package fault

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/memstore"
)

// ask sends requests, one after the other, to an empty registry with faults,
// and returns the status of each answer, or 0 where there was none.
func ask(f *Rules, targets ...string) (statuses []int) {
	for _, target := range targets {
		method, path, ok := strings.Cut(target, " ")
		if !ok {
			method, path = "GET", target
		}
		status := 0
		if answer := serve(registry.WithFaults(f.Inject), method, path, http.NoBody); answer != nil {
			status = answer.Code
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

func TestFaultSchedule(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string][]int{
		"ping status=503":                      {503, 503, 503, 503, 503, 503, 503},
		"ping once status=503":                 {503, 200, 200, 200, 200, 200, 200},
		"ping times=2 status=503":              {503, 503, 200, 200, 200, 200, 200},
		"ping after=2 status=503":              {200, 200, 503, 503, 503, 503, 503},
		"ping after=2 times=2 status=503":      {200, 200, 503, 503, 200, 200, 200},
		"ping every=3 status=503":              {200, 200, 503, 200, 200, 503, 200},
		"ping every=3 times=1 status=503":      {200, 200, 503, 200, 200, 200, 200},
		"ping after=1 every=2 status=503":      {200, 200, 503, 200, 503, 200, 503},
		"ping probability=1 status=503":        {503, 503, 503, 503, 503, 503, 503},
		"ping first-bytes=5 set-header=X:y":    {200, 200, 200, 200, 200, 200, 200},
		"get-blob status=503":                  {200, 200, 200, 200, 200, 200, 200},
		"ping times=2 then times=2 status=429": {200, 200, 429, 429, 200, 200, 200},
		"ping times=2 status=503 then once status=429 then every=2 times=2 close": {503, 503, 429, 200, 0, 200, 0},
		"ping times=2 status=503 then after=1 once status=429":                    {503, 503, 200, 429, 200, 200, 200},
	} {
		var f Rules
		parsed, err := Parse(rule)
		require.NoError(t, err)
		in, err := f.Add(parsed)
		require.NoError(t, err)
		require.Equal(t, want, ask(&f, times(len(want), "/v2/")...), rule)
		hit := 0
		for _, status := range want {
			if status != 200 {
				hit++
			}
		}
		if !strings.Contains(rule, "first-bytes") {
			require.Equal(t, hit, in.Fired(), rule)
		}
	}
}

// The answer to a ping is {}, two bytes.
func TestFaultFirstBytes(t *testing.T) {
	t.Parallel()
	var f Rules
	in := f.Set(t, On(registry.Ping).FirstBytes(5).Corrupt(0).Then().Once().Status(429))
	require.Equal(t, []int{200, 200, 200, 429, 200}, ask(&f, times(5, "/v2/")...))
	require.Equal(t, 4, in.Fired())

	f = Rules{}
	in = f.Set(t, On(registry.PutManifest).FirstBytes(5).SetHeader("X", "y"))
	for range 4 {
		serve(registry.WithFaults(f.Inject), "PUT", "/v2/app/manifests/v1", strings.NewReader("{}"))
	}
	require.Equal(t, 1, in.Fired(), "the bodies of requests and answers count alike")
}

func TestFaultConditions(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, test := range []struct {
		rule     Rule
		yes, no  string
		prepared func(*http.Request)
	}{
		{On(registry.Ping), "GET /v2/", "GET /v2/_catalog", nil},
		{On(registry.GetBlob, registry.HeadBlob), "HEAD /v2/app/blobs/" + digest, "GET /v2/app/manifests/" + digest, nil},
		{On(), "GET /whatever", "", nil},
		{On(registry.UnknownOp), "POST /v2/", "GET /v2/", nil},
		{On().Repo("team/*"), "GET /v2/team/app/tags/list", "GET /v2/team/app/x/tags/list", nil},
		{On().Repo("team/**"), "GET /v2/team/app/x/tags/list", "GET /v2/teams/tags/list", nil},
		{On().Repo("team/**"), "GET /v2/team/tags/list", "GET /v2/", nil},
		{On().Repo("a").Repo("*"), "GET /v2/a/tags/list", "GET /v2/b/tags/list", nil},
		{On().Tag("v?"), "GET /v2/app/manifests/v1", "GET /v2/app/manifests/v10", nil},
		{On().Digest("sha256:aa*"), "GET /v2/app/manifests/" + digest, "GET /v2/app/manifests/v1", nil},
		{On().Method("HEAD"), "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/v1", nil},
		{On().HasHeader("range", "bytes=0-*"), "GET /v2/", "", func(r *http.Request) { r.Header.Set("Range", "bytes=0-5") }},
		{On().HasHeader("range", "bytes=0-*"), "", "GET /v2/", func(r *http.Request) { r.Header.Set("Range", "bytes=1-5") }},
		{On().HasHeader("range", "**"), "", "GET /v2/", nil},
		{On().User("c?"), "GET /v2/", "", func(r *http.Request) { r.SetBasicAuth("ci", "secret") }},
		{On().User("c?"), "", "GET /v2/", nil},
		{On().User(""), "GET /v2/", "", nil},
		{On().User("ci"), "GET /v2/", "", func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer e30."+base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"ci"}`))+".c2ln")
		}},
		{On().User("ci"), "", "GET /v2/", func(r *http.Request) { r.Header.Set("Authorization", "Bearer opaque") }},
		{On().User("ci"), "GET /v2/", "", func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "ci"}}}}
		}},
		{On().Conn(1), "", "GET /v2/", nil},
		{On().Conn(3), "GET /v2/", "", func(r *http.Request) { *r = *r.WithContext(withConn(r.Context(), 3)) }},
		{On().Where(func(r *registry.Request) bool { return r.URL.Query().Has("x") }), "GET /v2/?x=1", "GET /v2/", nil},
	} {
		var f Rules
		in, err := f.Add(test.rule.SetHeader("X", "y"))
		require.NoError(t, err)
		for fired, target := range map[int]string{1: test.yes, 0: test.no} {
			method, path, ok := strings.Cut(target, " ")
			if !ok {
				continue
			}
			r := httptest.NewRequest(method, path, nil)
			if test.prepared != nil {
				test.prepared(r)
			}
			before := in.Fired()
			registry.New(memstore.New(), registry.WithFaults(f.Inject)).ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, fired, in.Fired()-before, "%s: %s", in, target)
		}
	}
}

func TestFaultsCombine(t *testing.T) {
	t.Parallel()
	var f Rules
	add := func(text string) *Fault {
		rule, err := Parse(text)
		require.NoError(t, err)
		in, err := f.Add(rule)
		require.NoError(t, err)
		return in
	}
	add(`ping body=text:one body=append:two`)
	add(`ping body=append:three set-header=X:first set-header=Y:first`)
	add(`ping set-header=X:second`)
	answer := serve(registry.WithFaults(f.Inject), "GET", "/v2/", nil)
	require.Equal(t, "onetwothree", answer.Body.String())
	require.Equal(t, "11", answer.Header().Get("Content-Length"))
	require.Equal(t, "second", answer.Header().Get("X"), "in the order in which they were added")
	require.Equal(t, "first", answer.Header().Get("Y"))

	third := add(`ping times=3 status=429 set-header=Z:third`)
	second := add(`ping once reset`)
	first := add(`ping once status=503`)
	require.Equal(t, []int{503, 0, 429, 429, 429, 200}, ask(&f, times(6, "/v2/")...), "each answers in its turn, the last one first")
	require.Equal(t, []int{1, 1, 3}, []int{first.Fired(), second.Fired(), third.Fired()})

	names := make(chan string, 1)
	serve(registry.Options(registry.WithFaults(f.Inject), registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { names <- x.Fault.Name }))),
		"GET", "/v2/", nil)
	require.Equal(t, `ping body=text:one body=append:two; ping body=append:three set-header=X:first set-header=Y:first; ping set-header=X:second`, <-names)
}

func TestFaultsAreRemoved(t *testing.T) {
	t.Parallel()
	var f Rules
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
	require.Nil(t, f.Inject(nil), "nothing is asked when there are no rules")

	t.Run("at the end of the test", func(t *testing.T) {
		f.Set(t, On(registry.Ping).Status(503))
		require.Equal(t, []int{503}, ask(&f, "/v2/"))
	})
	require.Equal(t, []int{200}, ask(&f, "/v2/"))
}

// checked adds a rule in a test of its own, and returns what that test says of
// it at its end.
func checked(t *testing.T, rule Rule, test func(tb *faketb.TB, f *Rules)) (errors, logs []string) {
	tb := faketb.New(t)
	var f Rules
	f.Set(tb, rule)
	test(tb, &f)
	tb.End()
	return tb.Errors(), tb.Lines()
}

func TestFaultThatDidNotHappen(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		rule    string
		targets []string
		want    string
	}{
		"no request": {"ping once status=503", nil, `fault "ping once status=503", set at fault_test.go:0, did not happen as it says:
	ping once status=503 hit 0 requests, not 1
	there was no request`},
		"near misses": {
			"get-blob repo=team/* times=2 status=503",
			[]string{"/v2/other/blobs/" + digest, "/v2/other/blobs/" + digest, "/v2/team/app/blobs/" + digest, "HEAD /v2/team/app/blobs/" + digest, "/v2/"},
			`fault "get-blob repo=team/* times=2 status=503", set at fault_test.go:0, did not happen as it says:
	get-blob repo=team/* times=2 status=503 hit 1 request, not 2
	it nearly hit these requests:
		2 × get-blob other@` + digest + `, but not repo=team/*
		1 × head-blob team/app@` + digest + `, but not get-blob`,
		},
		"far misses": {
			"get-blob repo=team/* status=503",
			append(times(20, "/v2/"), "/v2/_catalog", "/v2/a/tags/list", "/v2/b/tags/list", "/v2/c/tags/list", "/v2/d/tags/list",
				"/v2/e/tags/list", "/v2/f/tags/list", "/v2/g/tags/list", "/v2/h/tags/list", "/v2/a/tags/list"),
			`fault "get-blob repo=team/* status=503", set at fault_test.go:0, did not happen as it says:
	get-blob repo=team/* status=503 hit 0 requests, not 1
	none of these requests met its conditions:
		20 × ping
		1 × catalog
		2 × list-tags a
		1 × list-tags b
		1 × list-tags c
		1 × list-tags d
		1 × list-tags e
		1 × list-tags f
		2 others`,
		},
		"before its turn": {"ping after=3 status=503", times(2, "/v2/"), `fault "ping after=3 status=503", set at fault_test.go:0, did not happen as it says:
	ping after=3 status=503 hit 0 requests, not 1
	it nearly hit these requests:
		2 × ping, but it was not its turn`},
		"a later part": {"ping times=2 status=503 then once status=429", times(2, "/v2/"), `fault "ping times=2 status=503 then once status=429", set at fault_test.go:0, did not happen as it says:
	once status=429 hit 0 requests, not 1`},
		"without effect": {"ping close=10 drop-header=Link", times(2, "/v2/"), `fault "ping close=10 drop-header=Link", set at fault_test.go:0, did not happen as it says:
	close=10 had no effect on the 2 requests that the rule hit
	drop-header=Link had no effect on the 2 requests that the rule hit`},
		"by chance": {"ping probability=0.0001 seed=42 close=10", times(1, "/v2/"), ""},
		"optional":  {"ping optional times=2 close=10", times(1, "/v2/"), ""},
		"by chance without effect": {"ping probability=0.9999 seed=42 close=10", times(1, "/v2/"), `fault "ping probability=0.9999 seed=42 close=10", set at fault_test.go:0, with seed=42 did not happen as it says:
	close=10 had no effect on the 1 request that the rule hit`},
		"other requests": {"ping times=2 status=503", []string{"/v2/", "/v2/_catalog"}, `fault "ping times=2 status=503", set at fault_test.go:0, did not happen as it says:
	ping times=2 status=503 hit 1 request, not 2
	none of the other requests met its conditions:
		1 × catalog`},
		"as it should":           {"ping times=2 status=503 then once status=429", times(4, "/v2/"), ""},
		"as it should by chance": {"ping probability=0.5 times=100 status=503", times(20, "/v2/"), ""},
	} {
		rule, err := Parse(test.rule)
		require.NoError(t, err)
		errors, logs := checked(t, rule, func(_ *faketb.TB, f *Rules) { ask(f, test.targets...) })
		require.Empty(t, logs, name)
		if test.want == "" {
			require.Empty(t, errors, name)
			continue
		}
		require.Len(t, errors, 1, name)
		got := callSite.ReplaceAllString(errors[0], "fault_test.go:0")
		require.Equal(t, "registrytest: "+test.want, got, name)

		// A test that has failed has something else to say.
		errors, logs = checked(t, rule, func(tb *faketb.TB, f *Rules) {
			ask(f, test.targets...)
			tb.Errorf("it has failed")
		})
		require.Len(t, errors, 1, name)
		require.Len(t, logs, 1, name)
	}
}

// A test can look before its end, and is told but once.
func TestCheckBeforeTheEnd(t *testing.T) {
	t.Parallel()
	tb := faketb.New(t)
	var f Rules
	in := f.Set(tb, On(registry.Ping).Times(2).Status(503))
	ask(&f, "/v2/")
	in.Check(tb)
	require.Len(t, tb.Errors(), 1)
	tb.End()
	require.Len(t, append(tb.Errors(), tb.Lines()...), 1)
}

func TestSeedIsLoggedWhenTheTestFails(t *testing.T) {
	t.Parallel()
	rule := On(registry.Ping).Probability(0.5).Seed(7).Status(503)
	_, logs := checked(t, rule, func(tb *faketb.TB, f *Rules) {
		ask(f, times(20, "/v2/")...)
		tb.Errorf("it has failed")
	})
	require.Len(t, logs, 1)
	require.Contains(t, logs[0], "with seed=7")
}

func TestRuleThatMakesNoSenseFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, set := range []func(f *Rules, tb TB){
		func(f *Rules, tb TB) { f.Set(tb, On(registry.Ping).Status(1)) },
		func(f *Rules, tb TB) { f.Hold(tb, On(registry.Ping).Times(-1)) },
	} {
		tb := faketb.New(t)
		var over sync.WaitGroup
		over.Go(func() { set(new(Rules), tb) })
		over.Wait()
		require.Len(t, tb.Errors(), 1)
		require.Contains(t, tb.Errors()[0], "fault rule ")
	}
}

// manyAtOnce sends, concurrently, each of ten requests four times in a row, and
// returns how each was answered and when.
func manyAtOnce(rule Rule) map[string]string {
	var f Rules
	if _, err := f.Add(rule); err != nil {
		panic(err)
	}
	h := registry.New(memstore.New(), registry.WithFaults(f.Inject))
	var mu sync.Mutex
	got := map[string]string{}
	var all sync.WaitGroup
	start := time.Now()
	for i := range 10 {
		all.Go(func() {
			target := fmt.Sprintf("/v2/app%d/tags/list", i)
			for n := range 4 {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
				mu.Lock()
				got[fmt.Sprint(target, n)] = fmt.Sprint(w.Code, w.Header().Get("X"), time.Since(start))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return got
}

func TestSameSeedSameFaults(t *testing.T) {
	t.Parallel()
	const runs = 1000
	rule := On(registry.ListTags).Probability(0.3).Delay(0, time.Hour).SetHeader("X", "hit")
	in := func(seed uint64) (got map[string]string) {
		// In a bubble, what is measured is how long the faults take.
		synctest.Test(t, func(*testing.T) { got = manyAtOnce(rule.Seed(seed)) })
		return got
	}
	want := in(1)
	hits := 0
	for _, result := range want {
		if strings.Contains(result, "hit") {
			hits++
		}
	}
	require.InDelta(t, 12, hits, 6, "of 40")
	for i := range runs {
		if got := in(1); !maps.Equal(want, got) {
			require.Equal(t, want, got, "run %d", i)
		}
	}
	require.NotEqual(t, want, in(2), "with another seed")
}

func TestProbability(t *testing.T) {
	t.Parallel()
	for _, p := range []float64{0.01, 0.1, 0.5, 0.9} {
		var f Rules
		in, err := f.Add(On(registry.Ping).Probability(p).Seed(1).Status(503))
		require.NoError(t, err)
		const n = 10_000
		r := &registry.Request{Request: httptest.NewRequest("GET", "/v2/", nil), Op: registry.Ping}
		for range n {
			f.Inject(r)
		}
		require.InDelta(t, p*n, in.Fired(), 4*100*0.5, "four standard deviations at the most")
	}
}

// Rules come and go while requests are served: none is hit by a rule that was
// removed before it came, and each by all that are there all the time.
func TestFaultsUnderLoad(t *testing.T) {
	t.Parallel()
	var f Rules
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
				in, err := f.Add(On(registry.Ping).Status(503).Then().Once())
				if err == nil {
					panic("it makes no sense")
				}
				in, err = f.Add(On(registry.Ping).Times(3).Status(503))
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
					panic("not hit")
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
