package fault_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// wantOwnStatus changes only the status of a response. Amazon's registry responds to a
// chunk with 201, and storage services respond to a range with 200.
func wantOwnStatus(t *testing.T) {
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	reg.Fault(t, fault.On(registry.PatchUpload).AfterCommit().Status(201).Body(fault.Own))
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	for _, want := range []int{201, 416} {
		got := c.Do("PATCH", location, "0123456789", "Content-Range", "0-9")
		require.Equal(t, want, got.Status)
		require.Equal(t, "0-9", got.Header.Get("Range"))
		require.Equal(t, location, got.Header.Get("Location"))
	}
	require.Equal(t, 201, reg.Requests().Op(registry.PatchUpload).First().Status)

	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(100)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	whole := c.Get(path).Body
	reg.Fault(t, fault.On(registry.GetBlob).HasHeader("Range").Status(200).Body(fault.Own))
	got := c.Get(path, "Range", "bytes=10-19")
	require.Equal(t, 200, got.Status)
	require.Equal(t, "bytes 10-19/100", got.Header.Get("Content-Range"))
	require.Equal(t, whole[10:20], got.Body)

	// Of a rule with Own and a rule with another response, the one set later takes
	// effect.
	reg.Fault(t, fault.On(registry.GetBlob).HasHeader("Range").Once().Status(503))
	require.Equal(t, 503, c.Get(path, "Range", "bytes=10-19").Status)
	require.Equal(t, 200, c.Get(path, "Range", "bytes=10-19").Status)
	waits := reg.Fault(t, fault.On(registry.GetManifest).Once().Status(503))
	reg.Fault(t, fault.On(registry.GetManifest).Once().Status(404).Body(fault.Own))
	require.Equal(t, string(app.Manifest), c.Get("/v2/app/manifests/v1").Body)
	require.Zero(t, waits.Fired())
	require.Equal(t, 503, c.Get("/v2/app/manifests/v1").Status)
}

func wantComputed(t *testing.T) {
	// The link to the next page of tags is an absolute URL, here of another host.
	n := registrytest.NewNetwork(t)
	reg, next := n.Registry("registry.test", registry.WithPageSize(1)), n.Registry("pages.test", registry.WithPageSize(1))
	for _, tag := range []string{"a", "b"} {
		reg.Push(t, "app:"+tag, content.Image())
		next.Push(t, "app:"+tag, content.Image())
	}
	reg.Fault(t, fault.On(registry.ListTags).Location("https://pages.test"))
	c := clientOf(t, reg)
	link, _, _ := strings.Cut(c.Get("/v2/app/tags/list").Header.Get("Link"), ";")
	require.JSONEq(t, `{"name":"app","tags":["b"]}`, c.Get(strings.Trim(link, "<>")).Body)
	require.Equal(t, 1, next.Requests().Op(registry.ListTags).Len())

	// The registry sends a relative Location, and Range in another form.
	reg.Fault(t, fault.On(registry.StartUpload, registry.PatchUpload).Location("."))
	reg.Fault(t, fault.On(registry.PatchUpload).SetHeader("Range", "bytes={*}"))
	got := c.Do("POST", "/v2/app/blobs/uploads/", "")
	require.NotContains(t, got.Header.Get("Location"), "/")
	location := "/v2/app/blobs/uploads/" + got.Header.Get("Location")
	got = c.Do("PATCH", location, "0123456789")
	require.Equal(t, "bytes=0-9", got.Header.Get("Range"))
	require.Equal(t, "/v2/app/blobs/uploads/"+got.Header.Get("Location"), location)

	// A response, and an error, can have several headers of one name.
	for _, rule := range []fault.Rule{fault.On(registry.Ping), fault.On(registry.Ping).Status(401)} {
		challenges := reg.Fault(t, rule.AddHeader("WWW-Authenticate", `Basic realm="a"`).AddHeader("WWW-Authenticate", `Bearer realm="b"`))
		require.Equal(t, []string{`Basic realm="a"`, `Bearer realm="b"`}, c.Get("/v2/").Header.Values("WWW-Authenticate"))
		challenges.Remove()
	}

	// The registry responds with an HTML page instead of JSON.
	reg.Fault(t, fault.On(registry.ListReferrers).Status(200).SetHeader("Content-Type", "text/html").Body(fault.Text("<html></html>")))
	got = c.Get("/v2/app/referrers/" + string(digest.FromString("")))
	require.Equal(t, []string{"text/html", "<html></html>"}, []string{got.Header.Get("Content-Type"), got.Body})
}

