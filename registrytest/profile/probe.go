package profile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/auth"
)

// A probe sends requests to a registry to observe one behaviour. It returns the
// observation as a short text that is the same in each run.
type probe func(p *prober) string

// A prober sends the requests of a probe to a registry.
type prober struct {
	ctx    context.Context
	client *http.Client // sends anonymous requests, and follows no redirects
	user   *http.Client // like client, with credentials
	base   string       // URL of the registry
	repo   string       // repository to which the probe pushes
	absent string       // repository that does not exist

	// login has the user's credentials, for a token service.
	login auth.Credentials

	within string   // prefix of the repositories that requests may name
	realms []string // scheme and host of each token service
	ledger *ledger  // content that the probe pushed, or nil
	blobs  int      // number of blobs that text returned
}

// maxReply is the number of bytes of the longest body that a prober reads.
const maxReply = 8 << 20

// An errProbe is the panic value with which a prober ends a probe.
type errProbe struct{ error }

// run runs a probe. It returns the observation, or the reason why there is none.
func (p *prober) run(observe probe) (observed string, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case errProbe:
			err = e.error
		default:
			err = fmt.Errorf("the probe panics: %v", e)
		}
	}()
	return observe(p), nil
}

// fail ends the probe with an error, by a panic that run recovers.
func (p *prober) fail(format string, args ...any) { panic(errProbe{fmt.Errorf(format, args...)}) }

// wait waits for d. It ends the probe at once if d exceeds the time that the
// probe has left.
func (p *prober) wait(d time.Duration) {
	if end, ok := p.ctx.Deadline(); ok && time.Until(end) < d {
		p.fail("the probe waits for %v, which is longer than a probe may take", d)
	}
	select {
	case <-time.After(d):
	case <-p.ctx.Done():
		p.fail("%w", context.Cause(p.ctx))
	}
}

// A reply is a response with its body.
type reply struct {
	status int
	header http.Header
	body   string
	url    *url.URL
}

// do sends a request, with credentials if it goes to the registry. The header
// consists of pairs of a name and a value.
func (p *prober) do(method, target, body string, header ...string) reply {
	r := p.request(method, target, body, header...)
	if r.URL.Scheme+"://"+r.URL.Host != p.base {
		// Other hosts get no credentials.
		return p.send(p.client, r)
	}
	return p.send(p.user, r)
}

