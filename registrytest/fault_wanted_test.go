package registrytest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
)

// What tests of clients have needed, and had to build by hand or to give up.
// docs/faults.md lists it, with the names of these tests.
func TestWanted(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("../docs/faults.md")
	require.NoError(t, err)
	_, rows, _ := strings.Cut(string(list), "## What tests have wanted")
	for _, test := range wanted {
		require.Contains(t, rows, "| `"+test.name+"` |")
		rows = strings.Replace(rows, "| `"+test.name+"` |", "", 1)
	}
	require.NotContains(t, rows, "` |", "a test in the list that is not there")
	for _, test := range wanted {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t)
		})
	}
}

var wanted = []struct {
	name string
	test func(t *testing.T)
}{
	{"fails n times, then works", wantFailures},
	{"referrers API that is off, refuses, pages badly or ignores the filter", wantReferrers},
	{"headers that are wrong or missing", wantHeaders},
	{"content that is not what its digest says", wantOtherContent},
	{"silence in the log", wantSilence},
	{"redirect of blobs to another host", wantRedirect},
	{"redirect in a loop", wantLoop},
	{"stall after so many bytes on each connection", wantStallPerConnection},
	{"gate until released", wantGate},
	{"listener that never answers", wantSilentListener},
	{"TLS handshake that never ends", wantHandshake},
	{"ranges", wantRanges},
	{"token service that is broken", wantTokenService},
	{"tokens that expire, or do not suffice", wantTokens},
	{"shapes of errors", wantErrors},
	{"HEAD that differs from GET", wantHead},
	{"bodies that are cut, lengths that lie", wantCuts},
	{"connections that break", wantBreaks},
	{"upload in chunks that is resumed", wantResume},
	{"upload that falls back from one request to chunks", wantFallback},
	{"content encodings", wantEncodings},
	{"failure that is not to be retried", wantNotRetried},
	{"PATCH that fails with 504", wantPatch504},
	{"unauthorized and range reads", wantUnauthorizedRange},
	{"catalog in pages", wantCatalogPages},
	{"503 that is retried for certain", want503},
	{"insecure registry with HTTPS", wantInsecure},
	{"certificate for the name asked for", wantSNI},
	{"authentication", wantAuth},
	{"tags in pages, artifactType, and blobs that are checked", wantRegistry},
}

// A wantClient is a client of one server.
type wantClient struct {
	t *testing.T
	*http.Client
	base string
}

func clientOf(t *testing.T, s *Server) wantClient { return wantClient{t, s.Client(), s.URL} }

// wantAnswer is what a client has got.
type wantAnswer struct {
	status int
	header http.Header
	body   string
	err    error
}

// do sends a request. The header is pairs of names and values.
func (c wantClient) do(method, target, body string, header ...string) wantAnswer {
	if !strings.Contains(target, "://") {
		target = c.base + target
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(body))
	require.NoError(c.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return wantAnswer{err: err}
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return wantAnswer{resp.StatusCode, resp.Header, string(content), err}
}

func (c wantClient) get(target string, header ...string) wantAnswer {
	return c.do("GET", target, "", header...)
}

// codes returns the statuses of n answers to GET.
func (c wantClient) codes(n int, target string) (codes []int) {
	for range n {
		codes = append(codes, c.get(target).status)
	}
	return codes
}

func wantFailures(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		reg := NewServer(t)
		reg.Push(t, "team/app:v1", Image())
		reg.Push(t, "other/app:v1", Image())
		c := clientOf(t, reg)
		reg.Fault(t, On(registry.GetManifest).Repo("team/*").Times(2).Status(status).RetryAfter(time.Second))
		require.Equal(t, []int{200}, c.codes(1, "/v2/other/app/manifests/v1"))
		require.Equal(t, "1", c.get("/v2/team/app/manifests/v1").header.Get("Retry-After"))
		require.Equal(t, []int{status, 200}, c.codes(2, "/v2/team/app/manifests/v1"))
		require.Equal(t, 3, reg.Requests().Repo("team/app").Len())
	}
	// Retry-After as a date, on a clock that takes no time.
	synctest.Test(t, func(t *testing.T) {
		reg := NewServer(t, WithInMemory())
		c := clientOf(t, reg)
		reg.Fault(t, On(registry.Ping).Once().Status(503).RetryAt(5*time.Minute).Then().Once().Status(429).RetryAfter(time.Minute))
		begin := time.Now()
		for {
			got := c.get("/v2/")
			if got.status == 200 {
				break
			}
			after := got.header.Get("Retry-After")
			wait, err := time.ParseDuration(after + "s")
			if at, dateErr := http.ParseTime(after); dateErr == nil {
				wait, err = time.Until(at), nil
			}
			require.NoError(t, err)
			time.Sleep(wait)
		}
		require.InDelta(t, 6*time.Minute, time.Since(begin), float64(time.Second))
	})
}

