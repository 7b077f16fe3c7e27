package explore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A client is a small registry client, written for these tests. It is correct
// unless the field bug names a mistake.
type client struct {
	http *http.Client
	base string
	bug  string
	user string // the name for Basic credentials; "" sends none

	password string
}

const (
	attempts  = 4
	chunkSize = 4000
)

// An httpError is the error for a response with an unexpected status.
type httpError struct {
	status int
	after  time.Duration
	resp   http.Header
}

func (e *httpError) Error() string { return fmt.Sprintf("status %d", e.status) }

// errShort is the error for content with the wrong digest, and for an upload that
// makes no progress.
var errShort = errors.New("the content does not match its digest")

// retry calls f until f succeeds or returns a permanent error, at most attempts times.
func (c *client) retry(ctx context.Context, f func() error) error {
	wait := time.Second
	for n := 1; ; n++ {
		err := f()
		var status *httpError
		switch {
		case c.bug == "begins uploads again for ever" && errors.Is(err, errLost),
			c.bug == "retries 502 for ever" && errors.As(err, &status) && status.status == 502:
			n = 1
		}
		switch {
		case err == nil:
			return nil
		case c.bug == "retries at once without a context":
			continue
		case c.bug == "ignores its context":
			time.Sleep(wait)
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &status):
			if status.status == 404 && c.bug == "hides its error" {
				return context.Canceled
			}
			passes := status.status == 408 || status.status == 429 || status.status >= 500
			if !passes || c.bug == "does not retry 503" && status.status == 503 {
				return err
			}
			if c.bug != "ignores Retry-After" {
				wait = max(wait, status.after)
			}
		case c.bug == "does not retry EOF", errors.Is(err, errShort):
			return err
		}
		if c.bug == "waits for ever" {
			<-make(chan struct{})
		}
		if c.bug == "panics when it fails" {
			panic(err)
		}
		if n == attempts && c.bug != "retries for ever" {
			return err
		}
		if c.bug == "retries for ever" {
			wait = 0
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, time.Minute)
	}
}

