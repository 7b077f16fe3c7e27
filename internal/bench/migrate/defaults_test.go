package migrate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// others maps each migration page to a function that starts the registry described
// there with its default settings.
var others = map[string]func(t *testing.T) http.Handler{
	"ggcr.md": func(*testing.T) http.Handler { return ggcr.New() },
	"olareg.md": func(t *testing.T) http.Handler {
		s := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	},
	"distribution.md": func(t *testing.T) http.Handler {
		config := &configuration.Configuration{Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		}}
		return handlers.NewApp(t.Context(), config)
	},
}

// options has the options that the pages name, by their Go source.
var options = map[string]registry.Option{
	"registry.WithSparseManifests()":              registry.WithSparseManifests(),
	"registry.WithAnyManifest()":                  registry.WithAnyManifest(),
	"registry.WithManifestLimit(8 << 20)":         registry.WithManifestLimit(8 << 20),
	"registry.Without(registry.BlobIsolation)":    registry.Without(registry.BlobIsolation),
	"registry.Without(registry.ListReferrers)":    registry.Without(registry.ListReferrers),
	"registry.Without(registry.ListRepositories)": registry.Without(registry.ListRepositories),
	"registry.Without(registry.PostBlob)":         registry.Without(registry.PostBlob),
	"registry.Without(registry.AnonymousMount)":   registry.Without(registry.AnonymousMount),
	"registry.Without(registry.DeleteTag)":        registry.Without(registry.DeleteTag),
	"registry.Without(registry.DeleteManifest)":   registry.Without(registry.DeleteManifest),
	"registry.Without(registry.DeleteBlob)":       registry.Without(registry.DeleteBlob),
}

// A client sends requests to the handler of a registry.
type client struct {
	t *testing.T
	h http.Handler
}

func (c client) do(method, target, mediaType, body string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	return w.Result()
}

func (c client) status(method, target, mediaType, body string) string {
	return strconv.Itoa(c.do(method, target, mediaType, body).StatusCode)
}

// push pushes a blob and returns its digest.
func (c client) push(repo, blob string) digest.Digest {
	c.t.Helper()
	d := digest.FromString(blob)
	resp := c.do("POST", "/v2/"+repo+"/blobs/uploads/", "", "")
	require.Equal(c.t, http.StatusAccepted, resp.StatusCode)
	to, err := url.Parse(resp.Header.Get("Location"))
	require.NoError(c.t, err)
	query := to.Query()
	query.Set("digest", d.String())
	to.RawQuery = query.Encode()
	require.Equal(c.t, "201", c.status("PUT", to.RequestURI(), "application/octet-stream", blob))
	return d
}

// pushImage pushes an image with the tag v1 and returns the digest of its
// manifest.
func (c client) pushImage(repo string) digest.Digest {
	c.t.Helper()
	c.push(repo, "{}")
	m := image(digest.FromString("{}"), 2, "")
	require.Equal(c.t, "201", c.status("PUT", "/v2/"+repo+"/manifests/v1", ocispec.MediaTypeImageManifest, m))
	return digest.FromString(m)
}

func image(config digest.Digest, size int, annotation string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[],"annotations":{"a":%q}}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, config, size, annotation)
}