func wantReferrers(t *testing.T) {
	off := NewServer(t, registry.Without(registry.ListReferrers))
	subject := off.Push(t, "app:v1", Image())
	path := "/v2/app/referrers/" + string(subject.Digest)
	require.Equal(t, 404, clientOf(t, off).get(path).status)

	reg := NewServer(t, registry.WithPageSize(1))
	c := clientOf(t, reg)
	reg.Push(t, "app:v1", Image())
	for i, kind := range []string{"application/sbom", "application/signature"} {
		reg.Push(t, fmt.Sprint("app:r", i), Artifact(kind, Subject(subject)))
	}
	refuse := reg.Fault(t, On(registry.ListReferrers).Once().Status(401))
	require.Equal(t, 401, c.get(path).status)
	refuse.Remove()

	require.NotEmpty(t, c.get(path).header.Get("Link"))
	noLink := reg.Fault(t, On(registry.ListReferrers).DropHeader("Link"))
	require.Empty(t, c.get(path).header.Get("Link"))
	noLink.Remove()
	loop := reg.Fault(t, On(registry.ListReferrers).IgnoreQuery("last"))
	next := strings.Trim(strings.Split(c.get(path).header.Get("Link"), ";")[0], "<>")
	require.Equal(t, c.get(path).body, c.get(next).body, "the next page is the same")
	loop.Remove()

	filter := path + "?artifactType=application/signature"
	require.Contains(t, c.get(filter).body, "application/signature")
	reg.Fault(t, On(registry.ListReferrers).IgnoreQuery("artifactType"))
	got := c.get(filter + "&n=5")
	require.Empty(t, got.header.Get("OCI-Filters-Applied"))

	referrer := Artifact("application/other", Subject(subject))
	put := func() http.Header {
		got := c.do("PUT", "/v2/app/manifests/"+string(referrer.Digest), string(referrer.Manifest), "Content-Type", referrer.MediaType)
		require.Equal(t, 201, got.status, got.body)
		return got.header
	}
	for b := range referrer.Blobs() {
		reg.PushBlob(t, "app", b)
	}
	require.NotEmpty(t, put().Get("OCI-Subject"))
	reg.Fault(t, On(registry.PutManifest).DropHeader("OCI-Subject"))
	require.Empty(t, put().Get("OCI-Subject"))
}

func wantHeaders(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(Layers(1)))
	c := clientOf(t, reg)
	wrong := string(digest.FromString("another"))
	for _, path := range []string{"/v2/app/manifests/v1", "/v2/app/blobs/" + string(app.Layers[0].Digest)} {
		for _, name := range []string{"Docker-Content-Digest", "Content-Type", "Content-Length", "Etag"} {
			drop := reg.Fault(t, On().DropHeader(name))
			require.NotContains(t, c.get(path).header, name)
			drop.Remove()
		}
		for name, value := range map[string]string{"Docker-Content-Digest": wrong, "Content-Type": "text/plain", "Location": "/x", "Link": `</x>; rel="next"`} {
			set := reg.Fault(t, On().SetHeader(name, value))
			require.Equal(t, value, c.get(path).header.Get(name))
			set.Remove()
		}
	}
}

