package check

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A client is the registry client that the tests check. It runs as the test binary
// with the argument "client", followed by the name of a bug, or "right", and a task.
type client struct {
	mutant string
	config string // the directory of Docker's config.json
	out    io.Writer
	host   string
	warned map[string]bool
}

const chunkSize = 40_000

var errDiffers = errors.New("digest differs")

// main runs a task of the client with the arguments of its command line.
func (c *client) main(task string, args []string) error {
	c.warned = make(map[string]bool)
	host, name, _ := strings.Cut(args[0], "/")
	if task == "push" {
		host, name, _ = strings.Cut(args[1], "/")
	}
	c.host = host
	repo, ref, found := strings.Cut(name, "@")
	if !found {
		repo, ref, _ = strings.Cut(name, ":")
	}
	switch task {
	case "pull":
		return c.pull(repo, ref, args[1])
	case "push":
		return c.push(args[0], repo, ref)
	case "copy":
		_, to, _ := strings.Cut(args[1], "/")
		toRepo, tag, _ := strings.Cut(to, ":")
		return c.copy(repo, ref, toRepo, tag)
	case "list":
		tags, err := c.list(repo)
		fmt.Fprintln(c.out, strings.Join(tags, "\n"))
		return err
	case "delete":
		return c.delete(repo, ref)
	case "attach":
		return c.attach(repo, ref, args[1])
	case "referrers":
		return c.referrers(repo, ref)
	case "fail":
		return errors.New("as it should")
	case "panic":
		panic("as it should")
	case "hang":
		return hang(args[0], args[1])
	}
	return fmt.Errorf("no task %s", task)
}

// is reports whether the client has the bug.
func (c *client) is(mutant string) bool { return c.mutant == mutant }

// do sends a request and reads the response. It answers 401 with credentials and
// repeats a request once after 429.
func (c *client) do(method, target string, body []byte, header ...string) (*http.Response, []byte, error) {
	u := target
	if !strings.Contains(u, "://") {
		u = "http://" + c.host + target
	}
	transport := &http.Transport{DisableKeepAlives: true}
	hc := http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if c.is("no redirects") {
			return http.ErrUseLastResponse
		}
		if a := via[0].Header.Get("Authorization"); a != "" && c.is("leaks credentials") {
			r.Header.Set("Authorization", a)
		}
		return nil
	}}
	for try := 0; ; try++ {
		r, err := http.NewRequest(method, u, bytes.NewReader(body))
		if err != nil {
			return nil, nil, err
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := hc.Do(r)
		if err == nil && resp.StatusCode == http.StatusUnauthorized {
			resp.Body.Close()
			r.Header.Set("Authorization", c.credentials())
			resp, err = hc.Do(r)
		}
		if err != nil {
			return nil, nil, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		c.warn(resp.Header.Values("Warning"))
		if c.is("acts on warnings") && resp.Header.Get("Warning") != "" {
			return nil, nil, errors.New("there is a warning")
		}
		if resp.StatusCode == http.StatusTooManyRequests && try == 0 {
			if !c.is("impatient") {
				time.Sleep(c.retryAfter(resp.Header.Get("Retry-After")))
			}
			continue
		}
		return resp, text, err
	}
}

// retryAfter returns the time to wait according to the value of a Retry-After field.
func (c *client) retryAfter(value string) time.Duration {
	if at, err := http.ParseTime(value); err == nil && !c.is("ignores dates") {
		return time.Until(at)
	}
	seconds, _ := strconv.Atoi(value)
	return time.Duration(seconds) * time.Second
}

func (c *client) credentials() string {
	var config struct {
		Auths map[string]struct{ Auth string }
	}
	text, _ := os.ReadFile(filepath.Join(c.config, "config.json"))
	_ = json.Unmarshal(text, &config)
	both, _ := base64.StdEncoding.DecodeString(config.Auths[c.host].Auth)
	return "Basic " + base64.StdEncoding.EncodeToString(both)
}

func (c *client) warn(values []string) {
	for _, v := range values {
		if !c.is("no warnings") && (!c.warned[v] || c.is("repeats warnings")) {
			fmt.Fprintln(c.out, "warning:", v)
		}
		c.warned[v] = true
	}
}

// want sends a request with do and returns an error unless the response has the status.
func (c *client) want(status int, method, target string, body []byte, header ...string) (*http.Response, []byte, error) {
	resp, text, err := c.do(method, target, body, header...)
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s %s: %s", method, target, resp.Status)
	}
	return resp, text, err
}