// probes has the requests whose responses differ between registries. Each
// function returns the status of the last response.
var probes = map[string]func(c client) string{
	"push an image whose blobs are missing": func(c client) string {
		return c.status("PUT", "/v2/app/manifests/v1", ocispec.MediaTypeImageManifest, image(digest.FromString("missing"), 7, ""))
	},
	"push an index whose images are missing": func(c client) string {
		return c.status("PUT", "/v2/app/manifests/v1", ocispec.MediaTypeImageIndex, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":7}]}`,
			ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, digest.FromString("missing")))
	},
	"push a manifest that is not JSON": func(c client) string {
		return c.status("PUT", "/v2/app/manifests/v1", ocispec.MediaTypeImageManifest, "junk")
	},
	"push a manifest of 5 MiB": func(c client) string {
		c.push("app", "{}")
		return c.status("PUT", "/v2/app/manifests/v1", ocispec.MediaTypeImageManifest, image(digest.FromString("{}"), 2, strings.Repeat("a", 5<<20)))
	},
	"push a blob in one POST": func(c client) string {
		return c.status("POST", "/v2/app/blobs/uploads/?digest="+digest.FromString("blob").String(), "application/octet-stream", "blob")
	},
	"pull a blob that another repository has": func(c client) string {
		c.push("app", "blob")
		return c.status("GET", "/v2/other/blobs/"+c.push("app", "blob").String(), "", "")
	},
	"mount a blob without saying from where": func(c client) string {
		return c.status("POST", "/v2/other/blobs/uploads/?mount="+c.push("app", "blob").String(), "", "")
	},
	"delete a tag": func(c client) string {
		c.pushImage("app")
		return c.status("DELETE", "/v2/app/manifests/v1", "", "")
	},
	"delete a manifest": func(c client) string {
		return c.status("DELETE", "/v2/app/manifests/"+c.pushImage("app").String(), "", "")
	},
	"delete a blob": func(c client) string {
		return c.status("DELETE", "/v2/app/blobs/"+c.push("app", "blob").String(), "", "")
	},
	"list referrers": func(c client) string {
		return c.status("GET", "/v2/app/referrers/"+c.pushImage("app").String(), "", "")
	},
	"pull by the tag of a manifest that was deleted by its digest": func(c client) string {
		c.do("DELETE", "/v2/app/manifests/"+c.pushImage("app").String(), "", "")
		return c.status("GET", "/v2/app/manifests/v1", "", "")
	},
	"push a manifest under the digest of another one": func(c client) string {
		c.push("app", "{}")
		return c.status("PUT", "/v2/app/manifests/"+digest.FromString("other").String(), ocispec.MediaTypeImageManifest, image(digest.FromString("{}"), 2, ""))
	},
	"pull a blob from its third byte on": func(c client) string {
		r := httptest.NewRequest("GET", "/v2/app/blobs/"+c.push("app", "blob").String(), nil)
		r.Header.Set("Range", "bytes=2-")
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, r)
		return strconv.Itoa(w.Code)
	},
	"get the status of an upload session": func(c client) string {
		return c.status("GET", c.do("POST", "/v2/app/blobs/uploads/", "", "").Header.Get("Location"), "", "")
	},
	"pull from a repository whose name has capitals": func(c client) string {
		return c.status("GET", "/v2/App/manifests/v1", "", "")
	},
	"list repositories": func(c client) string { return c.status("GET", "/v2/_catalog", "", "") },
}

// logs returns "yes" if the registry writes to standard error during a request,
// and "no" otherwise.
func logs(t *testing.T, start func(t *testing.T) http.Handler) string {
	file := redirect(t)
	client{t, start(t)}.do("GET", "/v2/", "", "")
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	if len(written) > 0 {
		return "yes"
	}
	return "no"
}

// redirect makes a file the standard error until the end of the test, and
// returns its name.
func redirect(t *testing.T) string {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	stderr, logger := os.Stderr, logrus.StandardLogger().Out
	os.Stderr = file
	logrus.SetOutput(file)
	t.Cleanup(func() {
		os.Stderr = stderr
		logrus.SetOutput(logger)
		file.Close()
	})
	return file.Name()
}

func ours(opts ...registry.Option) func(*testing.T) http.Handler {
	return func(*testing.T) http.Handler { return registry.New(memstore.New(), opts...) }
}

// Each page lists all differences that the probes find. If a row of the page
// names an option, this registry responds with the option as the other registry
// does by default.
func TestDefaults(t *testing.T) {
	redirect(t)
	row := regexp.MustCompile(`(?m)^\| ([a-z][^|]*) \| (\w+) \| (\w+) \| ([^|]*) \|$`)
	for page, start := range others {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "migrate", page))
			require.NoError(t, err)
			listed := make(map[string]bool)
			for _, m := range row.FindAllStringSubmatch(string(text), -1) {
				name, theirs, here, option := m[1], m[2], m[3], strings.Trim(m[4], "`")
				listed[name] = true
				if name == "write to standard error" {
					require.Equal(t, theirs, logs(t, start), name)
					require.Equal(t, here, logs(t, ours()), name)
					continue
				}
				probe := probes[name]
				require.NotNil(t, probe, name)
				require.Equal(t, theirs, probe(client{t, start(t)}), name)
				require.Equal(t, here, probe(client{t, ours()(t)}), name)
				if option != "–" {
					require.Contains(t, options, option)
					require.Equal(t, theirs, probe(client{t, ours(options[option])(t)}), "%s: %s", name, option)
				}
			}
			for name, probe := range probes {
				if theirs, here := probe(client{t, start(t)}), probe(client{t, ours()(t)}); theirs != here && !listed[name] {
					t.Errorf("the page lacks the row | %s | %s | %s |", name, theirs, here)
				}
			}
		})
	}
}
