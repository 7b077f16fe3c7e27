package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A client sends requests to one registry, over HTTP or by calling its handler.
type client struct {
	handler http.Handler
	server  *httptest.Server // nil if the client calls the handler
	http    *http.Client
}

// newClient returns a client of a registry that keeps its content in an empty
// directory or in memory.
func newClient(tb testing.TB, r Registry, overHTTP bool) *client {
	tb.Helper()
	return openClient(tb, r, tb.TempDir(), overHTTP)
}

// openClient returns a client of a registry that keeps its content in the
// directory.
func openClient(tb testing.TB, r Registry, dir string, overHTTP bool) *client {
	tb.Helper()
	h, err := r.New(dir)
	if err != nil {
		tb.Fatalf("making %s: %v", r.Name, err)
	}
	if closer, ok := h.(io.Closer); ok {
		tb.Cleanup(func() { closer.Close() })
	}
	c := &client{handler: h}
	if overHTTP {
		c.server = httptest.NewServer(h)
		t := c.server.Client().Transport.(*http.Transport)
		t.MaxIdleConnsPerHost = 100
		t.DisableCompression = true
		c.http = c.server.Client()
		tb.Cleanup(c.server.Close)
	}
	return c
}

// A response is the status, header and body of a response. It implements
// [http.ResponseWriter].
type response struct {
	header http.Header
	status int
	bytes  int64
	body   []byte // nil unless keep is set
	keep   bool
}

func (a *response) Header() http.Header { return a.header }
func (a *response) Flush()              {}

func (a *response) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *response) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.bytes += int64(len(p))
	if a.keep {
		a.body = append(a.body, p...)
	}
	return len(p), nil
}

// A call is a request that a client can send repeatedly.
type call struct {
	method, path, mediaType string
	body                    []byte
	stream                  bool // send the body without Content-Length
	contentRange            string
	keep                    bool // keep the body of the response
	want                    int  // the expected status, or 0 for any
}

// accept is the value of Accept in all requests, as clients of images send it.
// Some registries respond with 404 to a request without it.
var accept = []string{ocispec.MediaTypeImageManifest + ", " + ocispec.MediaTypeImageIndex}

// do sends the request and returns the response. It returns an error if the
// response does not have the expected status.
func (c *client) do(k call) (*response, error) {
	var body io.Reader
	if k.body != nil {
		body = bytes.NewReader(k.body)
		if k.stream {
			body = struct{ io.Reader }{body}
		}
	}
	base := "http://bench"
	if c.server != nil {
		base = c.server.URL
	}
	target := k.path
	if strings.HasPrefix(target, "/") {
		target = base + target
	}
	r, err := http.NewRequestWithContext(context.Background(), k.method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header["Accept"] = accept
	if k.mediaType != "" {
		r.Header["Content-Type"] = []string{k.mediaType}
	}
	if k.contentRange != "" {
		r.Header["Content-Range"] = []string{k.contentRange}
	}
	a := &response{keep: k.keep, header: make(http.Header, 8)}
	if c.server == nil {
		r.RequestURI = r.URL.RequestURI()
		if r.Body == nil {
			r.Body = http.NoBody
		}
		c.handler.ServeHTTP(a, r)
	} else {
		resp, err := c.http.Do(r)
		if err != nil {
			return nil, err
		}
		a.header, a.status = resp.Header, resp.StatusCode
		_, err = io.CopyBuffer(struct{ io.Writer }{a}, resp.Body, make([]byte, 64<<10))
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if k.want != 0 && a.status != k.want {
		return nil, fmt.Errorf("%s %s: status %d, not %d", k.method, k.path, a.status, k.want)
	}
	return a, nil
}

// must is like do, but fails the test if do returns an error.
func (c *client) must(tb testing.TB, k call) *response {
	a, err := c.do(k)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// An image is the content and the digests of a small image.
type image struct {
	config, layer, manifest []byte
	configDigest            digest.Digest
	layerDigest             digest.Digest
	digest                  digest.Digest
}

func newImage(seed string, layer []byte) image {
	return newReferrer(seed, layer, "")
}

// newReferrer returns an image whose manifest has the subject, unless the
// subject is empty.
func newReferrer(seed string, layer []byte, subject digest.Digest) image {
	i := image{config: []byte(`{"architecture":"amd64","os":"linux","seed":"` + seed + `"}`), layer: layer}
	i.configDigest, i.layerDigest = digest.FromBytes(i.config), digest.FromBytes(layer)
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: i.configDigest, Size: int64(len(i.config))},
		Layers:    []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: i.layerDigest, Size: int64(len(layer))}},
	}
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
		m.Annotations = map[string]string{"seed": seed}
	}
	i.manifest = encode(m)
	i.digest = digest.FromBytes(i.manifest)
	return i
}

