package fault_test

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
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// What tests of clients have needed, and had to build by hand or to give up.
// docs/faults.md lists it, with the names of these tests.
func TestWanted(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("../../docs/faults.md")
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

func clientOf(t *testing.T, s *registrytest.Server) testclient.Client {
	return testclient.New(t, s.Client(), s.URL)
}

// codes returns the statuses of n answers to GET.
func codes(c testclient.Client, n int, target string) (codes []int) {
	for range n {
		codes = append(codes, c.Get(target).Status)
	}
	return codes
}

func wantFailures(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		reg := registrytest.NewServer(t)
		reg.Push(t, "team/app:v1", content.Image())
		reg.Push(t, "other/app:v1", content.Image())
		c := clientOf(t, reg)
		reg.Fault(t, fault.On(registry.GetManifest).Repo("team/*").Times(2).Status(status).RetryAfter(time.Second))
		require.Equal(t, []int{200}, codes(c, 1, "/v2/other/app/manifests/v1"))
		require.Equal(t, "1", c.Get("/v2/team/app/manifests/v1").Header.Get("Retry-After"))
		require.Equal(t, []int{status, 200}, codes(c, 2, "/v2/team/app/manifests/v1"))
		require.Equal(t, 3, reg.Requests().Repo("team/app").Len())
	}
	// Retry-After as a date, on a clock that takes no time.
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		c := clientOf(t, reg)
		reg.Fault(t, fault.On(registry.Ping).Once().Status(503).RetryAfter(5*time.Minute, fault.AsDate).Then().Once().Status(429).RetryAfter(time.Minute))
		begin := time.Now()
		for {
			got := c.Get("/v2/")
			if got.Status == 200 {
				break
			}
			after := got.Header.Get("Retry-After")
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
	off := registrytest.NewServer(t, registry.Without(registry.ListReferrers))
	subject := off.Push(t, "app:v1", content.Image())
	path := "/v2/app/referrers/" + string(subject.Digest)
	require.Equal(t, 404, clientOf(t, off).Get(path).Status)

	reg := registrytest.NewServer(t, registry.WithPageSize(1))
	c := clientOf(t, reg)
	reg.Push(t, "app:v1", content.Image())
	for i, kind := range []string{"application/sbom", "application/signature"} {
		reg.Push(t, fmt.Sprint("app:r", i), content.Artifact(kind, content.Subject(subject)))
	}
	refuse := reg.Fault(t, fault.On(registry.ListReferrers).Once().Status(401))
	require.Equal(t, 401, c.Get(path).Status)
	refuse.Remove()

	require.NotEmpty(t, c.Get(path).Header.Get("Link"))
	noLink := reg.Fault(t, fault.On(registry.ListReferrers).DropHeader("Link"))
	require.Empty(t, c.Get(path).Header.Get("Link"))
	noLink.Remove()
	loop := reg.Fault(t, fault.On(registry.ListReferrers).Ignore("?last"))
	next := strings.Trim(strings.Split(c.Get(path).Header.Get("Link"), ";")[0], "<>")
	require.Equal(t, c.Get(path).Body, c.Get(next).Body, "the next page is the same")
	loop.Remove()

	filter := path + "?artifactType=application/signature"
	require.Contains(t, c.Get(filter).Body, "application/signature")
	reg.Fault(t, fault.On(registry.ListReferrers).Ignore("?artifactType"))
	got := c.Get(filter + "&n=5")
	require.Empty(t, got.Header.Get("OCI-Filters-Applied"))

	referrer := content.Artifact("application/other", content.Subject(subject))
	put := func() http.Header {
		got := c.Do("PUT", "/v2/app/manifests/"+string(referrer.Digest), string(referrer.Manifest), "Content-Type", referrer.MediaType)
		require.Equal(t, 201, got.Status, got.Body)
		return got.Header
	}
	for b := range referrer.Blobs() {
		reg.PushBlob(t, "app", b)
	}
	require.NotEmpty(t, put().Get("OCI-Subject"))
	reg.Fault(t, fault.On(registry.PutManifest).DropHeader("OCI-Subject"))
	require.Empty(t, put().Get("OCI-Subject"))
}

func wantHeaders(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	c := clientOf(t, reg)
	wrong := string(digest.FromString("another"))
	for _, path := range []string{"/v2/app/manifests/v1", "/v2/app/blobs/" + string(app.Layers[0].Digest)} {
		for _, name := range []string{"Docker-Content-Digest", "Content-Type", "Content-Length", "Etag"} {
			drop := reg.Fault(t, fault.On().DropHeader(name))
			require.NotContains(t, c.Get(path).Header, name)
			drop.Remove()
		}
		for name, value := range map[string]string{"Docker-Content-Digest": wrong, "Content-Type": "text/plain", "Location": "/x", "Link": `</x>; rel="next"`} {
			set := reg.Fault(t, fault.On().SetHeader(name, value))
			require.Equal(t, value, c.Get(path).Header.Get(name))
			set.Remove()
		}
	}
}

func wantOtherContent(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	c := clientOf(t, reg)
	for path, d := range map[string]digest.Digest{
		"/v2/app/manifests/v1":                          app.Digest,
		"/v2/app/blobs/" + string(app.Layers[0].Digest): app.Layers[0].Digest,
	} {
		require.Equal(t, d, digest.FromString(c.Get(path).Body))
		for _, rule := range []fault.Rule{fault.On().Corrupt(5), fault.On().Corrupt(-1), fault.On().Body(fault.Text("other")), fault.On().Body(fault.Append("more"))} {
			in := reg.Fault(t, rule)
			got := c.Get(path)
			require.NoError(t, got.Err)
			require.Equal(t, string(d), got.Header.Get("Docker-Content-Digest"))
			require.NotEqual(t, d, digest.FromString(got.Body))
			in.Remove()
		}
		for _, tampering := range []registrytest.Tampering{registrytest.BitFlipped(1), registrytest.Truncated(1), registrytest.Replaced([]byte("{}"))} {
			undo := reg.Tamper(t, "app", d, tampering)
			require.NotEqual(t, d, digest.FromString(c.Get(path).Body))
			undo()
		}
		require.Equal(t, d, digest.FromString(c.Get(path).Body))
	}
}

func wantSilence(t *testing.T) {
	tb := faketb.New(t)
	reg := registrytest.NewServer(tb)
	c := clientOf(t, reg)
	for _, rule := range []fault.Rule{fault.On().Once().Status(500), fault.On().Once().Reset(), fault.On().Once().Close(fault.AtByte(1)), fault.On().Once().ContentLength(1)} {
		reg.Fault(tb, rule)
		c.Get("/v2/")
	}
	tb.End()
	require.Empty(t, tb.Lines())
	require.Empty(t, tb.Errors())
}

func wantRedirect(t *testing.T) {
	n := registrytest.NewNetwork(t)
	reg, cdn := n.Registry("registry.example.com"), n.Registry("cdn.example.net")
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	cdn.Push(t, "app:v1", content.Image(content.Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)

	reg.Fault(t, fault.On(registry.GetBlob).Status(307).Location("https://cdn.example.net"))
	got := c.Get(path, "Authorization", "Basic c2VjcmV0OnNlY3JldA==", "Range", "bytes=3-")
	require.Equal(t, 206, got.Status)
	first := cdn.Requests().First()
	require.Equal(t, "bytes=3-", first.Range, "it is asked for across the hop")
	require.Empty(t, first.RequestHeader.Get("Authorization"), "a secret has leaked")
	require.NotEmpty(t, reg.Requests().First().RequestHeader.Get("Authorization"))

	// To another scheme: what leaks would be read on the way.
	downgraded := n.Registry("plain.example.net")
	downgraded.Push(t, "app:v1", content.Image(content.Layers(1)))
	reg.Fault(t, fault.On(registry.GetManifest).Status(302).Location("http://plain.example.net"))
	require.Equal(t, 200, c.Get("/v2/app/manifests/v1").Status)
	require.Equal(t, "http", downgraded.Requests().First().URL.Scheme)
}

func wantLoop(t *testing.T) {
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	in := reg.Fault(t, fault.On().Status(307).Location(""))
	require.ErrorContains(t, c.Get("/v2/").Err, "stopped after 10 redirects")
	require.Equal(t, 10, in.Fired())
}

func wantStallPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(5_000_000)))
		path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
		reg.Fault(t, fault.On(registry.GetBlob).Conn(1).Stall(3_000_000, 100*time.Second))
		begin := time.Now()
		got := clientOf(t, reg).Get(path)
		require.Len(t, got.Body, 5_000_000)
		require.Equal(t, 100*time.Second, time.Since(begin))
		reg.Client().CloseIdleConnections()
		begin = time.Now()
		clientOf(t, reg).Get(path)
		require.Zero(t, time.Since(begin), "another connection")
	})
}

