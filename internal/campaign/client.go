package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A client pushes, pulls and deletes content that no other client uses, and
// records the responses in its ledger.
type client struct {
	*ledger
	http     *http.Client
	url      string
	name     string
	rng      *rand.Rand
	n        int // the number of texts that the client has made, see text
	images   []image
	reads    int
	findings []string
}

// An image names an image, with its blobs, that the client pushed and did not
// delete.
type image struct {
	repo, tag     string
	digest        digest.Digest
	config, layer digest.Digest
}

// maxImages is the number of images above which a client deletes the oldest one.
const maxImages = 8

// work sends requests until ctx is done or a request fails.
func (c *client) work(ctx context.Context) {
	for ctx.Err() == nil {
		ok := true
		switch n := c.rng.IntN(10); {
		case n < 5 || len(c.images) == 0:
			ok = c.pushImage(ctx)
		case n < 8:
			ok = c.pull(ctx)
		default:
			ok = c.deleteImage(ctx, c.rng.IntN(len(c.images)))
		}
		if ok && len(c.images) > maxImages {
			ok = c.deleteImage(ctx, 0)
		}
		if !ok {
			return
		}
	}
}

// send sends a request. It returns the response and its body, or nil if the
// response was missing or incomplete.
func (c *client) send(ctx context.Context, method, target, body string, header ...string) (*http.Response, string) {
	if strings.HasPrefix(target, "/") {
		target = c.url + target
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		c.findings = append(c.findings, err.Error())
		return nil, ""
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, ""
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, ""
	}
	return resp, string(content)
}

// acknowledged sends a write and reports whether the response has the status. A
// response with another status is a finding.
func (c *client) acknowledged(ctx context.Context, status int, method, target, body string, header ...string) bool {
	resp, text := c.send(ctx, method, target, body, header...)
	if resp == nil {
		return false
	}
	if resp.StatusCode != status {
		c.findings = append(c.findings, fmt.Sprintf("%s %s: %d %.300s, want %d", method, target, resp.StatusCode, text, status))
		return false
	}
	return true
}

func (c *client) repo() string { return repositories[c.rng.IntN(len(repositories))] }

// text returns text that no client has made before.
func (c *client) text(size int) string {
	c.n++
	return strings.Repeat(fmt.Sprintf("%s %d ", c.name, c.n), size)
}

func (c *client) pushBlob(ctx context.Context, repo, content string) (d digest.Digest, ok bool) {
	d = digest.FromString(content)
	c.contents[d] = content
	base := "/v2/" + repo + "/blobs/uploads/"
	ok = write(c.blobs, key(repo, string(d)), present, func() bool {
		way := c.rng.IntN(4)
		if way == 0 {
			return c.acknowledged(ctx, http.StatusCreated, "POST", base+"?digest="+string(d), content)
		}
		resp, _ := c.send(ctx, "POST", base, "")
		if resp == nil {
			return false
		}
		location, rest := resp.Header.Get("Location"), content
		if way > 1 {
			half := len(content) / 2
			if !c.acknowledged(ctx, http.StatusAccepted, "PATCH", location, content[:half]) {
				return false
			}
			rest = content[half:]
		}
		if way == 3 {
			// Leave the upload session unfinished and push the blob in one POST.
			return c.acknowledged(ctx, http.StatusCreated, "POST", base+"?digest="+string(d), content)
		}
		return c.acknowledged(ctx, http.StatusCreated, "PUT", location+"?digest="+string(d), rest)
	})
	return d, ok
}