func wantOtherContent(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(Layers(1)))
	c := clientOf(t, reg)
	for path, d := range map[string]digest.Digest{
		"/v2/app/manifests/v1":                          app.Digest,
		"/v2/app/blobs/" + string(app.Layers[0].Digest): app.Layers[0].Digest,
	} {
		require.Equal(t, d, digest.FromString(c.get(path).body))
		for _, rule := range []FaultRule{On().Corrupt(5), On().Corrupt(-1), On().Content("other"), On().Append("more")} {
			in := reg.Fault(t, rule)
			got := c.get(path)
			require.NoError(t, got.err)
			require.Equal(t, string(d), got.header.Get("Docker-Content-Digest"))
			require.NotEqual(t, d, digest.FromString(got.body))
			in.Remove()
		}
		for _, tampering := range []Tampering{BitFlipped(1), Truncated(1), Replaced([]byte("{}"))} {
			undo := reg.Tamper(t, "app", d, tampering)
			require.NotEqual(t, d, digest.FromString(c.get(path).body))
			undo()
		}
		require.Equal(t, d, digest.FromString(c.get(path).body))
	}
}

func wantSilence(t *testing.T) {
	tb := faketb.New(t)
	reg := NewServer(tb)
	c := clientOf(t, reg)
	for _, rule := range []FaultRule{On().Once().Status(500), On().Once().Reset(), On().Once().CloseAt(1), On().Once().ContentLength(1)} {
		reg.Fault(tb, rule)
		c.get("/v2/")
	}
	tb.End()
	require.Empty(t, tb.Lines())
	require.Empty(t, tb.Errors())
}

func wantRedirect(t *testing.T) {
	n := NewNetwork(t)
	reg, cdn := n.Registry("registry.example.com"), n.Registry("cdn.example.net")
	app := reg.Push(t, "app:v1", Image(Layers(1)))
	cdn.Push(t, "app:v1", Image(Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)

	reg.Fault(t, On(registry.GetBlob).Redirect("https://cdn.example.net"))
	got := c.get(path, "Authorization", "Basic c2VjcmV0OnNlY3JldA==", "Range", "bytes=3-")
	require.Equal(t, 206, got.status)
	first := cdn.Requests().First()
	require.Equal(t, "bytes=3-", first.Range, "it is asked for across the hop")
	require.Empty(t, first.RequestHeader.Get("Authorization"), "a secret has leaked")
	require.NotEmpty(t, reg.Requests().First().RequestHeader.Get("Authorization"))

	// To another scheme: what leaks would be read on the way.
	downgraded := n.Registry("plain.example.net")
	downgraded.Push(t, "app:v1", Image(Layers(1)))
	reg.Fault(t, On(registry.GetManifest).Redirect("http://plain.example.net").Status(302))
	require.Equal(t, 200, c.get("/v2/app/manifests/v1").status)
	require.Equal(t, "http", downgraded.Requests().First().URL.Scheme)
}

func wantLoop(t *testing.T) {
	reg := NewServer(t)
	c := clientOf(t, reg)
	in := reg.Fault(t, On().Redirect(""))
	require.ErrorContains(t, c.get("/v2/").err, "stopped after 10 redirects")
	require.Equal(t, 10, in.Fired())
}

func wantStallPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := NewServer(t, WithInMemory())
		app := reg.Push(t, "app:v1", Image(LayerSizes(5_000_000)))
		path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
		reg.Fault(t, On(registry.GetBlob).Conn(1).Stall(3_000_000, 100*time.Second))
		begin := time.Now()
		got := clientOf(t, reg).get(path)
		require.Len(t, got.body, 5_000_000)
		require.Equal(t, 100*time.Second, time.Since(begin))
		reg.Client().CloseIdleConnections()
		begin = time.Now()
		clientOf(t, reg).get(path)
		require.Zero(t, time.Since(begin), "another connection")
	})
}

func wantGate(t *testing.T) {
	reg := NewServer(t)
	reg.Push(t, "app:v1", Image())
	hold := reg.Hold(t, On(registry.GetManifest))
	done := make(chan int)
	go func() { done <- clientOf(t, reg).get("/v2/app/manifests/v1").status }()
	<-hold.Entered()
	require.Equal(t, 200, clientOf(t, reg).get("/v2/").status, "others go on")
	hold.Release()
	require.Equal(t, 200, <-done)
}

func wantSilentListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := NewServer(t, WithInMemory())
		reg.Silence(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", reg.URL+"/v2/", nil)
		require.NoError(t, err)
		_, err = reg.Client().Do(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, reg.Requests().Len())
	})
}

func wantHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := NewServer(t, WithInMemory(), WithTLS())
		undo := reg.Silence(t)
		transport := reg.Transport().Clone()
		transport.TLSHandshakeTimeout = 10 * time.Second
		defer transport.CloseIdleConnections()
		begin := time.Now()
		_, err := (&http.Client{Transport: transport}).Get(reg.URL + "/v2/")
		require.ErrorContains(t, err, "TLS handshake timeout")
		require.Equal(t, 10*time.Second, time.Since(begin))
		undo()
		require.Equal(t, 200, clientOf(t, reg).get("/v2/").status)
	})
}

func wantRanges(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(LayerSizes(1000)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)
	whole := c.get(path).body

	for spec, want := range map[string]string{"bytes=0-": whole, "bytes=999-": whole[999:], "bytes=-1": whole[999:], "bytes=10-19": whole[10:20]} {
		got := c.get(path, "Range", spec)
		require.Equal(t, 206, got.status)
		require.Equal(t, want, got.body, spec)
	}
	got := c.get(path, "Range", "bytes=0-4,10-14")
	_, params, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	require.NoError(t, err)
	part, err := multipart.NewReader(strings.NewReader(got.body), params["boundary"]).NextPart()
	require.NoError(t, err)
	content, err := io.ReadAll(part)
	require.NoError(t, err)
	require.Equal(t, whole[:5], string(content))

	ranged := On(registry.GetBlob).HasHeader("Range", "**").Once()
	for _, test := range []struct {
		rule   FaultRule
		status int
		body   string
	}{
		{ranged.IgnoreHeader("Range"), 200, whole},
		{ranged.SetHeader("Content-Range", "bytes 0-9/1000"), 206, whole[10:20]},
		{ranged.DropHeader("Content-Range"), 206, whole[10:20]},
		{ranged.DropHeader("Content-Length"), 206, whole[10:20]},
		{ranged.Status(400).Body(BodyEmpty), 400, ""},
		{ranged.Status(416).Body(BodyEmpty), 416, ""},
	} {
		reg.Fault(t, test.rule)
		got := c.get(path, "Range", "bytes=10-19")
		require.Equal(t, test.status, got.status, test.rule.String())
		require.Equal(t, test.body, got.body, test.rule.String())
		require.Equal(t, 206, c.get(path, "Range", "bytes=10-19").status)
	}
}

func wantTokenService(t *testing.T) {
	reg := NewServer(t, WithBearer())
	user := reg.User(t, "ci")
	token := func() wantAnswer {
		req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service=x&scope=repository:app:pull", nil)
		require.NoError(t, err)
		req.SetBasicAuth(user.Username, user.Password)
		resp, err := reg.Client().Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return wantAnswer{resp.StatusCode, resp.Header, string(body), nil}
	}
	reg.Fault(t, On(registry.GetToken).User("ci").Once().Status(503).Then().Once().Status(429).RetryAfter(time.Second).
		Then().Once().Status(503).Body(BodyText).Then().Once().Content("not JSON").Then().Once().Content("{}"))
	require.Equal(t, 503, token().status)
	require.Equal(t, "1", token().header.Get("Retry-After"))
	require.Equal(t, "text/plain; charset=utf-8", token().header.Get("Content-Type"))
	require.Equal(t, "not JSON", token().body)
	require.Equal(t, "{}", token().body, "no token in it")
	require.Contains(t, token().body, `"token"`)
}