// push pushes an image in nine requests, like a real client.
func (c *client) push(repo, tag string, i image) error {
	if _, err := c.do(call{method: "GET", path: "/v2/", want: 200}); err != nil {
		return err
	}
	for _, b := range []struct {
		content []byte
		digest  digest.Digest
	}{{i.config, i.configDigest}, {i.layer, i.layerDigest}} {
		if _, err := c.do(call{method: "HEAD", path: "/v2/" + repo + "/blobs/" + string(b.digest)}); err != nil {
			return err
		}
		if err := c.pushBlob(repo, b.content, b.digest); err != nil {
			return err
		}
	}
	if _, err := c.do(call{method: "HEAD", path: "/v2/" + repo + "/manifests/" + tag}); err != nil {
		return err
	}
	return c.pushManifest(repo, tag, i)
}

func (c *client) pushBlob(repo string, content []byte, d digest.Digest) error {
	location, err := c.start(repo)
	if err != nil {
		return err
	}
	_, err = c.do(call{method: "PUT", path: with(location, d), body: content, mediaType: "application/octet-stream", want: 201})
	return err
}

// start starts an upload session and returns its Location.
func (c *client) start(repo string) (string, error) {
	a, err := c.do(call{method: "POST", path: "/v2/" + repo + "/blobs/uploads/", want: 202})
	if err != nil {
		return "", err
	}
	return a.header.Get("Location"), nil
}

// with returns the location of an upload session with the parameter digest.
func with(location string, d digest.Digest) string {
	mark := "?"
	if strings.Contains(location, "?") {
		mark = "&"
	}
	return location + mark + "digest=" + url.QueryEscape(string(d))
}

func (c *client) pushManifest(repo, tag string, i image) error {
	_, err := c.do(putManifest(repo, tag, i))
	return err
}

// putManifest returns the call that pushes the manifest of an image. The
// reference is a tag or a digest.
func putManifest(repo, reference string, i image) call {
	return call{method: "PUT", path: "/v2/" + repo + "/manifests/" + reference, body: i.manifest, mediaType: ocispec.MediaTypeImageManifest, want: 201}
}

// mustHave fails the test unless the response to the call has status 200 and the
// body.
func (c *client) mustHave(tb testing.TB, k call, body []byte) {
	tb.Helper()
	k.keep, k.want = true, http.StatusOK
	if a := c.must(tb, k); !bytes.Equal(a.body, body) {
		tb.Fatalf("%s %s: the response has %d bytes, which are not the %d expected", k.method, k.path, len(a.body), len(body))
	}
}

// check fails the test unless the registry serves the manifest and the blobs of
// the image unchanged.
func (c *client) check(tb testing.TB, repo, tag string, i image) {
	tb.Helper()
	path := "/v2/" + repo
	c.mustHave(tb, call{method: "GET", path: path + "/manifests/" + tag}, i.manifest)
	c.mustHave(tb, call{method: "GET", path: path + "/manifests/" + string(i.digest)}, i.manifest)
	c.mustHave(tb, call{method: "GET", path: path + "/blobs/" + string(i.configDigest)}, i.config)
	c.mustHave(tb, call{method: "GET", path: path + "/blobs/" + string(i.layerDigest)}, i.layer)
}