// oras-project/oras-py#150: the client kept the first Location that it got,
// although each response has a new state in its Location.
func wantState(t *testing.T) {
	const content = "0123456789"
	sum := digest.FromString(content)
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	reg.Fault(t, fault.On().Location("?_state={state}"))
	start := func() string { return c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location") }
	chunk := func(location string, from, to int) testclient.Response {
		return c.Do("PATCH", location, content[from:to], "Content-Range", fmt.Sprintf("%d-%d", from, to-1))
	}
	stale := start()
	require.Regexp(t, `/v2/app/blobs/uploads/[-0-9a-f]{36}\?_state=1$`, stale)
	got := chunk(stale, 0, 5)
	require.Equal(t, 202, got.Status)
	fresh := got.Header.Get("Location")
	require.NotEqual(t, stale, fresh)

	for _, old := range []string{stale, strings.Split(stale, "?")[0]} {
		got = chunk(old, 5, 10)
		require.Equal(t, 404, got.Status, "an old Location is refused")
		require.Contains(t, got.Body, `"BLOB_UPLOAD_INVALID"`)
		require.Contains(t, got.Body, `and not \"2\" as in the last Location`)
		require.Empty(t, got.Header.Get("Location"))
	}
	other := start()
	require.True(t, strings.HasSuffix(other, "_state=1"), "each session counts its own states")

	// With the last Location, the client can push the blob.
	got = chunk(fresh, 5, 10)
	require.Equal(t, 202, got.Status, got.Body)
	last, err := url.Parse(got.Header.Get("Location"))
	require.NoError(t, err)
	query := last.Query()
	query.Set("digest", string(sum))
	require.Equal(t, 404, c.Do("PUT", fresh+"&digest="+string(sum), "").Status)
	got = c.Do("PUT", last.Path+"?"+query.Encode(), "")
	require.Equal(t, 201, got.Status, got.Body)
	require.Equal(t, "/v2/app/blobs/"+string(sum), got.Header.Get("Location"), "the Location of a blob gets no state")
	require.Equal(t, 204, c.Do("DELETE", other, "").Status)
}

// docker/model-runner#873: a client resumes a download, and the response does not have
// the missing bytes but others. A client that looks only at the status appends them to
// the bytes that it has.
func wantOtherRange(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(1000)))
	d := app.Layers[0].Digest
	path := "/v2/app/blobs/" + string(d)
	c := clientOf(t, reg)

	// download gets a blob. If a response fails in the middle, it requests the rest.
	download := func(careful bool) (blob string) {
		for range 5 {
			var header []string
			want := ""
			if len(blob) > 0 {
				header = []string{"Range", fmt.Sprintf("bytes=%d-", len(blob))}
				want = fmt.Sprintf("bytes %d-", len(blob))
			}
			got := c.Get(path, header...)
			switch {
			case got.Status == http.StatusPartialContent && (!careful || strings.HasPrefix(got.Header.Get("Content-Range"), want)):
				blob += got.Body
			case got.Status == http.StatusPartialContent:
				blob = "" // The download starts again from byte 0.
				continue
			default:
				blob = got.Body
			}
			if got.Err == nil {
				return blob
			}
		}
		return blob
	}
	for _, test := range []struct {
		wrong   fault.Rule
		careful bool // whether a client that looks at Content-Range gets the blob
	}{
		{fault.On(registry.GetBlob), true},
		{fault.On(registry.GetBlob).HasHeader("Range").Once().Ignore("Range=bytes=0-"), true},
		{fault.On(registry.GetBlob).HasHeader("Range").Once().Ignore("Range=bytes=0-499"), true},
		{fault.On(registry.GetBlob).HasHeader("Range").Once().Ignore("Range").Status(206).Body(fault.Own), true},
		{fault.On(registry.GetBlob).HasHeader("Range").Once().Ignore("Range").Status(206).Body(fault.Own).SetHeader("Content-Range", "bytes 600-999/1000"), false},
	} {
		for _, careful := range []bool{false, true} {
			cut := reg.Fault(t, fault.On(registry.GetBlob).Once().Close(fault.AtByte(600)))
			wrong := reg.Fault(t, test.wrong.SetHeader("X", "y"))
			blob := download(careful)
			right := careful && test.careful || test.wrong.String() == "get-blob"
			require.Equal(t, right, digest.FromString(blob) == d, "%s, careful: %t", test.wrong, careful)
			cut.Remove()
			wrong.Remove()
		}
	}
}