func wantGate(t *testing.T) {
	reg := registrytest.NewServer(t)
	reg.Push(t, "app:v1", content.Image())
	hold := reg.Hold(t, fault.On(registry.GetManifest))
	done := make(chan int)
	go func() { done <- clientOf(t, reg).Get("/v2/app/manifests/v1").Status }()
	<-hold.Entered()
	require.Equal(t, 200, clientOf(t, reg).Get("/v2/").Status, "others go on")
	hold.Release()
	require.Equal(t, 200, <-done)
}

func wantSilentListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
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
		reg := registrytest.NewServer(t, registrytest.WithInMemory(), registrytest.WithTLS())
		undo := reg.Silence(t)
		transport := reg.Transport().Clone()
		transport.TLSHandshakeTimeout = 10 * time.Second
		defer transport.CloseIdleConnections()
		begin := time.Now()
		_, err := (&http.Client{Transport: transport}).Get(reg.URL + "/v2/")
		require.ErrorContains(t, err, "TLS handshake timeout")
		require.Equal(t, 10*time.Second, time.Since(begin))
		undo()
		require.Equal(t, 200, clientOf(t, reg).Get("/v2/").Status)
	})
}

func wantRanges(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(1000)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)
	whole := c.Get(path).Body

	for spec, want := range map[string]string{"bytes=0-": whole, "bytes=999-": whole[999:], "bytes=-1": whole[999:], "bytes=10-19": whole[10:20]} {
		got := c.Get(path, "Range", spec)
		require.Equal(t, 206, got.Status)
		require.Equal(t, want, got.Body, spec)
	}
	got := c.Get(path, "Range", "bytes=0-4,10-14")
	_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	require.NoError(t, err)
	part, err := multipart.NewReader(strings.NewReader(got.Body), params["boundary"]).NextPart()
	require.NoError(t, err)
	content, err := io.ReadAll(part)
	require.NoError(t, err)
	require.Equal(t, whole[:5], string(content))

	ranged := fault.On(registry.GetBlob).HasHeader("Range", "**").Once()
	for _, test := range []struct {
		rule   fault.Rule
		status int
		body   string
	}{
		{ranged.Ignore("Range"), 200, whole},
		{ranged.SetHeader("Content-Range", "bytes 0-9/1000"), 206, whole[10:20]},
		{ranged.DropHeader("Content-Range"), 206, whole[10:20]},
		{ranged.DropHeader("Content-Length"), 206, whole[10:20]},
		{ranged.Status(400).Body(fault.Empty), 400, ""},
		{ranged.Status(416).Body(fault.Empty), 416, ""},
	} {
		reg.Fault(t, test.rule)
		got := c.Get(path, "Range", "bytes=10-19")
		require.Equal(t, test.status, got.Status, test.rule.String())
		require.Equal(t, test.body, got.Body, test.rule.String())
		require.Equal(t, 206, c.Get(path, "Range", "bytes=10-19").Status)
	}
}