func (c *client) pushImage(ctx context.Context) bool {
	i := image{repo: c.repo(), tag: fmt.Sprintf("%s-%d", c.name, c.rng.IntN(maxImages))}
	var ok bool
	if i.config, ok = c.pushBlob(ctx, i.repo, c.text(1)); !ok {
		return false
	}
	if i.layer, ok = c.pushBlob(ctx, i.repo, c.text(1+c.rng.IntN(3000))); !ok {
		return false
	}
	descriptor := func(mediaType string, d digest.Digest) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, d, len(c.contents[d]))
	}
	content := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, ocispec.MediaTypeImageManifest,
		descriptor(ocispec.MediaTypeImageConfig, i.config), descriptor(ocispec.MediaTypeImageLayer, i.layer))
	i.digest = digest.FromString(content)
	c.contents[i.digest] = content
	ok = write(c.manifests, key(i.repo, string(i.digest)), present, func() bool {
		return c.writeTag(key(i.repo, i.tag), string(i.digest), func() bool {
			return c.acknowledged(ctx, http.StatusCreated, "PUT", "/v2/"+i.repo+"/manifests/"+i.tag, content, "Content-Type", ocispec.MediaTypeImageManifest)
		})
	})
	if ok {
		c.images = append(c.images, i)
	}
	return ok
}

// deleteImage deletes the image with the index n: its manifest, and sometimes
// its blobs. Sometimes it deletes only the tag.
func (c *client) deleteImage(ctx context.Context, n int) bool {
	i := c.images[n]
	tag := key(i.repo, i.tag)
	if c.rng.IntN(3) == 0 && len(c.tags[tag]) == 1 && c.tags[tag][0] == string(i.digest) && len(c.images) <= maxImages {
		return c.writeTag(tag, "", func() bool {
			return c.acknowledged(ctx, http.StatusAccepted, "DELETE", "/v2/"+i.repo+"/manifests/"+i.tag, "")
		})
	}
	c.images = append(c.images[:n:n], c.images[n+1:]...)
	remove := func() bool {
		return write(c.manifests, key(i.repo, string(i.digest)), gone, func() bool {
			return c.acknowledged(ctx, http.StatusAccepted, "DELETE", "/v2/"+i.repo+"/manifests/"+string(i.digest), "")
		})
	}
	ok := false
	if c.tags[tag][0] == string(i.digest) {
		ok = c.writeTag(tag, "", remove)
	} else {
		ok = remove()
	}
	if !ok || c.rng.IntN(2) == 0 {
		return ok
	}
	return c.deleteBlobs(ctx, i)
}

// deleteBlobs deletes the config and the layer of an image.
func (c *client) deleteBlobs(ctx context.Context, i image) bool {
	for _, d := range []digest.Digest{i.config, i.layer} {
		if !write(c.blobs, key(i.repo, string(d)), gone, func() bool {
			return c.acknowledged(ctx, http.StatusAccepted, "DELETE", "/v2/"+i.repo+"/blobs/"+string(d), "")
		}) {
			return false
		}
	}
	return true
}

// pull gets the manifest and the blobs of an image and compares the bytes with
// the pushed ones.
func (c *client) pull(ctx context.Context) bool {
	i := c.images[c.rng.IntN(len(c.images))]
	for _, target := range []struct{ kind, name string }{{"manifests", string(i.digest)}, {"blobs", string(i.config)}, {"blobs", string(i.layer)}} {
		resp, content := c.send(ctx, "GET", "/v2/"+i.repo+"/"+target.kind+"/"+target.name, "")
		if resp == nil {
			return false
		}
		c.reads++
		if want := c.contents[digest.Digest(target.name)]; resp.StatusCode != http.StatusOK || content != want {
			c.findings = append(c.findings, fmt.Sprintf("GET %s of %s: %d with %d bytes, want %d", target.name, i.repo, resp.StatusCode, len(content), len(want)))
			return false
		}
	}
	return true
}

// forget removes from the client's list each image whose manifest or blobs may be
// missing, because a write had no response or a check did not find the content.
func (c *client) forget() {
	var kept []image
	for _, i := range c.images {
		if c.manifests[key(i.repo, string(i.digest))] == present && c.blobs[key(i.repo, string(i.config))] == present && c.blobs[key(i.repo, string(i.layer))] == present {
			kept = append(kept, i)
		}
	}
	c.images = kept
}
