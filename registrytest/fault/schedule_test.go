package fault

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
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
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/inject"
)

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
		var f inject.Rules
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

// FirstBytes counts the bytes of the bodies of requests and responses. The body of the
// response to a ping is {}, which has two bytes.
func TestFaultFirstBytes(t *testing.T) {
	t.Parallel()
	var f inject.Rules
	in := f.Set(t, On(registry.Ping).FirstBytes(5).Corrupt(0).Then().Once().Status(429))
	require.Equal(t, []int{200, 200, 200, 429, 200}, ask(&f, times(5, "/v2/")...))
	require.Equal(t, 4, in.Fired())

	f = inject.Rules{}
	in = f.Set(t, On(registry.PutManifest).FirstBytes(5).SetHeader("X", "y"))
	for range 4 {
		serve(registry.WithFaults(f.Inject), "PUT", "/v2/app/manifests/v1", strings.NewReader("{}"))
	}
	require.Equal(t, 1, in.Fired(), "the bodies of requests and responses count alike")
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
		{On().Repo("a/**", "b"), "GET /v2/a/x/tags/list", "GET /v2/c/tags/list", nil},
		{On().Repo("a/**", "b"), "GET /v2/b/tags/list", "GET /v2/b/x/tags/list", nil},
		// Only the pattern "" matches a request without the value.
		{On().Repo("**"), "GET /v2/a/tags/list", "GET /v2/", nil},
		{On().Repo("", "a"), "GET /v2/", "GET /v2/b/tags/list", nil},
		{On(registry.GetManifest).Tag("*"), "GET /v2/app/manifests/v1", "GET /v2/app/manifests/" + digest, nil},
		{On(registry.GetManifest).Tag(""), "GET /v2/app/manifests/" + digest, "GET /v2/app/manifests/v1", nil},
		{On(registry.GetManifest).Digest("**"), "GET /v2/app/manifests/" + digest, "GET /v2/app/manifests/v1", nil},
		{On().User("**"), "", "GET /v2/", nil},
		{On().Method("GET", "PUT"), "GET /v2/", "HEAD /v2/", nil},
		{On().Tag("v?"), "GET /v2/app/manifests/v1", "GET /v2/app/manifests/v10", nil},
		{On().Digest("sha256:aa*"), "GET /v2/app/manifests/" + digest, "GET /v2/app/manifests/v1", nil},
		{On().Method("HEAD"), "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/v1", nil},
		{On().HasHeader("range", "bytes=0-*"), "GET /v2/", "", func(r *http.Request) { r.Header.Set("Range", "bytes=0-5") }},
		{On().HasHeader("range", "bytes=0-*"), "", "GET /v2/", func(r *http.Request) { r.Header.Set("Range", "bytes=1-5") }},
		{On().HasHeader("range", "**"), "", "GET /v2/", nil},
		{On().HasHeader("range"), "", "GET /v2/", nil},
		{On().HasHeader("range"), "GET /v2/", "", func(r *http.Request) { r.Header.Set("Range", "") }},
		{On().HasHeader("range", "x", "y"), "GET /v2/", "", func(r *http.Request) { r.Header["Range"] = []string{"z", "y"} }},
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
		{On().Conn(2, 3), "GET /v2/", "", func(r *http.Request) { *r = *r.WithContext(withConn(r.Context(), 3)) }},
		{On().Conn(3), "GET /v2/", "", func(r *http.Request) { *r = *r.WithContext(withConn(r.Context(), 3)) }},
		{On().HasHeader("!range"), "GET /v2/", "", nil},
		{On().HasHeader("!range"), "", "GET /v2/", func(r *http.Request) { r.Header.Set("Range", "") }},
		{On().HasHeader("!range", "bytes=0-*"), "GET /v2/", "", func(r *http.Request) { r.Header.Set("Range", "bytes=1-5") }},
		{On().HasHeader("?x"), "GET /v2/?x", "GET /v2/?y=x", nil},
		{On().HasHeader("?x", "1*", "2"), "GET /v2/?x=0&x=10", "GET /v2/?x=3", nil},
		{On().HasHeader("!?x"), "GET /v2/?y=1", "GET /v2/?x=1", nil},
		{On().HasHeader("!?x", "1"), "GET /v2/?x=2", "GET /v2/?x=1", nil},
		{On().Where("with x", func(r *registry.Request) bool { return r.URL.Query().Has("x") }), "GET /v2/?x=1", "GET /v2/", nil},
		{On().Where(Not("with x"), func(r *registry.Request) bool { return r.URL.Query().Has("x") }), "GET /v2/", "GET /v2/?x=1", nil},
		{On().Where(BodyOver(9)), "PUT /v2/app/manifests/v1", "", withBody(10, 10)},
		{On().Where(BodyOver(10)), "", "PUT /v2/app/manifests/v1", withBody(10, 10)},
		{On().Where(Not(BodyOver(10))), "PUT /v2/app/manifests/v1", "", withBody(10, 10)},
		{On().Where(Not(BodyOver(9))), "", "PUT /v2/app/manifests/v1", withBody(10, 10)},
		{On().Where(BodyOver(9)), "", "PUT /v2/app/manifests/v1", withBody(10, -1)},
		{On().Where(Not(BodyOver(9))), "", "PUT /v2/app/manifests/v1", withBody(10, -1)},
		{On().Where(BodyHas("aaaaaaaaaa")), "PUT /v2/app/manifests/v1", "", withBody(10, -1)},
		{On().Where(BodyHas("b")), "", "PUT /v2/app/manifests/v1", withBody(10, 10)},
		{On().Where(Not(BodyHas("b"))), "POST /token", "PATCH /v2/app/blobs/uploads/1", withBody(10, 10)},
		{On().Where(BodyHas("a")), "", "PUT /v2/app/manifests/v1", withBody(0, 0)},
	} {
		var f inject.Rules
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

// withBody returns a function that gives a request a body of n bytes and the given
// Content-Length, which is -1 for unknown.
func withBody(n, length int) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength, r.ProtoMajor = io.NopCloser(strings.NewReader(strings.Repeat("a", n))), int64(length), 2
	}
}

// manyAtOnce sends ten requests concurrently, each of them four times in a row. It
// returns the responses and their times.
func manyAtOnce(rule Rule) map[string]string {
	var f inject.Rules
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
	const runs = 300
	rule := On(registry.ListTags).Probability(0.3).Delay(0, time.Hour).SetHeader("X", "hit")
	in := func(seed uint64) (got map[string]string) {
		// In a bubble, only the faults take time.
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
	require.InDelta(t, 12, hits, 6, "a probability of 0.3 hits about 12 of the 40 requests")
	for i := range runs {
		if got := in(1); !maps.Equal(want, got) {
			require.Equal(t, want, got, "run %d", i)
		}
	}
	require.NotEqual(t, want, in(2), "another seed gives other results")
}

func TestProbability(t *testing.T) {
	t.Parallel()
	for _, p := range []float64{0.01, 0.1, 0.5, 0.9} {
		var f inject.Rules
		in, err := f.Add(On(registry.Ping).Probability(p).Seed(1).Status(503))
		require.NoError(t, err)
		const n = 10_000
		r := &registry.Request{Request: httptest.NewRequest("GET", "/v2/", nil), Op: registry.Ping}
		for range n {
			f.Inject(r)
		}
		require.InDelta(t, p*n, in.Fired(), 4*100*0.5, "the limit is four standard deviations or more")
	}
}
