package registrytest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

func TestPull(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "team/app:v1", content.Image())
	reg.Fault(t, fault.On(registry.GetBlob).Times(2).Status(503).RetryAfter(time.Second))

	got, err := pull(reg.Ref("team/app:v1"))
	require.NoError(t, err)
	require.Equal(t, app.Digest, got)

	require.Equal(t, 4, reg.Requests().Op(registry.GetBlob).Len())
}

// The example in the package's documentation is the source of TestPull.
func TestDocumentationIsTested(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc_test.go")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(source), "\nfunc TestPull(")
	body, _, _ := strings.Cut(rest, "\n}\n")
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var code strings.Builder
	for line := range strings.Lines(string(doc)) {
		if text, ok := strings.CutPrefix(line, "//"); ok {
			code.WriteString(strings.TrimPrefix(text, "\t"))
		}
	}
	require.Contains(t, code.String(), "func TestPull("+body+"\n}\n")
}

// pull gets an image: its manifest, its config and its layers. While the status
// is 503, it retries at once. Snippets in the documentation call it, too.
func pull(ref string) (digest.Digest, error) {
	host, name, _ := strings.Cut(ref, "/")
	repo, tag, _ := strings.Cut(name, ":")
	get := func(path string) ([]byte, error) {
		for {
			resp, err := http.Get("http://" + host + "/v2/" + repo + path)
			if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch {
			case err != nil:
				return nil, err
			case resp.StatusCode == http.StatusOK:
				return body, nil
			case resp.StatusCode != http.StatusServiceUnavailable:
				return nil, fmt.Errorf("getting %s: %s", path, resp.Status)
			}
		}
	}
	text, err := get("/manifests/" + tag)
	if err != nil {
		return "", err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return "", err
	}
	for _, blob := range append(manifest.Layers, manifest.Config) {
		if _, err := get("/blobs/" + string(blob.Digest)); err != nil {
			return "", err
		}
	}
	return digest.FromBytes(text), nil
}

// StartServer starts a server for a program, or for all tests of a package.
func ExampleStartServer() {
	reg, err := registrytest.StartServer()
	if err != nil {
		log.Fatal(err)
	}
	resp, err := reg.Client().Get(reg.URL + "/v2/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	fmt.Println(reg.Requests().First())
	// Close returns the failures that a test would report.
	fmt.Println(reg.Close())
	// Output:
	// 200 OK
	// GET /v2/ 200
	// <nil>
}
