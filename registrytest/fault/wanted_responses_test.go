package fault_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

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
	// Retry-After can be a date, by the clock of the bubble.
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
		require.Empty(t, got.Body, "a response to HEAD has no body")
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

func wantNotRetried(t *testing.T) {
	// retry sends a request up to three times, while the status is 429 or from 500.
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