func wantTokenService(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	user := who.User("ci")
	token := func() testclient.Response {
		req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service=x&scope=repository:app:pull", nil)
		require.NoError(t, err)
		req.SetBasicAuth(user.Username, user.Password)
		resp, err := reg.Client().Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return testclient.Response{Status: resp.StatusCode, Header: resp.Header, Body: string(body), Err: nil}
	}
	reg.Fault(t, fault.On(registry.GetToken).User("ci").Once().Status(503).Then().Once().Status(429).RetryAfter(time.Second).
		Then().Once().Status(503).Body(fault.Plain).Then().Once().Body(fault.Text("not JSON")).Then().Once().Body(fault.Text("{}")))
	require.Equal(t, 503, token().Status)
	require.Equal(t, "1", token().Header.Get("Retry-After"))
	require.Equal(t, "text/plain; charset=utf-8", token().Header.Get("Content-Type"))
	require.Equal(t, "not JSON", token().Body)
	require.Equal(t, "{}", token().Body, "no token in it")
	require.Contains(t, token().Body, `"token"`)
}

func wantTokens(t *testing.T) {
	who := auth.Bearer()
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "app:v1", content.Image())
	user := who.User("ci")
	c := clientOf(t, reg)
	req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/token?service="+url.QueryEscape(reg.Host())+"&scope=repository:app:pull", nil)
	require.NoError(t, err)
	req.SetBasicAuth(user.Username, user.Password)
	resp, err := reg.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct{ Token string }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	bearer := func() testclient.Response {
		return c.Get("/v2/app/manifests/v1", "Authorization", "Bearer "+answer.Token)
	}
	require.Equal(t, 200, bearer().Status)
	reg.Fault(t, fault.On(registry.GetManifest).Once().Status(401).
		SetHeader("WWW-Authenticate", `Bearer realm="x",scope="repository:app:pull,push",error="insufficient_scope"`))
	require.Contains(t, bearer().Header.Get("WWW-Authenticate"), "insufficient_scope")
	require.Equal(t, 200, bearer().Status)
	who.ExpireTokens()
	require.Equal(t, 401, bearer().Status)
}

