package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// writeLayout writes an image layout with n tagged images and returns them. If
// differ is set, each image has a different config; otherwise all tags name one
// image.
func writeLayout(b *testing.B, dir string, n int, differ bool) []image {
	b.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o777); err != nil {
		b.Fatal(err)
	}
	// Give the files an old time: a layout verifies files again that may have
	// changed within a step of the file system's clock.
	past := time.Now().Add(-time.Hour)
	write := func(name string, content []byte) {
		if err := errors.Join(os.WriteFile(name, content, 0o666), os.Chtimes(name, past, past)); err != nil {
			b.Fatal(err)
		}
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	images := make([]image, n)
	for k := range images {
		if k == 0 || differ {
			images[k] = newImage(fmt.Sprint(k), bytes.Repeat([]byte("x"), 1024))
			for d, content := range map[digest.Digest][]byte{
				images[k].configDigest: images[k].config,
				images[k].layerDigest:  images[k].layer,
				images[k].digest:       images[k].manifest,
			} {
				write(filepath.Join(blobs, d.Encoded()), content)
			}
		} else {
			images[k] = images[0]
		}
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: images[k].digest, Size: int64(len(images[k].manifest)),
			Annotations: map[string]string{ocispec.AnnotationRefName: tagName(k)},
		})
	}
	write(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write(filepath.Join(dir, "index.json"), encode(index))
	return images
}

// layoutDir returns a new directory named app, which is then also the name of
// the repository.
func layoutDir(b *testing.B) string { return filepath.Join(b.TempDir(), "app") }

// openLayout measures the time to open a layout of n images and then to get one
// manifest, from the middle of the index.
func openLayout(b *testing.B, r Registry, n int) {
	dir := layoutDir(b)
	i := writeLayout(b, dir, n, true)[n/2]
	openClient(b, r, dir, false).check(b, "app", tagName(n/2), i)
	for b.Loop() {
		c := openClient(b, r, dir, false)
		c.must(b, call{method: "GET", path: "/v2/app/manifests/" + tagName(n/2), want: http.StatusOK})
	}
}

// getOfLayout measures GET requests for one part of an image in a layout of n
// images.
func getOfLayout(b *testing.B, r Registry, n int, part string) {
	dir := layoutDir(b)
	i := writeLayout(b, dir, n, true)[n/2]
	c := openClient(b, r, dir, false)
	c.check(b, "app", tagName(n/2), i)
	getAgain(b, c, "GET", part, "app", tagName(n/2), i, 1)
}

// openTree measures the time to open a tree of n layouts, to get one manifest
// and to list all repositories.
func openTree(b *testing.B, r Registry, n int) {
	dir := b.TempDir()
	var i image
	for k := range n {
		i = writeLayout(b, filepath.Join(dir, fmt.Sprintf("team%d", k%10), fmt.Sprintf("app%d", k)), 1, true)[0]
	}
	path := fmt.Sprintf("team%d/app%d", (n-1)%10, n-1)
	openClient(b, r, dir, false).check(b, path, tagName(0), i)
	for b.Loop() {
		c := openClient(b, r, dir, false)
		c.must(b, call{method: "GET", path: "/v2/" + path + "/manifests/" + tagName(0), want: http.StatusOK})
		a := c.must(b, call{method: "GET", path: "/v2/_catalog", keep: true, want: http.StatusOK})
		if got := strings.Count(string(a.body), "team"); got != n {
			b.Fatalf("the catalog lists %d repositories, not %d", got, n)
		}
	}
}

// pushIntoLayout measures concurrent writers, each of which pushes a tag into a
// layout with n tags.
func pushIntoLayout(b *testing.B, r Registry, n, writers int) {
	dir := layoutDir(b)
	i := writeLayout(b, dir, n, false)[0]
	c := openClient(b, r, dir, false)
	k := n
	for b.Loop() {
		// An iteration has one push by each writer. The reported time is the time
		// for one push.
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func(tag string) func() {
				return func() {
					if err := c.pushManifest("app", tag, i); err != nil {
						b.Error(err)
					}
				}
			}(tagName(k)))
			k++
		}
		wg.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*writers), "us/push")
	c.check(b, "app", tagName(k-1), i)
	if text, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || bytes.Count(text, []byte(`"digest"`)) < k {
		b.Fatalf("index.json has %d entries, not %d: %v", bytes.Count(text, []byte(`"digest"`)), k, err)
	}
}
