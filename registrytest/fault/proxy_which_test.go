package fault_test

import (
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/upstream"
)

// The words that choose requests choose the same requests if the registry is a proxy
// of another one.
func TestConditionsThroughAProxy(t *testing.T) {
	t.Parallel()
	rules := []string{
		"any repo=app", "any repo=other/**", "any tag=v*", "any digest=sha256:*", "any method=HEAD", "any user=ci", `any user=""`,
		"any has-header=Range", "any has-header=!Range has-header=?n", "any conn=1", "any conn=2",
		"any where=body>100", "put-manifest where=body:subject", "any where=repo-exists", "any where=!repo-exists", "any where=found",
		"any where=!found", "any where=tagged", "any where=!tagged", "any where=referenced", "any where=!referenced", "unknown where=path:/index/*",
		"any once", "any times=3", "any after=2 once", "any every=3", "get-blob first-bytes=100", "any probability=0.5 seed=7",
		"get-blob once status=503 then times=2", "get-manifest",
	}
	image := content.Image()
	blob, digest := "/v2/app/blobs/"+string(image.Layers[0].Digest), string(image.Digest)
	index := `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[]}`
	// ask sends a list of requests, and returns the statuses of the responses.
	ask := func(c testclient.Client) (statuses []int) {
		for _, r := range []struct {
			method, target, body string
			header               []string
		}{
			{"GET", "/v2/app/manifests/v1", "", []string{"Authorization", "Basic Y2k6eA=="}},
			{"GET", "/v2/app/manifests/" + digest, "", nil},
			{"GET", "/v2/app/manifests/v9", "", nil},
			{"GET", blob, "", []string{"Range", "bytes=0-9"}},
			{"GET", blob, "", nil},
			{"HEAD", blob, "", nil},
			{"GET", "/v2/other/blobs/" + digest, "", nil},
			{"PUT", "/v2/app/manifests/new", index, []string{"Content-Type", ocispec.MediaTypeImageIndex}},
			{"PUT", "/v2/other/x/manifests/new", strings.Replace(index, "]", `],"subject":{}`, 1), []string{"Content-Type", ocispec.MediaTypeImageIndex}},
			{"POST", "/v2/new/blobs/uploads/?mount=" + string(image.Layers[0].Digest) + "&from=app", "", nil},
			{"GET", "/v2/app/tags/list?n=1", "", nil},
			{"GET", "/v2/app/referrers/" + digest, "", nil},
			{"GET", "/index/static", "", nil},
			{"DELETE", "/v2/app/manifests/new", "", nil},
		} {
			got := c.Do(r.method, r.target, r.body, r.header...)
			require.NoError(t, got.Err)
			statuses = append(statuses, got.Status)
		}
		return statuses
	}
	behind := registrytest.NewServer(t, registrytest.WithInMemory())
	regs := []*registrytest.Server{registrytest.NewServer(t, registrytest.WithInMemory()),
		registrytest.NewServer(t, registrytest.WithInMemory(), upstream.NewProxy(behind.URL, upstream.Transport(behind.Transport())))}
	used := map[string]bool{"optional": true}
	for _, reg := range regs {
		reg.Push(t, "app:v1", image)
	}
	for _, text := range rules {
		var got [2][]int
		for i, reg := range regs {
			rule, err := fault.Parse(text + " status=418 optional")
			require.NoError(t, err)
			in := reg.Fault(t, rule)
			got[i] = ask(testclient.New(t, reg.Client(), reg.URL))
			in.Remove()
		}
		require.Equal(t, got[0], got[1], text)
		if text != "any conn=2" {
			require.Contains(t, got[0], http.StatusTeapot, text)
		}
		for _, word := range strings.Fields(text)[1:] {
			name, _, _ := strings.Cut(word, "=")
			used[name] = true
		}
	}
	for _, word := range whichAndWhen {
		require.True(t, used[word], "no rule has the word %s", word)
	}
}
