package auth_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
)

// isolating are the kinds of stores that keep the content of repositories apart.
// The function reopen opens the same content again, as another process would.
var isolating = []struct {
	name string
	open func(t *testing.T) (store registry.Store, reopen func() registry.Store)
}{
	{"memory", func(t *testing.T) (registry.Store, func() registry.Store) {
		s := memstore.New()
		return s, func() registry.Store { return s.Clone() }
	}},
	{"tree", func(t *testing.T) (registry.Store, func() registry.Store) {
		dir := t.TempDir()
		return openLayout(t, dir), func() registry.Store { return openLayout(t, dir) }
	}},
}

func openLayout(t *testing.T, dir string) *layout.Store {
	t.Helper()
	s, err := layout.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// oneLayout returns a store in a single layout directory, with the repositories
// pub/x and priv/x.
func oneLayout(t *testing.T) *layout.Store {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(`{"schemaVersion":2,"manifests":[]}`), 0o666))
	s := openLayout(t, dir)
	require.NoError(t, content.Put(t.Context(), s, "pub/x:v1", content.Image(content.Seed(1))))
	require.NoError(t, content.Put(t.Context(), s, "priv/x:v1", content.Image(content.Seed(2))))
	return s
}

// attacks returns manifests that refer to content with the digest d, each in a
// different way. The key describes the way; the value has the media type and
// members of the JSON.
func attacks(d string) map[string][2]string {
	descriptor := func(mediaType, more string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1%s}`, mediaType, d, more)
	}
	const (
		layer   = "application/vnd.oci.image.layer.v1.tar+gzip"
		image   = "application/vnd.oci.image.manifest.v1+json"
		index   = "application/vnd.oci.image.index.v1+json"
		unknown = "application/vnd.unknown.v1+json"
		urls    = `,"urls":["https://example.org/x"]`
	)
	own := fmt.Sprintf(`{"mediaType":"a/b","digest":%q,"size":3}`, digest.FromString("own"))
	all := map[string][2]string{
		"a non-distributable layer":    {image, `"config":` + own + `,"layers":[` + descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", "") + `]`},
		"a foreign layer":              {"application/vnd.docker.distribution.manifest.v2+json", `"config":` + own + `,"layers":[` + descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls) + `]`},
		"a layer with URLs":            {image, `"config":` + own + `,"layers":[` + descriptor(layer, urls) + `]`},
		"a layer":                      {image, `"config":` + own + `,"layers":[` + descriptor(layer, "") + `]`},
		"the config":                   {image, `"config":` + descriptor("a/b", "") + `,"layers":[]`},
		"the subject":                  {image, `"config":` + own + `,"layers":[],"subject":` + descriptor(image, "")},
		"the subject of an index":      {index, `"manifests":[],"subject":` + descriptor(image, "")},
		"blobs of an artifact":         {"application/vnd.oci.artifact.manifest.v1+json", `"blobs":[` + descriptor(layer, "") + `]`},
		"blobs with URLs":              {"application/vnd.oci.artifact.manifest.v1+json", `"blobs":[` + descriptor(layer, urls) + `]`},
		"a layer of no type":           {"", `"layers":[` + descriptor(layer, "") + `]`},
		"the history of schema 1":      {"application/vnd.docker.distribution.manifest.v1+json", `"fsLayers":[{"blobSum":"` + d + `"}]`},
		"a child with a second digest": {index, `"manifests":[{"mediaType":"` + image + `","digest":"` + d + `","size":1,"platform":{"digest":"` + d + `"}}]`},
	}
	for _, mediaType := range []string{index, "application/vnd.docker.distribution.manifest.list.v2+json", unknown} {
		for _, child := range []string{image, index, layer, unknown} {
			all["a child "+child+" of "+mediaType] = [2]string{mediaType, `"manifests":[` + descriptor(child, "") + `]`}
		}
	}
	for _, field := range []string{"layers", "blobs", "manifests"} {
		all[field+" of an unknown type"] = [2]string{unknown, `"` + field + `":[` + descriptor(layer, "") + `]`}
		all[field+" with URLs of an unknown type"] = [2]string{unknown, `"` + field + `":[` + descriptor(layer, urls) + `]`}
	}
	all["the config of an unknown type"] = [2]string{unknown, `"config":` + descriptor("a/b", "")}
	return all
}

// A client with rights on pub/** cannot read content of priv/x, even if it
// pushes manifests to pub/x that refer to the content, and the registry accepts
// incomplete or unknown manifests.
func TestRepositoriesAreIsolated(t *testing.T) {
	t.Parallel()
	lenient := map[string][]registry.Option{
		"strict":              nil,
		"sparse":              {registry.WithSparseManifests()},
		"any manifest":        {registry.WithAnyManifest()},
		"sparse any manifest": {registry.WithSparseManifests(), registry.WithAnyManifest()},
		"shared blobs":        {registry.Without(registry.BlobIsolation), registry.WithSparseManifests(), registry.WithAnyManifest()},
	}
	for _, s := range isolating {
		for name, opts := range lenient {
			t.Run(s.name+", "+name, func(t *testing.T) {
				t.Parallel()
				store, reopen := s.open(t)
				testIsolation(t, store, reopen, opts)
			})
		}
	}
}

func testIsolation(t *testing.T, store registry.Store, reopen func() registry.Store, opts []registry.Option) {
	a := auth.Basic()
	owner, mallory := basic(a.User("owner")), basic(a.User("mallory", "pull,push,delete,list pub/**"))
	open := func(store registry.Store) *reg {
		return &reg{t, a, registry.New(store, append(a.Options(), opts...)...), store}
	}
	r := open(store)
	push := func(repo, text string, as header) {
		w := r.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+string(digest.FromString(text)), as, text)
		require.Equal(t, 201, w.Code, w.Body)
	}
	push("priv/x", "secret blob", owner)
	push("pub/x", "own", mallory)
	secretManifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":%q,"size":11},"layers":[],"annotations":{"secret":"manifest"}}`, digest.FromString("secret blob"))
	h := owner.Clone()
	h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	require.Equal(t, 201, r.do("PUT", "/v2/priv/x/manifests/v1", h, secretManifest).Code)
	secrets := []string{string(digest.FromString("secret blob")), string(digest.FromString(secretManifest))}

	check := func(r *reg, name string) {
		for _, d := range secrets {
			for _, repo := range []string{"pub/x", "pub/y"} {
				for _, path := range []string{"/blobs/", "/manifests/", "/referrers/"} {
					got := r.do("GET", "/v2/"+repo+path+d, mallory, "")
					require.NotContains(t, got.Body.String(), "secret", "%s: %s%s%s", name, repo, path, d)
					if path != "/referrers/" {
						require.Equal(t, 404, got.Code, "%s: %s%s%s: %s", name, repo, path, d, got.Body)
						require.Equal(t, 404, r.do("HEAD", "/v2/"+repo+path+d, mallory, "").Code, name)
					}
				}
				for _, query := range []string{"?mount=" + d, "?mount=" + d + "&from=pub/x", "?mount=" + d + "&from=priv/x"} {
					require.Equal(t, 202, r.do("POST", "/v2/"+repo+"/blobs/uploads/"+query, mallory, "").Code, name)
				}
			}
		}
	}
	accepted := 0
	for _, d := range secrets {
		for name, attack := range attacks(d) {
			body := `{"schemaVersion":2,` + attack[1] + `}`
			h := mallory.Clone()
			if h.Set("Content-Type", attack[0]); attack[0] == "" {
				h.Del("Content-Type")
			}
			for _, reference := range []string{"v1", string(digest.FromString(body))} {
				if r.do("PUT", "/v2/pub/x/manifests/"+reference, h, body).Code == 201 {
					accepted++
				}
			}
			for _, path := range []string{"/blobs/", "/manifests/"} {
				require.Equal(t, 404, r.do("GET", "/v2/pub/x"+path+d, mallory, "").Code, name)
			}
		}
	}
	require.NotZero(t, accepted)
	check(r, "at the end")
	check(open(reopen()), "reopened")

	// The user mallory cannot delete content of other repositories.
	for _, d := range secrets {
		for _, path := range []string{"/blobs/", "/manifests/"} {
			require.Equal(t, 404, r.do("DELETE", "/v2/pub/x"+path+d, mallory, "").Code)
		}
	}
	for _, r := range []*reg{r, open(reopen())} {
		require.Equal(t, "secret blob", r.do("GET", "/v2/priv/x/blobs/"+secrets[0], owner, "").Body.String())
		require.Equal(t, secretManifest, r.do("GET", "/v2/priv/x/manifests/v1", owner, "").Body.String())
	}
}