func wantErrors(t *testing.T) {
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	for _, status := range []int{400, 401, 403, 404, 405, 429, 500, 502, 503} {
		for shape, check := range map[fault.Body]func(testclient.Response){
			fault.Spec: func(got testclient.Response) {
				var body struct {
					Errors []struct{ Code, Message string }
				}
				require.NoError(t, json.Unmarshal([]byte(got.Body), &body))
				require.Len(t, body.Errors, 1)
				require.NotEmpty(t, body.Errors[0].Code)
				require.Contains(t, body.Errors[0].Message, "on purpose: get-manifest once")
			},
			fault.NoCode: func(got testclient.Response) {
				require.True(t, json.Valid([]byte(got.Body)))
				require.NotContains(t, got.Body, `"code"`)
			},
			fault.Bare:   func(got testclient.Response) { require.True(t, strings.HasPrefix(got.Body, `{"code":`), got.Body) },
			fault.Plain:  func(got testclient.Response) { require.Contains(t, got.Header.Get("Content-Type"), "text/plain") },
			fault.HTML:   func(got testclient.Response) { require.Contains(t, got.Body, "<html>") },
			fault.Broken: func(got testclient.Response) { require.False(t, json.Valid([]byte(got.Body))) },
			fault.Empty: func(got testclient.Response) {
				require.Empty(t, got.Body)
				require.NotContains(t, got.Header, "Content-Type")
			},
		} {
			reg.Fault(t, fault.On(registry.GetManifest).Once().Status(status).Body(shape))
			got := c.Get("/v2/app/manifests/v1")
			require.NoError(t, got.Err)
			require.Equal(t, status, got.Status)
			check(got)
		}
	}
	reg.Fault(t, fault.On(registry.GetManifest).Once().Code(registry.CodeDenied).Message("pay first"))
	got := c.Get("/v2/app/manifests/v1")
	require.Equal(t, 403, got.Status)
	require.JSONEq(t, `{"errors":[{"code":"DENIED","message":"pay first"}]}`, got.Body)
}

func wantHead(t *testing.T) {
	reg := registrytest.NewServer(t)
	reg.Push(t, "app:v1", content.Image())
	c := clientOf(t, reg)
	const path = "/v2/app/manifests/v1"
	for _, status := range []int{403, 404, 405} {
		in := reg.Fault(t, fault.On(registry.HeadManifest).Status(status))
		got := c.Do("HEAD", path, "")
		require.Equal(t, status, got.Status)
		require.Empty(t, got.Body, "HEAD does not tell why")
		require.Equal(t, 200, c.Get(path).Status)
		in.Remove()
	}
	reg.Fault(t, fault.On(registry.HeadManifest).Once().DropHeader("Content-Length").DropHeader("Docker-Content-Digest").DropHeader("Content-Type"))
	got := c.Do("HEAD", path, "")
	require.Equal(t, 200, got.Status)
	require.Empty(t, got.Header.Get("Docker-Content-Digest")+got.Header.Get("Content-Length")+got.Header.Get("Content-Type"))
	reg.Fault(t, fault.On(registry.HeadManifest).Once().ContentLength(7))
	require.NotEqual(t, c.Get(path).Header.Get("Content-Length"), c.Do("HEAD", path, "").Header.Get("Content-Length"))
	reg.Fault(t, fault.On(registry.GetManifest).Once().Status(403).Message("why"))
	require.Equal(t, 200, c.Do("HEAD", path, "").Status)
	require.Contains(t, c.Get(path).Body, "why")
}

