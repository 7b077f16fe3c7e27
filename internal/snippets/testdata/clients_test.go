package snippets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
	"github.com/ocireg/registry/registrytest/upstream"
)

// begin gives the variables of the prelude values for one snippet, and pulls an
// image as a client.
func begin(t *testing.T) {
	var cancel func()
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond) // for snippets that wait for more requests
	t.Cleanup(cancel)
	store, seeded = memstore.New(), memstore.New()
	reg, network = registrytest.NewServer(t), registrytest.NewNetwork(t)
	a = auth.Bearer()
	a.User("ci", "pull,push team/**")
	app = reg.Push(t, "team/app:v1", content.Image(content.Layers(2)))
	layer, d = app.Layers[0], app.Digest
	handler, logger, w = registry.New(store), slog.New(slog.DiscardHandler), io.Discard
	dir = t.TempDir()
	fsys = os.DirFS(dir)
	var err error
	if images, err = layout.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { images.Close() })
	if cache, err = upstream.Open(images, upstream.Offline()); err != nil {
		t.Fatal(err)
	}
	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	if _, err := download(t.Context(), reg.Client(), reg.Ref("team/app:v1")); err != nil {
		t.Fatal(err)
	}
}

// get sends a GET up to three times, and waits as Retry-After says. It verifies the
// digest that the registry sends.
func get(ctx context.Context, c *http.Client, url string) (body []byte, header http.Header, err error) {
	for range 3 {
		if body, header, err = try(ctx, c, url); err == nil {
			return body, header, nil
		}
		if date, err := http.ParseTime(header.Get("Retry-After")); err == nil {
			time.Sleep(time.Until(date))
		}
		seconds, _ := strconv.Atoi(header.Get("Retry-After"))
		time.Sleep(time.Duration(seconds) * time.Second)
	}
	return nil, nil, err
}

func try(ctx context.Context, c *http.Client, url string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch want := resp.Header.Get("Docker-Content-Digest"); {
	case err != nil:
	case resp.StatusCode != http.StatusOK:
		err = errors.New(resp.Status)
	case want != "" && want != digest.FromBytes(body).String():
		err = errors.New("the content does not match its digest")
	}
	return body, resp.Header, err
}

// split returns the URL of the repository of a reference, and its tag.
func split(ref string) (url, tag string) {
	host, path, _ := strings.Cut(ref, "/")
	repo, tag, _ := strings.Cut(path, ":")
	return "http://" + host + "/v2/" + repo, tag
}

// download returns the first layer of an image.
func download(ctx context.Context, c *http.Client, ref string) ([]byte, error) {
	url, tag := split(ref)
	text, _, err := get(ctx, c, url+"/manifests/"+tag)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil || len(m.Layers) == 0 {
		return nil, errors.Join(err, errors.New("no layer"))
	}
	layer, _, err := get(ctx, c, url+"/blobs/"+m.Layers[0].Digest.String())
	if err == nil && digest.FromBytes(layer) != m.Layers[0].Digest {
		err = errors.New("the layer does not match its digest")
	}
	return layer, err
}

// list returns all tags of a repository.
func list(ctx context.Context, c *http.Client, ref string) (tags []string, err error) {
	repo, _ := split(ref)
	host, _, _ := strings.Cut(repo, "/v2/")
	for url := repo + "/tags/list"; url != ""; {
		text, header, err := get(ctx, c, url)
		if err != nil {
			return nil, err
		}
		var page struct{ Tags []string }
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, err
		}
		tags = append(tags, page.Tags...)
		next, more, _ := strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
		url = ""
		if more != "" {
			url = host + next
		}
	}
	return tags, nil
}

// upload pushes a blob.
func upload(c *http.Client, ref string, blob io.Reader) error {
	url, _ := split(ref)
	bytes, err := io.ReadAll(blob)
	if err != nil {
		return err
	}
	return send(c, "POST", url+"/blobs/uploads/?digest="+digest.FromBytes(bytes).String(), "application/octet-stream", bytes)
}

// push pushes a manifest.
func push() {
	send(reg.Client(), "PUT", reg.URL+"/v2/team/app/manifests/pushed", app.MediaType, app.Manifest)
}

func send(c *http.Client, method, url, mediaType string, body []byte) error {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", mediaType)
	resp, err := c.Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func setup(t *explore.T, reg *registrytest.Server) {
	for _, tag := range []string{"v1", "v2", "v3", "v4", "v5"} {
		reg.Push(t, "team/app:"+tag, content.Image())
	}
}

func operation(t *explore.T, reg *registrytest.Server) error {
	manifest, _, err := get(t.Context(), reg.Client(), reg.URL+"/v2/team/app/manifests/v1")
	t.Result("manifest", manifest)
	return err
}