// A layout in a tree is one repository, even if entries of its index.json name
// another.
func TestRepositoriesOfALayoutInATree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for repo, names := range map[string][]string{"pub/x": {"priv/x:v1", "docker.io/priv/x:v2"}, "priv/x": {"secret"}} {
		s := openLayout(t, dir)
		pushed := content.Image(content.Seed(uint64(len(repo))))
		require.NoError(t, content.Put(t.Context(), s, repo+":v1", pushed))
		require.NoError(t, s.Close())
		var entries []string
		for _, name := range names {
			entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":%q}}`,
				pushed.MediaType, pushed.Digest, pushed.Size, name))
		}
		index := filepath.Join(dir, filepath.FromSlash(repo), "index.json")
		require.NoError(t, os.WriteFile(index, []byte(`{"schemaVersion":2,"manifests":[`+strings.Join(entries, ",")+`]}`), 0o666))
	}
	a := auth.Basic("anonymous pull,list pub/**")
	r := &reg{t, a, registry.New(openLayout(t, dir), a.Options()...), nil}
	owner := basic(a.User("owner"))
	require.JSONEq(t, `{"repositories":["pub/x"]}`, r.do("GET", "/v2/_catalog", nil, "").Body.String())
	require.Equal(t, 200, r.do("GET", "/v2/pub/x/manifests/v1", nil, "").Code)
	require.Equal(t, 200, r.do("GET", "/v2/priv/x/manifests/secret", owner, "").Code)
	for _, path := range []string{"/v2/priv/x/manifests/v1", "/v2/priv/x/manifests/secret", "/v2/priv/x/tags/list"} {
		require.Equal(t, 401, r.do("GET", path, nil, "").Code, path)
	}
	require.Equal(t, 404, r.do("GET", "/v2/priv/x/manifests/v1", owner, "").Code, "an entry of pub/x adds no tag to priv/x")
}

