package explore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest"
)

// A wary is a registry client that steps into no trap, unless its field
// mutant names a bug.
type wary struct {
	http     *http.Client
	base     *url.URL
	mutant   string
	user     string // "" if the client has no credentials
	password string
	token    string
	basic    bool          // the registry asked for Basic credentials
	verified digest.Digest // the digest of the image whose signature was verified, or ""
	byHead   bool          // the client pulls only by the digest in the response to HEAD
}

const (
	wariestBody  = 4 << 20
	wariestPages = 100
)

func newWary(reg *registrytest.Server, mutant, user, password string) *wary {
	base, _ := url.Parse(reg.URL)
	c := &wary{base: base, mutant: mutant, user: user, password: password}
	transport := reg.Transport()
	if mutant == "reads everything" {
		transport.MaxResponseHeaderBytes = 1 << 30
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

func (c *wary) is(mutant string) bool { return c.mutant == mutant }

// trusted reports whether the client may send the credentials to the URL.
func (c *wary) trusted(u *url.URL) bool {
	switch {
	case c.is("credentials for every host"):
		return true
	case c.is("credentials for every port"):
		return u.Hostname() == c.base.Hostname() && u.Scheme == c.base.Scheme
	case c.is("credentials without TLS"):
		return u.Hostname() == c.base.Hostname()
	}
	return u.Scheme == c.base.Scheme && u.Host == c.base.Host
}

// do sends a request, follows redirects and answers challenges. It limits the
// size of the response's body.
func (c *wary) do(ctx context.Context, method string, u *url.URL, body []byte, header ...string) (*http.Response, []byte, error) {
	keeps := true // the client may still send credentials, after redirects
	for hops, asked := 0, false; ; hops++ {
		r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
		if err != nil {
			return nil, nil, err
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		if c.trusted(u) && keeps {
			switch {
			case c.token != "":
				r.Header.Set("Authorization", "Bearer "+c.token)
			case c.basic:
				r.SetBasicAuth(c.user, c.password)
			}
		}
		resp, err := c.http.Do(r)
		if err != nil {
			return nil, nil, err
		}
		text, err := c.read(resp)
		if err != nil {
			return nil, nil, err
		}
		switch resp.StatusCode {
		case http.StatusUnauthorized:
			if asked || c.user == "" || !keeps || !c.trusted(u) && !c.is("answers every challenge") {
				return resp, text, nil
			}
			asked = true
			if !c.trusted(u) {
				r.SetBasicAuth(c.user, c.password)
				if resp, err = c.http.Do(r); err != nil {
					return nil, nil, err
				}
				text, err = c.read(resp)
				return resp, text, err
			}
			if err := c.answer(ctx, resp.Header.Get("WWW-Authenticate")); err != nil {
				return nil, nil, err
			}
		case http.StatusTemporaryRedirect:
			if hops > 5 {
				return nil, nil, errors.New("too many redirects")
			}
			if c.is("no redirects") {
				return nil, nil, errors.New("a redirect")
			}
			if u, err = u.Parse(resp.Header.Get("Location")); err != nil {
				return nil, nil, err
			}
			asked, keeps = false, !c.is("no credentials after a redirect")
		default:
			return resp, text, nil
		}
	}
}

func (c *wary) read(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	limit := wariestBody
	if n := 0; scanned(fmt.Sscanf(c.mutant, "reads %d MiB", &n)) {
		limit = n<<20 - 1
	}
	if c.is("small bodies") {
		limit = 4 << 10
	}
	var text bytes.Buffer
	text.Grow(int(min(max(resp.ContentLength, 0), int64(limit))) + bytes.MinRead)
	_, err := text.ReadFrom(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case err != nil || text.Len() <= limit:
	case c.is("reads everything"):
		// The rest can be discarded: no huge body of a trap is valid JSON.
		_, err = io.Copy(io.Discard, resp.Body)
	default:
		err = errors.New("the response is too large")
	}
	return text.Bytes(), err
}

func scanned(n int, err error) bool { return n > 0 && err == nil }

var parameter = regexp.MustCompile(`(\w+)="([^"]*)"`)

// answer handles a challenge in WWW-Authenticate: it requests a token, or notes
// that the registry wants Basic credentials.
func (c *wary) answer(ctx context.Context, challenge string) error {
	if !strings.HasPrefix(challenge, "Bearer ") {
		c.basic = true
		return nil
	}
	values := make(url.Values)
	realm := ""
	for _, m := range parameter.FindAllStringSubmatch(challenge, -1) {
		if m[1] == "realm" {
			realm = m[2]
		} else {
			values.Set(m[1], m[2])
		}
	}
	u, err := url.Parse(realm)
	if err != nil {
		return err
	}
	if u.Scheme != c.base.Scheme && !c.is("any realm") {
		return errors.New("the realm has no TLS")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLinkLocalUnicast() && !c.is("any realm") {
		return errors.New("the realm is at a link-local address")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsPrivate() && c.is("no private realm") {
		return errors.New("the realm is at a private address")
	}
	if c.is("only its own realm") && u.Host != c.base.Host {
		return errors.New("the realm is elsewhere")
	}
	u.RawQuery = values.Encode()
	r, err := http.NewRequestWithContext(ctx, "GET", u.String(), nil)
	if err != nil {
		return err
	}
	r.SetBasicAuth(c.user, c.password)
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	text, err := c.read(resp)
	if err != nil {
		return err
	}
	var token struct{ Token string }
	err = json.Unmarshal(text, &token)
	c.token = token.Token
	return err
}

func (c *wary) at(path string) *url.URL { u, _ := c.base.Parse(path); return u }

func (c *wary) want(ctx context.Context, status int, method string, u *url.URL, body []byte, header ...string) (*http.Response, []byte, error) {
	resp, text, err := c.do(ctx, method, u, body, header...)
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s %s: %s", method, u, resp.Status)
	}
	return resp, text, err
}

// manifest resolves the tag with a HEAD request, pulls the manifest by the tag,
// unless byHead is set, and by the digest, and verifies both.
func (c *wary) manifest(ctx context.Context, repo, ref string) (digest.Digest, ocispec.Manifest, error) {
	var m ocispec.Manifest
	at := c.at("/v2/" + repo + "/manifests/" + ref)
	resp, _, err := c.want(ctx, 200, "HEAD", at, nil, "Accept", ocispec.MediaTypeImageManifest)
	if err != nil {
		return "", m, err
	}
	d := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if c.is("trusts a tag twice") {
		_, text, err := c.want(ctx, 200, "GET", at, nil, "Accept", ocispec.MediaTypeImageManifest)
		if err != nil {
			return "", m, err
		}
		return d, m, json.Unmarshal(text, &m)
	}
	if c.byHead {
		at = c.at("/v2/" + repo + "/manifests/" + string(d))
	}
	resp, text, err := c.want(ctx, 200, "GET", at, nil, "Accept", ocispec.MediaTypeImageManifest)
	if err != nil {
		return "", m, err
	}
	if c.is("nests without a limit") && bytes.Count(text, []byte("[")) > 100_000 {
		panic("the stack overflows") // encoding/json has a limit, so the bug is simulated
	}
	if digest.FromBytes(text) != d && !c.is("trusts digests") {
		return "", m, errors.New("the manifest has another digest")
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return "", m, err
	}
	if m.MediaType == "" && c.is("needs mediaType") || m.MediaType != "" && m.MediaType != resp.Header.Get("Content-Type") && !c.is("any type") {
		return "", m, errors.New("mediaType differs from Content-Type")
	}
	if c.byHead {
		return d, m, nil
	}
	// The client pulls again by the digest, like clients that resolve a tag
	// before they pull.
	resp, again, err := c.want(ctx, 200, "GET", c.at("/v2/"+repo+"/manifests/"+string(d)), nil, "Accept", ocispec.MediaTypeImageManifest)
	if err != nil {
		return "", m, err
	}
	if c.is("needs Docker-Content-Digest") && resp.Header.Get("Docker-Content-Digest") == "" {
		return "", m, errors.New("the manifest has no digest")
	}
	if digest.FromBytes(again) != d && !c.is("trusts digests") {
		return "", m, errors.New("the manifest has another digest")
	}
	return d, m, nil
}

func (c *wary) pull(t *T, repo, ref string) error {
	ctx := t.Context()
	d, m, err := c.manifest(ctx, repo, ref)
	if err != nil {
		return err
	}
	if c.verified != "" && c.verified != d && !c.is("pulls what it did not verify") {
		return errors.New("the tag has moved since the image was verified")
	}
	t.Result("digest", d)
	for i, l := range append(m.Layers, m.Config) {
		at := c.at("/v2/" + repo + "/blobs/" + string(l.Digest))
		if len(l.URLs) > 0 {
			if at, err = url.Parse(l.URLs[0]); err != nil {
				return err
			}
		}
		_, blob, err := c.want(ctx, 200, "GET", at, nil)
		if err != nil {
			return err
		}
		if digest.FromBytes(blob) != l.Digest && !c.is("trusts digests") {
			return errors.New("the blob has another digest")
		}
		t.Result(fmt.Sprintf("blob %d", i), blob)
	}
	return nil
}

func (c *wary) push(t *T, repo, tag string, blob []byte) error {
	ctx := t.Context()
	d := digest.FromBytes(blob)
	resp, _, err := c.want(ctx, 202, "POST", c.at("/v2/"+repo+"/blobs/uploads/"), nil)
	if err != nil {
		return err
	}
	to, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	q := to.Query()
	q.Set("digest", string(d))
	to.RawQuery = q.Encode()
	if _, _, err := c.want(ctx, 201, "PUT", to, blob, "Content-Type", "application/octet-stream"); err != nil {
		return err
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: d, Size: int64(len(blob))}, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	text, _ := json.Marshal(m)
	_, _, err = c.want(ctx, 201, "PUT", c.at("/v2/"+repo+"/manifests/"+tag), text, "Content-Type", m.MediaType)
	return err
}

// pages requests the pages of a list, following Link, and calls page with the
// body of each.
func (c *wary) pages(ctx context.Context, at *url.URL, page func([]byte) error) error {
	var seen []string
	anyNumber := strings.HasPrefix(c.mutant, "any number of pages")
	if c.is("any number of pages without a context") {
		ctx = context.Background()
	}
	for n := 0; at != nil; n++ {
		if !anyNumber && (n >= wariestPages || slices.Contains(seen, at.String())) {
			return errors.New("the list does not end")
		}
		seen = append(seen, at.String())
		resp, text, err := c.do(ctx, "GET", at, nil)
		if err != nil {
			return err
		}
		if resp.StatusCode == http.StatusTooManyRequests && c.is("fails open") {
			return nil
		}
		if resp.StatusCode != 200 {
			return errors.New(resp.Status)
		}
		if n > 0 && c.is("one page") {
			return nil
		}
		if err := page(text); err != nil {
			return err
		}
		link := regexp.MustCompile(`^<(.*)>; rel="next"`).FindStringSubmatch(resp.Header.Get("Link"))
		if link == nil || c.is("ignores Link") {
			return nil
		}
		if at, err = at.Parse(link[1]); err != nil {
			return err
		}
		if !c.trusted(at) {
			return errors.New("the next page is elsewhere")
		}
		if c.is("no absolute Link") && strings.Contains(link[1], "://") {
			return errors.New("an absolute Link")
		}
	}
	return nil
}

func (c *wary) list(t *T, repo string) error {
	var tags []string
	err := c.pages(t.Context(), c.at("/v2/"+repo+"/tags/list"), func(text []byte) error {
		var l struct{ Tags []string }
		err := json.Unmarshal(text, &l)
		tags = append(tags, l.Tags...)
		return err
	})
	t.Result("tags", tags)
	return err
}