func wantTokens(t *testing.T) {
	reg := NewServer(t, WithBearer())
	reg.Push(t, "app:v1", Image())
	user := reg.User(t, "ci")
	c := clientOf(t, reg)
	req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service="+url.QueryEscape(reg.Host())+"&scope=repository:app:pull", nil)
	require.NoError(t, err)
	req.SetBasicAuth(user.Username, user.Password)
	resp, err := reg.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct{ Token string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	bearer := func() wantAnswer {
		return c.get("/v2/app/manifests/v1", "Authorization", "Bearer "+answer.Token)
	}
	require.Equal(t, 200, bearer().status)
	reg.Fault(t, On(registry.GetManifest).Once().Status(401).
		SetHeader("WWW-Authenticate", `Bearer realm="x",scope="repository:app:pull,push",error="insufficient_scope"`))
	require.Contains(t, bearer().header.Get("WWW-Authenticate"), "insufficient_scope")
	require.Equal(t, 200, bearer().status)
	reg.Auth().ExpireTokens()
	require.Equal(t, 401, bearer().status)
}

func wantErrors(t *testing.T) {
	reg := NewServer(t)
	c := clientOf(t, reg)
	for _, status := range []int{400, 401, 403, 404, 405, 429, 500, 502, 503} {
		for shape, check := range map[ErrorBody]func(wantAnswer){
			BodySpec: func(got wantAnswer) {
				var body struct {
					Errors []struct{ Code, Message string }
				}
				require.NoError(t, json.Unmarshal([]byte(got.body), &body))
				require.Len(t, body.Errors, 1)
				require.NotEmpty(t, body.Errors[0].Code)
				require.Contains(t, body.Errors[0].Message, "on purpose: get-manifest once")
			},
			BodyNoCode: func(got wantAnswer) {
				require.True(t, json.Valid([]byte(got.body)))
				require.NotContains(t, got.body, `"code"`)
			},
			BodyBare:   func(got wantAnswer) { require.True(t, strings.HasPrefix(got.body, `{"code":`), got.body) },
			BodyText:   func(got wantAnswer) { require.Contains(t, got.header.Get("Content-Type"), "text/plain") },
			BodyHTML:   func(got wantAnswer) { require.Contains(t, got.body, "<html>") },
			BodyBroken: func(got wantAnswer) { require.False(t, json.Valid([]byte(got.body))) },
			BodyEmpty:  func(got wantAnswer) { require.Empty(t, got.body); require.NotContains(t, got.header, "Content-Type") },
		} {
			reg.Fault(t, On(registry.GetManifest).Once().Status(status).Body(shape))
			got := c.get("/v2/app/manifests/v1")
			require.NoError(t, got.err)
			require.Equal(t, status, got.status)
			check(got)
		}
	}
	reg.Fault(t, On(registry.GetManifest).Once().Code(registry.CodeDenied).Message("pay first"))
	got := c.get("/v2/app/manifests/v1")
	require.Equal(t, 403, got.status)
	require.JSONEq(t, `{"errors":[{"code":"DENIED","message":"pay first"}]}`, got.body)
}

func wantHead(t *testing.T) {
	reg := NewServer(t)
	reg.Push(t, "app:v1", Image())
	c := clientOf(t, reg)
	const path = "/v2/app/manifests/v1"
	for _, status := range []int{403, 404, 405} {
		in := reg.Fault(t, On(registry.HeadManifest).Status(status))
		got := c.do("HEAD", path, "")
		require.Equal(t, status, got.status)
		require.Empty(t, got.body, "HEAD does not tell why")
		require.Equal(t, 200, c.get(path).status)
		in.Remove()
	}
	reg.Fault(t, On(registry.HeadManifest).Once().DropHeader("Content-Length").DropHeader("Docker-Content-Digest").DropHeader("Content-Type"))
	got := c.do("HEAD", path, "")
	require.Equal(t, 200, got.status)
	require.Empty(t, got.header.Get("Docker-Content-Digest")+got.header.Get("Content-Length")+got.header.Get("Content-Type"))
	reg.Fault(t, On(registry.HeadManifest).Once().ContentLength(7))
	require.NotEqual(t, c.get(path).header.Get("Content-Length"), c.do("HEAD", path, "").header.Get("Content-Length"))
	reg.Fault(t, On(registry.GetManifest).Once().Status(403).Message("why"))
	require.Equal(t, 200, c.do("HEAD", path, "").status)
	require.Contains(t, c.get(path).body, "why")
}

func wantCuts(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(Layers(1)))
	c := clientOf(t, reg)
	for path, size := range map[string]int64{
		"/v2/app/manifests/v1":                          app.Size,
		"/v2/app/blobs/" + string(app.Layers[0].Digest): app.Layers[0].Size,
	} {
		for _, rule := range []FaultRule{On().CloseAt(5), On().CloseAt(-1), On().ContentLength(10)} {
			in := reg.Fault(t, rule)
			require.ErrorIs(t, c.get(path).err, io.ErrUnexpectedEOF, rule.String())
			in.Remove()
		}
		in := reg.Fault(t, On().ContentLength(-3))
		got := c.get(path)
		require.NoError(t, got.err, "nothing is wrong, but that it is not all")
		require.Len(t, got.body, int(size)-3)
		in.Remove()
	}
}