// anonymous sends a request without credentials. The header consists of pairs of
// a name and a value.
func (p *prober) anonymous(method, target, body string, header ...string) reply {
	return p.send(p.client, p.request(method, target, body, header...))
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

// as returns a prober whose requests have a token for the scope, issued for the
// user.
func (p *prober) as(scope string) *prober {
	r := p.request("GET", param(p.realm(), "scope", scope), "")
	if !trusted(p.base, r.URL) {
		p.fail("the token service at %s is on another host and does not use HTTPS, so it gets no credentials", r.URL.Host)
	}
	r.SetBasicAuth(p.login.Username, p.login.Password)
	_, token, _ := strings.Cut(p.send(p.client, r).body, `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	other := *p
	other.user = p.clientOf(authorizing{p.client.Transport, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }})
	return &other
}

func (p *prober) send(client *http.Client, r *http.Request) reply {
	if err := p.inside(r); err != nil {
		p.fail("%w", err)
	}
	resp, err := client.Do(r)
	if err != nil {
		p.fail("%s %s: %w", r.Method, r.URL.Redacted(), unwrapURL(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err == nil && len(body) > maxReply {
		err = fmt.Errorf("it has more than %d bytes", maxReply)
	}
	if err != nil {
		p.fail("reading the response to %s %s: %w", r.Method, r.URL.Redacted(), err)
	}
	got := reply{resp.StatusCode, resp.Header, string(body), r.URL}
	if p.ledger != nil {
		p.ledger.note(p, r, got)
	}
	return got
}

// inside returns an error if the request names a repository outside of the
// prefix p.within.
func (p *prober) inside(r *http.Request) error {
	if p.within == "" || r.URL.Scheme+"://"+r.URL.Host != p.base {
		return nil
	}
	// The names in some probes are invalid.
	parsed, _ := registry.ParseRequest(r)
	for _, repo := range []string{parsed.Repo, parsed.From} {
		if repo != "" && (!strings.HasPrefix(repo, p.within+"/") || path.Clean(repo) != repo) {
			return fmt.Errorf("the probe sends a request for the repository %q, which is not below %s", repo, p.within)
		}
	}
	return nil
}

// unwrapURL removes the method and the URL of the request from an error of an
// [http.Client].
func unwrapURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// want returns r. It ends the probe if the response has none of the statuses.
func (p *prober) want(r reply, what string, statuses ...int) reply {
	for _, s := range statuses {
		if r.status == s {
			return r
		}
	}
	p.fail("%s: the response has status %d: %.300s", what, r.status, r.body)
	return r
}

// field returns the status and the named header field, as text for an
// observation.
func (r reply) field(name string) string {
	if value := r.header.Get(name); value != "" {
		return fmt.Sprintf("%d, %s: %s", r.status, name, value)
	}
	return fmt.Sprintf("%d, no %s", r.status, name)
}

// code returns the status and the code of the first error, as text for an
// observation.
func (r reply) code() string {
	var body struct{ Errors []struct{ Code string } }
	if json.Unmarshal([]byte(r.body), &body) != nil || len(body.Errors) == 0 || body.Errors[0].Code == "" {
		return fmt.Sprintf("%d, no code", r.status)
	}
	return fmt.Sprintf("%d %s", r.status, body.Errors[0].Code)
}

// only returns the status, as text for an observation.
func (r reply) only() string { return fmt.Sprint(r.status) }

// location returns the Location of the response as an absolute URL.
func (p *prober) location(r reply) string {
	u, err := r.url.Parse(r.header.Get("Location"))
	if r.header.Get("Location") == "" || err != nil {
		p.fail("the response with status %d has no Location that is a URL", r.status)
	}
	return u.String()
}

func (p *prober) path(kind, last string) string { return "/v2/" + p.repo + "/" + kind + "/" + last }

// param adds a query parameter to the URL.
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

// chunk sends a chunk to the upload session, and returns the response. The chunk
// begins at the offset.
func (p *prober) chunk(session string, offset int, body string) reply {
	return p.do("PATCH", session, body, "Content-Type", "application/octet-stream",
		"Content-Range", fmt.Sprintf("%d-%d", offset, offset+len(body)-1))
}

// text returns new content, which differs in each call, of at least size bytes.
func (p *prober) text(size int) string {
	p.blobs++
	s := fmt.Sprintf("%s %d ", p.repo, p.blobs)
	return s + strings.Repeat("x", max(size-len(s), 0))
}

// push pushes the content as a blob and returns its descriptor.
func (p *prober) push(content string) ocispec.Descriptor {
	d := digest.FromString(content)
	p.want(p.do("PUT", param(p.start(), "digest", string(d)), content, "Content-Type", "application/octet-stream"), "pushing a blob", http.StatusCreated, http.StatusNoContent, http.StatusOK)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
}

// An image is an image manifest, with its descriptor and its encoded text.
type image struct {
	ocispec.Descriptor
	manifest ocispec.Manifest
	text     string
}

// config returns the content of a new config.
func (p *prober) config() string {
	return fmt.Sprintf(`{"author":%q,"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`, p.text(0))
}

// build pushes the blobs of a new image, and returns the image. If change is not
// nil, it edits the manifest.
func (p *prober) build(change func(*ocispec.Manifest)) image {
	c, layer := p.push(p.config()), p.push(p.text(40))
	c.MediaType = ocispec.MediaTypeImageConfig
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: c, Layers: []ocispec.Descriptor{layer}}
	m.SchemaVersion = 2
	if change != nil {
		change(&m)
	}
	return p.encode(m, m.MediaType)
}

// encode returns the manifest in encoded form, with its descriptor.
func (p *prober) encode(manifest any, mediaType string) image {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(manifest); err != nil {
		p.fail("encoding a manifest: %w", err)
	}
	i := image{Descriptor: ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b.Bytes()), Size: int64(b.Len())}, text: b.String()}
	i.manifest, _ = manifest.(ocispec.Manifest)
	return i
}

// put sends a PUT of the image's manifest and returns the response.
func (p *prober) put(i image, reference string) reply {
	return p.do("PUT", p.path("manifests", reference), i.text, "Content-Type", i.MediaType)
}

// image pushes an image with the tag.
func (p *prober) image(tag string) image {
	i := p.build(nil)
	p.want(p.put(i, tag), "pushing a manifest", http.StatusCreated)
	return i
}

// get requests a manifest with the media types of an image and an index in
// Accept.
func (p *prober) get(method, reference string) reply {
	return p.do(method, p.path("manifests", reference), "", "Accept", ocispec.MediaTypeImageManifest, "Accept", ocispec.MediaTypeImageIndex)
}