func wantCuts(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	c := clientOf(t, reg)
	for path, size := range map[string]int64{
		"/v2/app/manifests/v1":                          app.Size,
		"/v2/app/blobs/" + string(app.Layers[0].Digest): app.Layers[0].Size,
	} {
		for _, rule := range []fault.Rule{fault.On().Close(fault.AtByte(5)), fault.On().Close(fault.AtByte(-1)), fault.On().ContentLength(10)} {
			in := reg.Fault(t, rule)
			require.ErrorIs(t, c.Get(path).Err, io.ErrUnexpectedEOF, rule.String())
			in.Remove()
		}
		in := reg.Fault(t, fault.On().ContentLength(-3))
		got := c.Get(path)
		require.NoError(t, got.Err, "nothing is wrong, but that it is not all")
		require.Len(t, got.Body, int(size)-3)
		in.Remove()
	}
}

func wantBreaks(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	for _, rule := range []fault.Rule{
		fault.On().Close(), fault.On().Reset(), fault.On().HalfClose(), fault.On().Close(fault.InHeader(20)), fault.On().Reset(fault.InHeader(20)),
		fault.On().Close(fault.AtByte(10)), fault.On().Reset(fault.AtByte(10)), fault.On().HalfClose(fault.AtByte(10)),
	} {
		in := reg.Fault(t, rule)
		require.Error(t, clientOf(t, reg).Get(path).Err, rule.String())
		in.Remove()
	}
	// In the middle of what the client sends.
	for _, rule := range []fault.Rule{fault.On(registry.PatchUpload).Close(fault.AtByte(10)), fault.On(registry.PatchUpload).Reset(fault.AtByte(10))} {
		in := reg.Fault(t, rule)
		c := clientOf(t, reg)
		location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
		require.Error(t, c.Do("PATCH", location, strings.Repeat("x", 1000)).Err)
		require.Equal(t, "0-9", c.Get(location).Header.Get("Range"))
		in.Remove()
	}
}

// pushChunks pushes a blob in chunks, and goes on where the registry says that
// it is whenever something fails.
func pushChunks(c testclient.Client, content string, size int) (failures int, err error) {
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	for offset := 0; offset < len(content); {
		chunk := content[offset:min(offset+size, len(content))]
		got := c.Do("PATCH", location, chunk, "Content-Range", fmt.Sprintf("%d-%d", offset, offset+len(chunk)-1), "Content-Type", "application/octet-stream")
		if got.Status != 202 {
			if failures++; failures > 10 {
				return failures, errors.New("too many failures")
			}
		}
		if got.Status != 202 && got.Status != 416 {
			if got = c.Get(location); got.Status != 204 {
				return failures, fmt.Errorf("asking for the status: %d", got.Status)
			}
		}
		location = got.Header.Get("Location")
		var last int
		if _, err := fmt.Sscanf(got.Header.Get("Range"), "0-%d", &last); err != nil {
			return failures, err
		}
		if last == 0 {
			last = -1 // There is no other way to say that nothing is there.
		}
		offset = last + 1
	}
	got := c.Do("PUT", location+"?digest="+string(digest.FromString(content)), "")
	if got.Status != 201 {
		return failures, fmt.Errorf("closing the session: %d %s", got.Status, got.Body)
	}
	return failures, nil
}