func wantBreaks(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	for _, rule := range []FaultRule{
		On().Close(), On().Reset(), On().HalfClose(), On().CloseInHeader(20), On().ResetInHeader(20),
		On().CloseAt(10), On().ResetAt(10), On().HalfCloseAt(10),
	} {
		in := reg.Fault(t, rule)
		require.Error(t, clientOf(t, reg).get(path).err, rule.String())
		in.Remove()
	}
	// In the middle of what the client sends.
	for _, rule := range []FaultRule{On(registry.PatchUpload).CloseAt(10), On(registry.PatchUpload).ResetAt(10)} {
		in := reg.Fault(t, rule)
		c := clientOf(t, reg)
		location := c.do("POST", "/v2/app/blobs/uploads/", "").header.Get("Location")
		require.Error(t, c.do("PATCH", location, strings.Repeat("x", 1000)).err)
		require.Equal(t, "0-9", c.get(location).header.Get("Range"))
		in.Remove()
	}
}

// pushChunks pushes a blob in chunks, and goes on where the registry says that
// it is whenever something fails.
func (c wantClient) pushChunks(content string, size int) (failures int, err error) {
	location := c.do("POST", "/v2/app/blobs/uploads/", "").header.Get("Location")
	for offset := 0; offset < len(content); {
		chunk := content[offset:min(offset+size, len(content))]
		got := c.do("PATCH", location, chunk, "Content-Range", fmt.Sprintf("%d-%d", offset, offset+len(chunk)-1), "Content-Type", "application/octet-stream")
		if got.status != 202 {
			if failures++; failures > 10 {
				return failures, errors.New("too many failures")
			}
		}
		if got.status != 202 && got.status != 416 {
			if got = c.get(location); got.status != 204 {
				return failures, fmt.Errorf("asking for the status: %d", got.status)
			}
		}
		location = got.header.Get("Location")
		var last int
		if _, err := fmt.Sscanf(got.header.Get("Range"), "0-%d", &last); err != nil {
			return failures, err
		}
		if last == 0 {
			last = -1 // There is no other way to say that nothing is there.
		}
		offset = last + 1
	}
	got := c.do("PUT", location+"?digest="+string(digest.FromString(content)), "")
	if got.status != 201 {
		return failures, fmt.Errorf("closing the session: %d %s", got.status, got.body)
	}
	return failures, nil
}

func wantResume(t *testing.T) {
	content := strings.Repeat("0123456789", 100)
	for rule, failures := range map[string]int{
		"patch-upload after=1 once accept=100":              1, // 416 with the truth
		"patch-upload after=1 once acknowledge=100":         0, // 202 for less than was sent
		"patch-upload after=1 once status=429":              1, // then GET of the status
		"patch-upload after=2 times=2 status=504":           2,
		"patch-upload after=1 once reset-at=100":            1,
		"patch-upload after=1 once close-at=299":            1,
		"patch-upload after=1 once after-commit reset":      1, // all is there, but nobody said so
		"patch-upload after=1 once after-commit status=500": 1,
		"patch-upload after=1 once status=401":              1,
		"patch-upload every=2 times=2 accept=1":             2,
	} {
		reg := NewServer(t)
		parsed, err := ParseFaultRule(rule)
		require.NoError(t, err)
		reg.Fault(t, parsed)
		got, err := clientOf(t, reg).pushChunks(content, 300)
		require.NoError(t, err, rule)
		require.Equal(t, failures, got, rule)
		size, err := reg.Store.StatBlob(t.Context(), "app", digest.FromString(content))
		require.NoError(t, err)
		require.EqualValues(t, len(content), size)
	}

	reg := NewServer(t)
	reg.Fault(t, On(registry.PatchUpload).After(2).Once().LoseUpload())
	_, err := clientOf(t, reg).pushChunks(content, 300)
	require.ErrorContains(t, err, "asking for the status: 404", "what is lost cannot be resumed")

	// Cancelled, and with another algorithm.
	c := clientOf(t, reg)
	location := c.do("POST", "/v2/app/blobs/uploads/?digest-algorithm=sha512", "").header.Get("Location")
	sum := digest.SHA512.FromString(content)
	require.Equal(t, 201, c.do("PUT", location+"?digest="+string(sum), content).status)
	location = c.do("POST", "/v2/app/blobs/uploads/", "").header.Get("Location")
	reg.Fault(t, On(registry.CancelUpload).Once().Status(500))
	require.Equal(t, 500, c.do("DELETE", location, "").status)
	require.Equal(t, 204, c.do("DELETE", location, "").status)
	require.Equal(t, 404, c.get(location).status)
}