const shareBlobs = "but the repositories of this store share their blobs"

// If the repositories of a store share their blobs, a user must have the same
// rights in all. Otherwise no server starts, and a running registry refuses each
// request.
func TestRightsOverSharedBlobs(t *testing.T) {
	t.Parallel()
	type rights struct {
		general []string
		user    []string // rules for the user ci
		want    string   // part of the error, or ""
	}
	for name, c := range map[string]rights{
		"everything":             {nil, nil, ""},
		"anonymous everywhere":   {[]string{"anonymous pull **"}, nil, ""},
		"another spelling of it": {[]string{"* pull */**"}, []string{"* **"}, ""},
		"read only":              {nil, []string{"pull,list **"}, ""},
		"pushing to some":        {nil, []string{"pull **", "push pub/**"}, ""},
		"listing some":           {nil, []string{"pull **", "list pub/**"}, ""},
		"anonymous here":         {[]string{"anonymous pull pub/**"}, nil, "an anonymous client may pull in some repositories only, " + shareBlobs},
		"all here":               {[]string{"* pull pub/x"}, nil, "an anonymous client may pull"},
		"pulling here":           {nil, []string{"pull pub/**"}, `user ci may pull in some repositories only, ` + shareBlobs + `, so that would reach all; allow "pull **", or serve a tree of layouts, whose repositories are separate`},
		"one element":            {nil, []string{"pull *"}, "user ci may pull"},
		"two elements":           {nil, []string{"pull */*", "pull *"}, "user ci may pull"},
		"deleting here":          {nil, []string{"pull **", "delete pub/**"}, "user ci may delete"},
		"pushing here, blindly":  {nil, []string{"push pub/**"}, "user ci may push"},
		"a rule with the name":   {[]string{"ci pull pub/**"}, []string{"list **"}, "user ci may pull"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := oneLayout(t)
			make := func() *auth.Auth {
				a := auth.Basic(c.general...)
				require.NoError(t, a.AddUser(auth.Credentials{Username: "ci", Password: "secret"}, c.user...))
				return a
			}
			tb := faketb.Try(t, func(tb *faketb.TB) {
				registrytest.NewServer(tb, make(), registrytest.WithStore(store), registrytest.WithInMemory())
			})
			require.Equal(t, c.want != "", tb.Fatal(), tb.Errors())
			if c.want != "" {
				require.Contains(t, tb.Errors()[0], "registrytest: starting a server: ")
				require.Contains(t, tb.Errors()[0], c.want)
			}
			a := make()
			r := &reg{t, a, registry.New(store, a.Options()...), store}
			var w *httptest.ResponseRecorder
			for range 2 {
				w = r.do("GET", "/v2/priv/x/tags/list", basic(auth.Credentials{Username: "ci", Password: "secret"}), "")
				require.Equal(t, c.want != "", w.Code == 500, w.Body)
			}
			if c.want != "" {
				require.ErrorContains(t, a.CheckStore(store), c.want)
				require.Contains(t, decode(t, w)["errors"].([]any)[0].(map[string]any)["message"], c.want)
			} else {
				require.NoError(t, a.CheckStore(store))
			}
			require.NoError(t, a.CheckStore(memstore.New()))
		})
	}
}