// do sends a request. It returns the response if its status is one of want; the
// caller closes the body. Any other status is an *httpError.
func (c *client) do(ctx context.Context, method, target string, body []byte, header http.Header, want ...int) (*http.Response, error) {
	switch c.bug {
	case "ignores its context", "sends requests without a context", "retries at once without a context":
		ctx = context.Background()
	}
	u, err := url.Parse(c.base)
	if err != nil {
		return nil, err
	}
	if u, err = u.Parse(target); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if own := strings.HasPrefix(u.String(), c.base+"/"); c.user != "" && (own || c.bug == "trusts every Link") {
		req.SetBasicAuth(c.user, c.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	for _, status := range want {
		if resp.StatusCode == status {
			return resp, nil
		}
	}
	if c.bug != "leaves bodies open" {
		resp.Body.Close()
	}
	return nil, &httpError{resp.StatusCode, c.retryAfter(resp.Header.Get("Retry-After")), resp.Header}
}

// retryAfter returns the time to wait according to the value of a Retry-After
// field, which is a number of seconds or a date.
func (c *client) retryAfter(value string) time.Duration {
	if at, err := http.ParseTime(value); err == nil && c.bug != "ignores a date in Retry-After" {
		return time.Until(at)
	}
	seconds, _ := strconv.Atoi(value)
	return time.Duration(seconds) * time.Second
}

// get downloads the blob with the digest. After a failure it requests the missing rest.
func (c *client) get(ctx context.Context, path string, d digest.Digest) (content []byte, err error) {
	err = c.retry(ctx, func() error {
		header := http.Header{}
		if len(content) > 0 {
			header.Set("Range", fmt.Sprintf("bytes=%d-", len(content)))
			if c.bug == "resumes at the wrong offset" {
				header.Set("Range", fmt.Sprintf("bytes=%d-", len(content)-1))
			}
		}
		resp, err := c.do(ctx, "GET", path, nil, header, 200, 206)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode == 200 && c.bug != "adds a whole blob to its half" {
			content = nil
		}
		part, err := io.ReadAll(resp.Body)
		content = append(content, part...)
		switch {
		case d.Algorithm().FromBytes(content) == d:
			return nil
		case err != nil && c.bug == "trusts the length":
			return nil
		case err != nil:
			return err
		case c.bug != "checks no digest" && c.bug != "trusts the length":
			content = nil
			return errShort
		}
		return nil
	})
	return content, err
}

// pull returns the blobs of a tagged image by digest, and its manifest with
// the key "manifest".
func (c *client) pull(ctx context.Context, repo, tag string) (map[string][]byte, error) {
	var raw []byte
	err := c.retry(ctx, func() error {
		resp, err := c.do(ctx, "GET", "/v2/"+repo+"/manifests/"+tag, nil, nil, 200)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if raw, err = io.ReadAll(resp.Body); err != nil {
			return err
		}
		if d := digest.Digest(resp.Header.Get("Docker-Content-Digest")); d != digest.FromBytes(raw) && c.bug != "checks no manifest" && c.bug != "checks no digest" {
			return errShort
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{"manifest": raw}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	for _, d := range append(m.Layers, m.Config) {
		blob, err := c.get(ctx, "/v2/"+repo+"/blobs/"+d.Digest.String(), d.Digest)
		if err != nil {
			if c.bug == "leaves goroutines behind" {
				go func() { select {} }()
			}
			return nil, err
		}
		content[d.Digest.String()] = blob
	}
	return content, nil
}

// push uploads blobs and then a manifest with the tag.
func (c *client) push(ctx context.Context, repo, tag, mediaType string, raw []byte, blobs ...[]byte) error {
	for _, blob := range blobs {
		if err := c.upload(ctx, repo, blob); err != nil {
			return err
		}
	}
	return c.retry(ctx, func() error {
		resp, err := c.do(ctx, "PUT", "/v2/"+repo+"/manifests/"+tag, raw, http.Header{"Content-Type": {mediaType}}, 201)
		if err != nil {
			return c.ignorePut(err)
		}
		defer resp.Body.Close()
		if resp.Header.Get("Docker-Content-Digest") != digest.FromBytes(raw).String() {
			return errShort
		}
		return nil
	})
}

// ignorePut returns the error of a request to store content. With one of the
// bugs, it returns nil if the registry responded.
func (c *client) ignorePut(err error) error {
	if status := (*httpError)(nil); c.bug == "takes every response for success" && errors.As(err, &status) {
		return nil
	}
	return err
}

// upload uploads a blob in chunks. After an error it asks for the offset to
// continue at, or begins again if the session is gone.
func (c *client) upload(ctx context.Context, repo string, blob []byte) error {
	return c.retry(ctx, func() error {
		location := ""
		if err := c.retry(ctx, func() error {
			resp, err := c.do(ctx, "POST", "/v2/"+repo+"/blobs/uploads/", nil, nil, 202)
			if err != nil {
				return err
			}
			location = resp.Header.Get("Location")
			return resp.Body.Close()
		}); err != nil {
			return err
		}
		err := c.send(ctx, &location, blob)
		if err != nil && c.bug != "leaves uploads open" {
			if resp, err := c.do(ctx, "DELETE", location, nil, nil, 204); err == nil {
				resp.Body.Close()
			}
		}
		return again(err)
	})
}

// send sends a blob to an upload session.
func (c *client) send(ctx context.Context, location *string, blob []byte) error {
	offset, stuck := 0, 0
	for offset < len(blob) {
		next, err := c.chunk(ctx, location, blob, offset)
		if err != nil {
			return err
		}
		if stuck++; next > offset {
			stuck = 0
		}
		if stuck == attempts {
			return errShort
		}
		offset = next
	}
	query := "?digest=" + url.QueryEscape(digest.FromBytes(blob).String())
	resp, err := c.do(ctx, "PUT", *location+query, nil, nil, 201)
	if err != nil {
		return c.ignorePut(err)
	}
	return resp.Body.Close()
}

// errLost is the error for an upload whose session is gone. A new session may succeed.
var errLost = errors.New("the session is of no use any more")

// again returns the error of an upload. Statuses 400 and 404 become errLost,
// because the upload may succeed in a new session.
func again(err error) error {
	if status := (*httpError)(nil); errors.As(err, &status) && (status.status == 404 || status.status == 400) {
		return fmt.Errorf("%w: %v", errLost, err)
	}
	return err
}

// chunk sends the chunk at the offset and returns the offset of the next one.
func (c *client) chunk(ctx context.Context, location *string, blob []byte, offset int) (next int, err error) {
	end := min(offset+chunkSize, len(blob))
	header := http.Header{"Content-Range": {fmt.Sprintf("%d-%d", offset, end-1)}}
	resp, err := c.do(ctx, "PATCH", *location, blob[offset:end], header, 202)
	if err == nil {
		*location = resp.Header.Get("Location")
		resp.Body.Close()
		if c.bug == "ignores how much was accepted" {
			return end, nil
		}
		return after(resp.Header), nil
	}
	if status := (*httpError)(nil); errors.As(err, &status) && status.status == 416 {
		if c.bug == "ignores Range of 416" {
			return 0, err
		}
		return after(status.resp), nil
	}
	if c.bug == "begins uploads again" {
		return 0, err
	}
	if status := (*httpError)(nil); errors.As(err, &status) && c.bug != "ignores Retry-After" {
		select {
		case <-time.After(status.after):
		case <-ctx.Done():
		}
	}
	// The registry says in Range how many bytes have arrived.
	err = c.retry(ctx, func() error {
		resp, err := c.do(ctx, "GET", *location, nil, nil, 204)
		if err != nil {
			return err
		}
		*location = resp.Header.Get("Location")
		next = after(resp.Header)
		return resp.Body.Close()
	})
	return next, err
}

// after returns the offset that follows the last byte in a response's Range.
func after(h http.Header) int {
	_, last, _ := strings.Cut(h.Get("Range"), "-")
	n, err := strconv.Atoi(last)
	if err != nil || n == 0 {
		return 0
	}
	return n + 1
}

// tags returns the tags of a repository, page by page.
func (c *client) tags(ctx context.Context, repo string) (tags []string, err error) {
	target := "/v2/" + repo + "/tags/list?n=2"
	for target != "" {
		err := c.retry(ctx, func() error {
			resp, err := c.do(ctx, "GET", target, nil, nil, 200)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			var page struct{ Tags []string }
			if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
				return err
			}
			tags = append(tags, page.Tags...)
			link, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Link"), "<"), ">")
			target = link
			return nil
		})
		if err != nil && c.bug == "takes a part of a list for all" {
			return tags, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return tags, nil
}