func wantResume(t *testing.T) {
	content := strings.Repeat("0123456789", 100)
	for rule, failures := range map[string]int{
		"patch-upload after=1 once keep=100":                1, // 416 with the truth
		"patch-upload after=1 once acknowledge=100":         0, // 202 for less than was sent
		"patch-upload after=1 once status=429":              1, // then GET of the status
		"patch-upload after=2 times=2 status=504":           2,
		"patch-upload after=1 once reset=100":               1,
		"patch-upload after=1 once close=299":               1,
		"patch-upload after=1 once after-commit reset":      1, // all is there, but nobody said so
		"patch-upload after=1 once after-commit status=500": 1,
		"patch-upload after=1 once status=401":              1,
		"patch-upload every=2 times=2 keep=1":               2,
	} {
		reg := registrytest.NewServer(t)
		parsed, err := fault.Parse(rule)
		require.NoError(t, err)
		reg.Fault(t, parsed)
		got, err := pushChunks(clientOf(t, reg), content, 300)
		require.NoError(t, err, rule)
		require.Equal(t, failures, got, rule)
		size, err := reg.Store.StatBlob(t.Context(), "app", digest.FromString(content))
		require.NoError(t, err)
		require.EqualValues(t, len(content), size)
	}

	reg := registrytest.NewServer(t)
	reg.Fault(t, fault.On(registry.PatchUpload).After(2).Once().LoseUpload())
	_, err := pushChunks(clientOf(t, reg), content, 300)
	require.ErrorContains(t, err, "asking for the status: 404", "what is lost cannot be resumed")

	// Cancelled, and with another algorithm.
	c := clientOf(t, reg)
	location := c.Do("POST", "/v2/app/blobs/uploads/?digest-algorithm=sha512", "").Header.Get("Location")
	sum := digest.SHA512.FromString(content)
	require.Equal(t, 201, c.Do("PUT", location+"?digest="+string(sum), content).Status)
	location = c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	reg.Fault(t, fault.On(registry.CancelUpload).Once().Status(500))
	require.Equal(t, 500, c.Do("DELETE", location, "").Status)
	require.Equal(t, 204, c.Do("DELETE", location, "").Status)
	require.Equal(t, 404, c.Get(location).Status)
}

func wantFallback(t *testing.T) {
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	content := strings.Repeat("0123456789", 100)
	// What is in front of the registry has no patience with a large request.
	reg.Fault(t, fault.On(registry.PutUpload).Where(func(r *registry.Request) bool { return r.ContentLength > 500 }).Status(504).Body(fault.HTML))
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	require.Equal(t, 504, c.Do("PUT", location+"?digest="+string(digest.FromString(content)), content).Status)
	_, err := pushChunks(c, content, 300)
	require.NoError(t, err)
}

func wantEncodings(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	transport := reg.Transport().Clone()
	transport.DisableCompression = true // It asks for none, and is given one.
	defer transport.CloseIdleConnections()
	c := clientOf(t, reg)
	c.Client = &http.Client{Transport: transport}
	whole := c.Get(path).Body
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"zstd"}, {"gzip", "gzip"}, {"deflate", "gzip", "zstd"}} {
		rule := fault.On().Once()
		for _, coding := range codings {
			rule = rule.Body(fault.Body(coding))
		}
		reg.Fault(t, rule)
		got := c.Get(path)
		require.Equal(t, codings, got.Header.Values("Content-Encoding"))
		body := []byte(got.Body)
		for i := len(codings) - 1; i >= 0; i-- {
			body = decode(t, codings[i], body)
		}
		require.Equal(t, whole, string(body))
	}
}

func wantNotRetried(t *testing.T) {
	// retry is a client that knows which failures pass.
	retry := func(c testclient.Client, target string) (got testclient.Response) {
		for range 3 {
			if got = c.Get(target); got.Status < 500 && got.Status != 429 {
				break
			}
		}
		return got
	}
	for status, requests := range map[int]int{400: 1, 401: 1, 403: 1, 404: 1, 429: 3, 503: 3} {
		reg := registrytest.NewServer(t)
		reg.Push(t, "app:v1", content.Image())
		in := reg.Fault(t, fault.On(registry.GetManifest).Status(status))
		require.Equal(t, status, retry(clientOf(t, reg), "/v2/app/manifests/v1").Status)
		require.Equal(t, requests, in.Fired())
	}
}

func wantPatch504(t *testing.T) {
	reg := registrytest.NewServer(t)
	in := reg.Fault(t, fault.On(registry.PatchUpload).Times(3).Status(504))
	_, err := pushChunks(clientOf(t, reg), "0123456789", 4)
	require.NoError(t, err)
	require.Equal(t, 3, in.Fired())
	require.Equal(t, 6, reg.Requests().Op(registry.PatchUpload).Len())
}