// A running registry whose repositories share their blobs refuses to add rights that
// differ between repositories, and keeps those that it has.
func TestRightsAddedOverSharedBlobs(t *testing.T) {
	t.Parallel()
	ci := auth.Credentials{Username: "ci", Password: "pw"}
	for want, add := range map[string]func(*auth.Auth) error{
		"an anonymous client may delete in some": func(a *auth.Auth) error { return a.Allow("anonymous delete,push pub/**") },
		"user ro may delete in some": func(a *auth.Auth) error {
			return a.AddUser(auth.Credentials{Username: "ro", Password: "x"}, "delete pub/**")
		},
		"user ci may delete in some": func(a *auth.Auth) error {
			return a.AddUser(auth.Credentials{Username: "ci", Password: "x"}, "delete pub/**")
		},
		"tokens of another issuer give rights": func(a *auth.Auth) error {
			return a.Trust("issuer", ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
		},
	} {
		a := auth.BearerOrBasic("anonymous pull **")
		reg := registrytest.NewServer(t, a, registrytest.WithStore(oneLayout(t)), registrytest.WithInMemory())
		require.NoError(t, a.AddUser(ci))
		a.Save()()
		require.ErrorContains(t, add(a), want)
		require.NoError(t, a.Err())
		for _, as := range []auth.Credentials{{}, ci} {
			require.Equal(t, 200, getAs(t, reg, "/v2/pub/x/manifests/v1", as))
		}
		require.Equal(t, 401, getAs(t, reg, "/v2/pub/x/manifests/v1", auth.Credentials{Username: "ro", Password: "x"}))
		require.NoError(t, a.Allow("* list **"))
	}
	elsewhere := auth.Bearer()
	registrytest.NewServer(t, elsewhere, registrytest.WithInMemory())
	require.NoError(t, elsewhere.AddUser(ci, "pull pub/**"), "other stores keep repositories apart")
}