func wantConditions(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(100)))
	c := clientOf(t, reg)
	blob := "/v2/app/blobs/" + string(app.Layers[0].Digest)

	// This registry refuses pages of 1000 entries or more.
	reg.Fault(t, fault.On(registry.ListRepositories).HasHeader("?n", "????*").Status(405))
	require.Equal(t, 405, c.Get("/v2/_catalog?n=10000").Status)
	require.Equal(t, []int{200, 200}, []int{c.Get("/v2/_catalog?n=999").Status, c.Get("/v2/_catalog").Status})
	// This registry treats ?n=0 like ?n=1.
	reg.Fault(t, fault.On(registry.ListTags).HasHeader("?n", "0").Ignore("?n=1"))
	require.Contains(t, c.Get("/v2/app/tags/list?n=0").Body, "v1")
	// This registry requires a Range for blobs, and an Accept for manifests.
	reg.Fault(t, fault.On(registry.GetBlob).HasHeader("!Range").Status(403))
	require.Equal(t, []int{403, 206}, []int{c.Get(blob).Status, c.Get(blob, "Range", "bytes=1-2").Status})
	reg.Fault(t, fault.On(registry.GetManifest).HasHeader("!Accept", "**application/vnd.oci.image.manifest.v1+json**").Status(404))
	require.Equal(t, 404, c.Get("/v2/app/manifests/v1", "Accept", "text/html").Status)
	require.Equal(t, 200, c.Get("/v2/app/manifests/v1", "Accept", "text/html, "+app.MediaType).Status)
	// This registry refuses large chunks and image manifests.
	reg.Fault(t, fault.On(registry.PatchUpload).Where(fault.BodyOver(9)).Status(416))
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	require.Equal(t, []int{416, 202}, []int{c.Do("PATCH", location, "0123456789").Status, c.Do("PATCH", location, "012345678").Status})
	reg.Fault(t, fault.On(registry.PutManifest).HasHeader("Content-Type", "**image**").Status(415))
	require.Equal(t, 415, c.Do("PUT", "/v2/app/manifests/v2", string(app.Manifest), "Content-Type", app.MediaType).Status)
	// This rule hits only the third request.
	reg.Fault(t, fault.On(registry.Ping).After(2).Once().Status(500))
	require.Equal(t, []int{200, 200, 500, 200}, codes(c, 4, "/v2/"))
}

func wantStates(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	unused := content.Random("application/octet-stream", 10, 7)
	reg.PushBlob(t, "app", unused)
	c := clientOf(t, reg)
	mount := func(d digest.Digest) int {
		return c.Do("POST", "/v2/new/blobs/uploads/?from=app&mount="+string(d), "").Status
	}
	// In this registry, blobs can be mounted only if an image refers to them.
	reg.Fault(t, fault.On(registry.MountBlob).Where(fault.Not(fault.Referenced)).Ignore("?mount"))
	require.Equal(t, []int{202, 201}, []int{mount(unused.Digest), mount(app.Layers[0].Digest)})
	// This registry refuses manifests with a subject, and accepts others.
	reg.Fault(t, fault.On(registry.PutManifest).Where(fault.BodyHas(`"subject"`)).Status(405))
	signature := content.Artifact("application/signature", content.Subject(app))
	for b := range signature.Blobs() {
		reg.PushBlob(t, "app", b)
	}
	put := func(m content.Content) int {
		return c.Do("PUT", "/v2/app/manifests/"+string(m.Digest), string(m.Manifest), "Content-Type", m.MediaType).Status
	}
	require.Equal(t, []int{405, 201}, []int{put(signature), put(app)})
	// In this registry, a repository has to exist before an upload.
	reg.Fault(t, fault.On(registry.StartUpload).Where(fault.Not(fault.RepoExists)).Status(404).Code(registry.CodeNameUnknown))
	require.Equal(t, 404, c.Do("POST", "/v2/other/blobs/uploads/", "").Status)
	require.Equal(t, 202, c.Do("POST", "/v2/app/blobs/uploads/", "").Status)
	// In this registry, a manifest with a tag cannot be deleted.
	reg.Fault(t, fault.On(registry.DeleteManifest).Where(fault.Tagged).Status(400))
	path := "/v2/app/manifests/" + string(app.Digest)
	require.Equal(t, 400, c.Do("DELETE", path, "").Status)
	require.Equal(t, 202, c.Do("DELETE", "/v2/app/manifests/v1", "").Status)
	require.Equal(t, 202, c.Do("DELETE", path, "").Status)
	// This registry responds with 403 to missing blobs, and redirects HEAD requests for
	// others.
	reg.Fault(t, fault.On(registry.GetBlob).Where(fault.Not(fault.Found)).Status(403))
	reg.Fault(t, fault.On(registry.HeadBlob).Where(fault.Found).Status(307).Location("/elsewhere"))
	require.Equal(t, 403, c.Get("/v2/app/blobs/"+string(digest.FromString(""))).Status)
	require.Equal(t, 200, c.Get("/v2/app/blobs/"+string(unused.Digest)).Status)
	require.Equal(t, 404, c.Do("HEAD", "/v2/app/blobs/"+string(digest.FromString("")), "").Status)
	c.Client = &http.Client{Transport: reg.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	require.Equal(t, 307, c.Do("HEAD", "/v2/app/blobs/"+string(unused.Digest), "").Status)
}