func wantFallback(t *testing.T) {
	reg := NewServer(t)
	c := clientOf(t, reg)
	content := strings.Repeat("0123456789", 100)
	// What is in front of the registry has no patience with a large request.
	reg.Fault(t, On(registry.PutUpload).Where(func(r *registry.Request) bool { return r.ContentLength > 500 }).Status(504).Body(BodyHTML))
	location := c.do("POST", "/v2/app/blobs/uploads/", "").header.Get("Location")
	require.Equal(t, 504, c.do("PUT", location+"?digest="+string(digest.FromString(content)), content).status)
	_, err := c.pushChunks(content, 300)
	require.NoError(t, err)
}

func wantEncodings(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	transport := reg.Transport().Clone()
	transport.DisableCompression = true // It asks for none, and is given one.
	defer transport.CloseIdleConnections()
	c := clientOf(t, reg)
	c.Client = &http.Client{Transport: transport}
	whole := c.get(path).body
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"zstd"}, {"gzip", "gzip"}, {"deflate", "gzip", "zstd"}} {
		rule := On().Once()
		for _, coding := range codings {
			rule = rule.Encode(coding)
		}
		reg.Fault(t, rule)
		got := c.get(path)
		require.Equal(t, codings, got.header.Values("Content-Encoding"))
		body := []byte(got.body)
		for i := len(codings) - 1; i >= 0; i-- {
			body = decode(t, codings[i], body)
		}
		require.Equal(t, whole, string(body))
	}
}

func wantNotRetried(t *testing.T) {
	// retry is a client that knows which failures pass.
	retry := func(c wantClient, target string) (got wantAnswer) {
		for range 3 {
			if got = c.get(target); got.status < 500 && got.status != 429 {
				break
			}
		}
		return got
	}
	for status, requests := range map[int]int{400: 1, 401: 1, 403: 1, 404: 1, 429: 3, 503: 3} {
		reg := NewServer(t)
		reg.Push(t, "app:v1", Image())
		in := reg.Fault(t, On(registry.GetManifest).Status(status))
		require.Equal(t, status, retry(clientOf(t, reg), "/v2/app/manifests/v1").status)
		require.Equal(t, requests, in.Fired())
	}
}

func wantPatch504(t *testing.T) {
	reg := NewServer(t)
	in := reg.Fault(t, On(registry.PatchUpload).Times(3).Status(504))
	_, err := clientOf(t, reg).pushChunks("0123456789", 4)
	require.NoError(t, err)
	require.Equal(t, 3, in.Fired())
	require.Equal(t, 6, reg.Requests().Op(registry.PatchUpload).Len())
}