func sum(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (c *client) manifest(repo, ref string) ([]byte, ocispec.Manifest, error) {
	accept := []string{"Accept", ocispec.MediaTypeImageManifest}
	if c.is("no Accept") {
		accept = nil
	}
	resp, text, err := c.want(200, "GET", "/v2/"+repo+"/manifests/"+ref, nil, accept...)
	var m ocispec.Manifest
	if err != nil {
		return nil, m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, m, err
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if c.is("panics") && mediaType != resp.Header.Get("Content-Type") {
		panic("the type has parameters")
	}
	if c.is("minds parameters") {
		mediaType = resp.Header.Get("Content-Type")
	}
	switch d := resp.Header.Get("Docker-Content-Digest"); {
	case m.MediaType != mediaType && !c.is("any type"):
		return nil, m, fmt.Errorf("Content-Type is %s", mediaType)
	case strings.Contains(ref, ":") && ref != sum(text) && !c.is("no manifest digest"):
		return nil, m, fmt.Errorf("%w: %s is not %s", errDiffers, sum(text), ref)
	case d == "" && c.is("needs the digest header"):
		return nil, m, errors.New("no Docker-Content-Digest")
	}
	return text, m, nil
}

func (c *client) pull(repo, ref, dir string) error {
	_, m, err := c.manifest(repo, ref)
	if errors.Is(err, errDiffers) && c.is("goes on after a message") {
		fmt.Fprintln(c.out, err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		_, blob, err := c.want(200, "GET", "/v2/"+repo+"/blobs/"+string(d.Digest), nil)
		if err != nil {
			return err
		}
		if sum(blob) != string(d.Digest) && !c.is("no blob digest") {
			return errors.New("digest differs")
		}
	}
	return os.WriteFile(filepath.Join(dir, "done"), nil, 0o600)
}

// location returns the URL for the next request of an upload, from the
// Location of a response.
func (c *client) location(resp *http.Response) (*url.URL, error) {
	to := resp.Header.Get("Location")
	switch {
	case c.is("relative Location"):
		return url.Parse("http://" + c.host + to)
	case c.is("loses the query"):
		to, _, _ = strings.Cut(to, "?")
	}
	return resp.Request.URL.Parse(to)
}

func (c *client) upload(repo string, blob []byte) error {
	d := sum(blob)
	resp, _, err := c.do("HEAD", "/v2/"+repo+"/blobs/"+d, nil)
	if err != nil || resp.StatusCode == 200 {
		return err
	}
	start := "/v2/" + repo + "/blobs/uploads/"
	query := "?mount=" + d + "&from=team/app"
	if c.is("single POST") {
		query = "?digest=" + d
	}
	if c.is("single POST") {
		resp, _, err = c.do("POST", start+query, blob, "Content-Type", "application/octet-stream")
	} else {
		resp, _, err = c.do("POST", start+query, nil)
	}
	if err != nil || resp.StatusCode == 201 {
		return err
	}
	if c.is("single POST") || c.is("needs the mount") {
		return errors.New("the registry does not take the blob at once")
	}
	to, err := c.location(resp)
	if err != nil {
		return err
	}
	cancel := func(err error) error {
		if !c.is("leaves uploads") {
			_, _, _ = c.do("DELETE", to.String(), nil)
		}
		return err
	}
	size := chunkSize
	if least, _ := strconv.Atoi(resp.Header.Get("OCI-Chunk-Min-Length")); !c.is("small chunks") {
		size = max(size, least)
	}
	for at, tries := 0, 0; at < len(blob); {
		part := blob[at:min(len(blob), at+size)]
		resp, _, err := c.do("PATCH", to.String(), part, "Content-Type", "application/octet-stream", "Content-Range", c.chunk(at, len(part)))
		if err != nil {
			return cancel(err)
		}
		if to, err = c.location(resp); err != nil {
			return err
		}
		switch {
		case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && tries == 0:
			tries++
			_, last, _ := strings.Cut(resp.Header.Get("Range"), "-")
			n, _ := strconv.Atoi(last)
			if c.is("resumes elsewhere") {
				n += 10
			}
			at = n + 1
			continue
		case resp.StatusCode != 202:
			return cancel(errors.New(resp.Status))
		}
		at += len(part)
	}
	q := to.Query()
	q.Set("digest", d)
	to.RawQuery = q.Encode()
	if _, _, err := c.want(201, "PUT", to.String(), nil); err != nil {
		return cancel(err)
	}
	return nil
}

func (c *client) chunk(at, n int) string {
	switch {
	case c.is("a unit in Content-Range"):
		return fmt.Sprintf("bytes %d-%d/*", at, at+n-1)
	case c.is("exclusive end"):
		return fmt.Sprintf("%d-%d", at, at+n)
	}
	return fmt.Sprintf("%d-%d", at, at+n-1)
}

func (c *client) push(layout, repo, tag string) error {
	blob := func(d string) []byte {
		text, err := os.ReadFile(filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(d, "sha256:")))
		if err != nil {
			panic(err)
		}
		return text
	}
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return err
	}
	var index ocispec.Index
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	manifest := blob(string(index.Manifests[0].Digest))
	if err := json.Unmarshal(manifest, &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		if err := c.upload(repo, blob(string(d.Digest))); err != nil {
			return err
		}
	}
	_, err = c.put(repo, tag, m.MediaType, manifest)
	return err
}

func (c *client) put(repo, ref, mediaType string, manifest []byte) (*http.Response, error) {
	switch {
	case c.is("type with parameters"):
		mediaType += "; charset=utf-8"
	case c.is("another type"):
		mediaType = ocispec.MediaTypeImageIndex
	}
	resp, _, err := c.want(201, "PUT", "/v2/"+repo+"/manifests/"+ref, manifest, "Content-Type", mediaType)
	return resp, err
}

// pages requests the pages of a list and calls page with the body of each. It
// returns the status of the last response.
func (c *client) pages(target string, page func([]byte) error) (status int, err error) {
	for target != "" {
		resp, text, err := c.do("GET", target, nil)
		if err != nil {
			return 0, err
		}
		if resp.StatusCode != 200 {
			return resp.StatusCode, nil
		}
		if err := page(text); err != nil {
			return 0, err
		}
		link := regexp.MustCompile(`^<(.*)>; rel="next"`).FindStringSubmatch(resp.Header.Get("Link"))
		if link == nil || c.is("first page") {
			return 200, nil
		}
		next, err := resp.Request.URL.Parse(link[1])
		if err != nil {
			return 0, err
		}
		if target = next.String(); c.is("relative Link") {
			target = "http://" + c.host + link[1]
		}
		if c.is("assembles the page") {
			target = "http://" + c.host + next.Path + "?last=" + next.Query().Get("last")
		}
	}
	return 200, nil
}

func (c *client) list(repo string) (tags []string, err error) {
	_, err = c.pages("/v2/"+repo+"/tags/list", func(text []byte) error {
		var l struct{ Tags []string }
		err := json.Unmarshal(text, &l)
		tags = append(tags, l.Tags...)
		return err
	})
	return tags, err
}
