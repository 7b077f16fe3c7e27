package profile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest/auth"
)

// A probe observes one behaviour of a registry, with requests. It returns the
// observation in a few words that are the same in each run.
type probe func(p *prober) string

// A prober sends requests to a registry.
type prober struct {
	ctx    context.Context
	client *http.Client
	base   string // the URL of the registry
	repo   string // that the probe writes to

	// authorize adds credentials to a request for the registry. It is nil if
	// none are needed.
	authorize func(*http.Request)

	// login are the credentials of the user, for a token service.
	login auth.Credentials

	blobs int // that were named so far
}

// errProbe is the panic of a prober that cannot do its work.
type errProbe struct{ error }

// run returns the observation of a probe, or the reason why there is none.
func (p *prober) run(observe probe) (observed string, err error) {
	defer func() {
		if e, ok := recover().(errProbe); ok {
			err = e.error
		}
	}()
	return observe(p), nil
}

// fail ends the probe.
func (p *prober) fail(format string, args ...any) { panic(errProbe{fmt.Errorf(format, args...)}) }

// A reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
	url    *url.URL
}

// do sends a request with credentials. The header is given in names and values.
func (p *prober) do(method, target, body string, header ...string) reply {
	r := p.request(method, target, body, header...)
	if p.authorize != nil && strings.HasPrefix(r.URL.String(), p.base) {
		p.authorize(r)
	}
	return p.send(r)
}

// anonymous sends a request without credentials.
func (p *prober) anonymous(method, target, body string, header ...string) reply {
	return p.send(p.request(method, target, body, header...))
}

func (p *prober) request(method, target, body string, header ...string) *http.Request {
	if !strings.Contains(target, "://") {
		target = p.base + target
	}
	r, err := http.NewRequestWithContext(p.ctx, method, target, strings.NewReader(body))
	if err != nil {
		p.fail("making the request %s %s: %w", method, target, err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// as returns a prober with a token of the user for the scope.
func (p *prober) as(scope string) *prober {
	r := p.request("GET", param(p.realm(), "scope", scope), "")
	r.SetBasicAuth(p.login.Username, p.login.Password)
	_, token, _ := strings.Cut(p.send(r).body, `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	other := *p
	other.authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	return &other
}

func (p *prober) send(r *http.Request) reply {
	resp, err := p.client.Do(r)
	if err != nil {
		p.fail("%s %s: %w", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.fail("reading the response to %s %s: %w", r.Method, r.URL, err)
	}
	return reply{resp.StatusCode, resp.Header, string(body), r.URL}
}

// want ends the probe unless the response has one of the statuses.
func (p *prober) want(r reply, what string, statuses ...int) reply {
	for _, s := range statuses {
		if r.status == s {
			return r
		}
	}
	p.fail("%s: the response has status %d: %.300s", what, r.status, r.body)
	return r
}

// field returns the status and a field of the header.
func (r reply) field(name string) string {
	if value := r.header.Get(name); value != "" {
		return fmt.Sprintf("%d, %s: %s", r.status, name, value)
	}
	return fmt.Sprintf("%d, no %s", r.status, name)
}

// code returns the status and the code of the first error.
func (r reply) code() string {
	var body struct{ Errors []struct{ Code string } }
	if json.Unmarshal([]byte(r.body), &body) != nil || len(body.Errors) == 0 || body.Errors[0].Code == "" {
		return fmt.Sprintf("%d, no code", r.status)
	}
	return fmt.Sprintf("%d %s", r.status, body.Errors[0].Code)
}

// only returns the status.
func (r reply) only() string { return fmt.Sprint(r.status) }

// location returns the absolute URL in Location.
func (p *prober) location(r reply) string {
	u, err := r.url.Parse(r.header.Get("Location"))
	if r.header.Get("Location") == "" || err != nil {
		p.fail("the response with status %d has no Location that is a URL", r.status)
	}
	return u.String()
}

func (p *prober) path(kind, last string) string { return "/v2/" + p.repo + "/" + kind + "/" + last }

// param returns the URL with a parameter in its query.
func param(target, name, value string) string {
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	return target + separator + name + "=" + url.QueryEscape(value)
}

// start starts an upload session and returns its URL.
func (p *prober) start() string {
	return p.location(p.want(p.do("POST", p.path("blobs", "uploads/"), ""), "starting an upload", http.StatusAccepted))
}

// chunk sends the chunk at the offset, and returns the response.
func (p *prober) chunk(session string, offset int, body string) reply {
	return p.do("PATCH", session, body, "Content-Type", "application/octet-stream",
		"Content-Range", fmt.Sprintf("%d-%d", offset, offset+len(body)-1))
}

// text returns new content.
func (p *prober) text(size int) string {
	p.blobs++
	s := fmt.Sprintf("%s %d ", p.repo, p.blobs)
	return s + strings.Repeat("x", max(size-len(s), 0))
}

// push pushes a blob.
func (p *prober) push(content string) ocispec.Descriptor {
	d := digest.FromString(content)
	p.want(p.do("PUT", param(p.start(), "digest", string(d)), content, "Content-Type", "application/octet-stream"), "pushing a blob", http.StatusCreated)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
}

// An image is an image manifest and the parts that were pushed with it.
type image struct {
	ocispec.Descriptor
	manifest ocispec.Manifest
	text     string
}

// config is the content of an image's config.
const config = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`

// build returns an image whose blobs were pushed. Change may change the manifest.
func (p *prober) build(change func(*ocispec.Manifest)) image {
	c, layer := p.push(config), p.push(p.text(40))
	c.MediaType = ocispec.MediaTypeImageConfig
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: c, Layers: []ocispec.Descriptor{layer}}
	m.SchemaVersion = 2
	if change != nil {
		change(&m)
	}
	return p.encode(m, m.MediaType)
}

// encode returns the manifest as it is pushed.
func (p *prober) encode(manifest any, mediaType string) image {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(manifest); err != nil {
		p.fail("encoding a manifest: %w", err)
	}
	i := image{Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b.Bytes()), Size: int64(b.Len())}, text: b.String()}
	i.manifest, _ = manifest.(ocispec.Manifest)
	return i
}

// put pushes the manifest and returns the response.
func (p *prober) put(i image, reference string) reply {
	return p.do("PUT", p.path("manifests", reference), i.text, "Content-Type", i.MediaType)
}

// image pushes an image with the tag.
func (p *prober) image(tag string) image {
	i := p.build(nil)
	p.want(p.put(i, tag), "pushing a manifest", http.StatusCreated)
	return i
}

// get requests the manifest with an Accept that it meets.
func (p *prober) get(method, reference string) reply {
	return p.do(method, p.path("manifests", reference), "", "Accept", ocispec.MediaTypeImageManifest, "Accept", ocispec.MediaTypeImageIndex)
}