func wantUnauthorizedRange(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(1000)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)
	reg.Fault(t, fault.On(registry.GetBlob).HasHeader("Range", "bytes=500-*").Once().Status(401).SetHeader("WWW-Authenticate", `Basic realm="x"`))
	got := c.Get(path, "Range", "bytes=500-")
	require.Equal(t, 401, got.Status)
	require.Equal(t, `Basic realm="x"`, got.Header.Get("WWW-Authenticate"))
	require.Len(t, c.Get(path, "Range", "bytes=500-").Body, 500)
}

func wantCatalogPages(t *testing.T) {
	reg := registrytest.NewServer(t, registry.WithPageSize(1))
	for _, name := range []string{"a", "b", "c"} {
		reg.Push(t, name+":v1", content.Image())
	}
	c := clientOf(t, reg)
	reg.Fault(t, fault.On(registry.ListRepositories).After(1).Once().Status(503))
	var names []string
	failures := 0
	for next := "/v2/_catalog"; next != ""; {
		got := c.Get(next)
		if got.Status == 503 {
			failures++
			continue
		}
		var page struct{ Repositories []string }
		require.NoError(t, json.Unmarshal([]byte(got.Body), &page))
		names = append(names, page.Repositories...)
		link, _, _ := strings.Cut(got.Header.Get("Link"), ";")
		next = strings.Trim(link, "<>")
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.Equal(t, 1, failures)
}

func want503(t *testing.T) {
	reg := registrytest.NewServer(t)
	patch := reg.Fault(t, fault.On(registry.PatchUpload).Times(2).Status(503))
	_, err := pushChunks(clientOf(t, reg), "0123456789", 10)
	require.NoError(t, err)
	require.Equal(t, 2, patch.Fired(), "if it were fewer, the test would fail at its end")
	require.Equal(t, 2, reg.Requests().Where((*journal.Record).Faulted).Status(503).Len())
	require.Equal(t, 3, reg.Requests().Op(registry.PatchUpload).Len())
}

func wantInsecure(t *testing.T) {
	reg := registrytest.NewServer(t, registrytest.WithTLS(registrytest.UnknownCA))
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
	n := registrytest.NewNetwork(t)
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
	who := auth.Basic()
	reg := registrytest.NewServer(t, who)
	reg.Push(t, "app:v1", content.Image())
	user := who.User("ci", "pull app")
	c := clientOf(t, reg)
	got := c.Get("/v2/app/manifests/v1")
	require.Equal(t, 401, got.Status)
	require.Contains(t, got.Header.Get("WWW-Authenticate"), "Basic")
	req, err := http.NewRequestWithContext(t.Context(), "GET", reg.URL+"/v2/app/manifests/v1", nil)
	require.NoError(t, err)
	req.SetBasicAuth(user.Username, user.Password)
	// With a fault that is for those who are let in.
	reg.Fault(t, fault.On(registry.GetManifest).User("ci").Once().Status(503))
	for _, want := range []int{503, 200} {
		resp, err := reg.Client().Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, resp.StatusCode)
	}
}

func wantRegistry(t *testing.T) {
	reg := registrytest.NewServer(t, registry.WithPageSize(2))
	app := content.Image(content.Layers(1))
	for _, tag := range []string{"a", "b", "c"} {
		reg.Push(t, "app:"+tag, app)
	}
	c := clientOf(t, reg)
	first := c.Get("/v2/app/tags/list")
	require.JSONEq(t, `{"name":"app","tags":["a","b"]}`, first.Body)
	link, _, _ := strings.Cut(first.Header.Get("Link"), ";")
	require.JSONEq(t, `{"name":"app","tags":["c"]}`, c.Get(strings.Trim(link, "<>")).Body)

	reg.Push(t, "app", content.Artifact("application/a", content.Subject(app)))
	reg.Push(t, "app", content.Artifact("application/b", content.Subject(app)))
	got := c.Get("/v2/app/referrers/" + string(app.Digest) + "?artifactType=application/b")
	require.Contains(t, got.Body, `"application/b"`)
	require.NotContains(t, got.Body, `"application/a"`)

	got = c.Do("PUT", "/v2/other/manifests/v1", string(app.Manifest), "Content-Type", app.MediaType)
	require.Equal(t, 400, got.Status)
	require.Contains(t, got.Body, registry.CodeManifestBlobUnknown)
}