func wantUnauthorizedRange(t *testing.T) {
	reg := NewServer(t)
	app := reg.Push(t, "app:v1", Image(LayerSizes(1000)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)
	reg.Fault(t, On(registry.GetBlob).HasHeader("Range", "bytes=500-*").Once().Status(401).SetHeader("WWW-Authenticate", `Basic realm="x"`))
	got := c.get(path, "Range", "bytes=500-")
	require.Equal(t, 401, got.status)
	require.Equal(t, `Basic realm="x"`, got.header.Get("WWW-Authenticate"))
	require.Len(t, c.get(path, "Range", "bytes=500-").body, 500)
}

func wantCatalogPages(t *testing.T) {
	reg := NewServer(t, registry.WithPageSize(1))
	for _, name := range []string{"a", "b", "c"} {
		reg.Push(t, name+":v1", Image())
	}
	c := clientOf(t, reg)
	reg.Fault(t, On(registry.ListRepositories).After(1).Once().Status(503))
	var names []string
	failures := 0
	for next := "/v2/_catalog"; next != ""; {
		got := c.get(next)
		if got.status == 503 {
			failures++
			continue
		}
		var page struct{ Repositories []string }
		require.NoError(t, json.Unmarshal([]byte(got.body), &page))
		names = append(names, page.Repositories...)
		link, _, _ := strings.Cut(got.header.Get("Link"), ";")
		next = strings.Trim(link, "<>")
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.Equal(t, 1, failures)
}

func want503(t *testing.T) {
	reg := NewServer(t)
	patch := reg.Fault(t, On(registry.PatchUpload).Times(2).Status(503))
	_, err := clientOf(t, reg).pushChunks("0123456789", 10)
	require.NoError(t, err)
	require.Equal(t, 2, patch.Fired(), "if it were fewer, the test would fail at its end")
	require.Equal(t, 2, reg.Requests().Faulted().Status(503).Len())
	require.Equal(t, 3, reg.Requests().Op(registry.PatchUpload).Len())
}

func wantInsecure(t *testing.T) {
	reg := NewServer(t, WithTLS(UnknownCA))
	_, err := reg.Client().Get(reg.URL + "/v2/")
	require.Error(t, err)
	transport := reg.Transport().Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true
	defer transport.CloseIdleConnections()
	insecure := &http.Client{Transport: transport}
	resp, err := insecure.Get(reg.URL + "/v2/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	resp, err = insecure.Get("http://" + reg.Host() + "/v2/")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 400, resp.StatusCode, "HTTP where HTTPS is spoken")
}

func wantSNI(t *testing.T) {
	n := NewNetwork(t)
	for _, name := range []string{"one.example.com", "two.example.com"} {
		n.Registry(name)
		conn, err := n.DialContext(t.Context(), "tcp", name+":443")
		require.NoError(t, err)
		client := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: n.CA().Pool()})
		require.NoError(t, client.HandshakeContext(t.Context()))
		require.Equal(t, []string{name}, client.ConnectionState().PeerCertificates[0].DNSNames)
		client.Close()
	}
}

func wantAuth(t *testing.T) {
	reg := NewServer(t, WithBasic())
	reg.Push(t, "app:v1", Image())
	user := reg.User(t, "ci", "pull app")
	c := clientOf(t, reg)
	got := c.get("/v2/app/manifests/v1")
	require.Equal(t, 401, got.status)
	require.Contains(t, got.header.Get("WWW-Authenticate"), "Basic")
	req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/v2/app/manifests/v1", nil)
	require.NoError(t, err)
	req.SetBasicAuth(user.Username, user.Password)
	// With a fault that is for those who are let in.
	reg.Fault(t, On(registry.GetManifest).User("ci").Once().Status(503))
	for _, want := range []int{503, 200} {
		resp, err := reg.Client().Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, resp.StatusCode)
	}
}

func wantRegistry(t *testing.T) {
	reg := NewServer(t, registry.WithPageSize(2))
	app := Image(Layers(1))
	for _, tag := range []string{"a", "b", "c"} {
		reg.Push(t, "app:"+tag, app)
	}
	c := clientOf(t, reg)
	first := c.get("/v2/app/tags/list")
	require.JSONEq(t, `{"name":"app","tags":["a","b"]}`, first.body)
	link, _, _ := strings.Cut(first.header.Get("Link"), ";")
	require.JSONEq(t, `{"name":"app","tags":["c"]}`, c.get(strings.Trim(link, "<>")).body)

	reg.Push(t, "app", Artifact("application/a", Subject(app)))
	reg.Push(t, "app", Artifact("application/b", Subject(app)))
	got := c.get("/v2/app/referrers/" + string(app.Digest) + "?artifactType=application/b")
	require.Contains(t, got.body, `"application/b"`)
	require.NotContains(t, got.body, `"application/a"`)

	got = c.do("PUT", "/v2/other/manifests/v1", string(app.Manifest), "Content-Type", app.MediaType)
	require.Equal(t, 400, got.status)
	require.Contains(t, got.body, registry.CodeManifestBlobUnknown)
}
