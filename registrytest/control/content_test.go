package control_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/control"
)

// overStores runs a test with a registry in memory and with one on disk.
func overStores(t *testing.T, test func(t *testing.T, a *api, memory bool)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, newAPI(t, control.Config{}), true)
	})
	t.Run("layout", func(t *testing.T) {
		t.Parallel()
		l, err := layout.Open(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, l.Close()) })
		test(t, newAPI(t, control.Config{}, registrytest.WithStore(l)), false)
	})
}

const seed = `{"ref": "team-7/app:v1", "image": {"layers": 3, "platforms": ["linux/amd64", "linux/arm64/v8"]}}`

func TestContentOfJSON(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, a *api, _ bool) {
		got := a.do(t, 201, "POST", "/v1/content", seed)
		want := content.Index(content.Image(content.Layers(3), content.Platform("linux/amd64")), content.Image(content.Layers(3), content.Platform("linux/arm64/v8")))
		require.Equal(t, string(want.Digest), got["digest"])
		require.Equal(t, "linux/arm64/v8", got["manifests"].([]any)[1].(object)["platform"])
		require.Len(t, got["manifests"].([]any)[0].(object)["layers"], 3)
		status, body := a.pull(t, "/v2/team-7/app/manifests/v1")
		require.Equal(t, 200, status)
		require.Equal(t, string(want.Manifest), body)
		require.Equal(t, got, a.do(t, 201, "POST", "/v1/content", seed), "the same recipe makes the same content")
		for _, body := range []string{
			`{"ref": "x"}`, `{"ref": "X:v1", "image": {}}`, `{"ref": "x:v1", "image": {}, "artifact": {}}`,
			`{"ref": "x:v1", "image": {"layers": -1}}`, `{"ref": "x:v1", "image": {"layers": 1001}}`, `{"ref": "x:v1", "image": {"layerSizes": [99999999999999]}}`,
			`{"ref": "x:v1", "image": {"platforms": ["a/b"], "platform": "a/b"}}`, `{"ref": "x:v1", "image": {"subject": "v9"}}`,
			`{"ref": "x:v1", "image": {"files": [{"../x": ""}]}}`, `{"ref": "x:v1", "picture": {}}`,
		} {
			a.refused(t, 400, "POST", "/v1/content", body)
		}
		require.Contains(t, a.text(t, 200, "GET", "/v1/registry/v2/team-7/app/tags/list", ""), `"v1"`)
		require.Equal(t, string(want.Manifest), a.text(t, 200, "GET", "/v1/registry/v2/team-7/app/manifests/v1", ""))
		a.text(t, 404, "GET", "/v1/registry/v2/x/manifests/v1", "")
		a.do(t, 405, "DELETE", "/v1/registry/v2/team-7/app/manifests/v1", "")
		require.Equal(t, []int{1}, a.numbers(t, ""), "requests of the control API are not in the journal")
	})
}

// GET /v1/content exports an archive. Another registry imports it, plain and
// compressed.
func TestContentOfArchive(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, a *api, memory bool) {
		want := a.do(t, 201, "POST", "/v1/content", seed)["digest"]
		a.do(t, 201, "POST", "/v1/content", `{"ref": "other:v1", "artifact": {"artifactType": "application/x"}}`)
		all := a.text(t, 200, "GET", "/v1/content", "")
		some := a.text(t, 200, "GET", "/v1/content?repo=team-7/**", "")
		require.Less(t, len(some), len(all))
		a.refused(t, 404, "GET", "/v1/content?repo=none", "")

		b := newAPI(t, control.Config{})
		b.do(t, 201, "POST", "/v1/content", `{"ref": "kept:v1", "image": {}}`)
		require.Equal(t, []any{"team-7/app:v1"}, b.do(t, 201, "POST", "/v1/content", some)["refs"])
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		io.WriteString(z, all)
		z.Close()
		require.Equal(t, []any{"other:v1", "team-7/app:v1"}, b.do(t, 201, "POST", "/v1/content", zipped.String())["refs"])
		m, err := b.reg.Store.StatManifest(t.Context(), "team-7/app", "v1")
		require.NoError(t, err)
		require.Equal(t, want, string(m.Digest))

		status := 409
		if memory {
			status = 200
		}
		a.do(t, status, "PUT", "/v1/content", some)
		if memory {
			require.Equal(t, []string{"team-7/app"}, repositories(t, a.reg.Store))
			a.refused(t, 400, "PUT", "/v1/content", "no archive")
			require.Equal(t, []string{"team-7/app"}, repositories(t, a.reg.Store), "a refused archive changes nothing")
		}
		a.refused(t, 400, "POST", "/v1/content", "")
		a.refused(t, 400, "POST", "/v1/content", "\x1f\x8bx")
	})
}

func repositories(t testing.TB, s registry.Store) (list []string) {
	t.Helper()
	for repo, err := range s.Repositories(t.Context(), "") {
		require.NoError(t, err)
		list = append(list, repo)
	}
	return list
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, a *api, memory bool) {
		a.do(t, 201, "POST", "/v1/content", seed)
		if !memory {
			require.Contains(t, a.refused(t, 409, "POST", "/v1/snapshots", ""), "is on disk")
			return
		}
		first := a.do(t, 201, "POST", "/v1/snapshots", "")
		a.do(t, 201, "POST", "/v1/content", `{"ref": "team-8/app:v1", "image": {}}`)
		second := a.do(t, 201, "POST", "/v1/snapshots", `{"name": "both"}`)
		require.Equal(t, []any{first, second}, a.do(t, 200, "GET", "/v1/snapshots", "")["snapshots"])
		a.do(t, 200, "POST", "/v1/snapshots/"+first["id"].(string)+"/restore", "")
		require.Equal(t, []string{"team-7/app"}, repositories(t, a.reg.Store))
		a.do(t, 201, "POST", "/v1/content", `{"ref": "team-9/app:v1", "image": {}}`)
		a.do(t, 200, "POST", "/v1/snapshots/both/restore?session=team-8", "")
		require.Equal(t, []string{"team-7/app", "team-8/app", "team-9/app"}, repositories(t, a.reg.Store))
		require.Contains(t, a.refused(t, 400, "POST", "/v1/snapshots/both/restore?session=X-Test:7", ""), "is a header, which has no content")
		a.do(t, 204, "DELETE", "/v1/snapshots/both", "")
		a.refused(t, 404, "DELETE", "/v1/snapshots/both", "")
		a.refused(t, 404, "POST", "/v1/snapshots/both/restore", "")
	})
}

func TestTamper(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, a *api, _ bool) {
		d := a.do(t, 201, "POST", "/v1/content", `{"ref": "app:v1", "image": {"layers": 1}}`)
		layer := d["layers"].([]any)[0].(string)
		_, whole := a.pull(t, "/v2/app/blobs/"+layer)
		for _, test := range []struct {
			way  string
			want func(status int, body string) bool
		}{
			{`"drop": true`, func(status int, _ string) bool { return status == 404 }},
			{`"truncate": 10`, func(_ int, body string) bool { return len(body) == 10 }},
			{`"flip": 10`, func(_ int, body string) bool { return len(body) == len(whole) && body != whole }},
			{`"replace": "x"`, func(_ int, body string) bool { return body == "x" }},
		} {
			tp := a.do(t, 201, "POST", "/v1/tamper", fmt.Sprintf(`{"repo": "app", "digest": %q, %s}`, layer, test.way))
			require.Equal(t, []any{tp}, a.do(t, 200, "GET", "/v1/tamper", "")["tampered"])
			status, body := a.pull(t, "/v2/app/blobs/"+layer)
			require.True(t, test.want(status, body), test.way)
			a.do(t, 204, "DELETE", "/v1/tamper/"+tp["id"].(string)+"?check", "")
			_, body = a.pull(t, "/v2/app/blobs/"+layer)
			require.Equal(t, whole, body)
		}
		a.do(t, 201, "POST", "/v1/tamper", `{"ref": "app:v1", "truncate": 1}`)
		a.do(t, 201, "POST", "/v1/tamper", `{"ref": "app@`+layer+`", "drop": true}`)
		require.Contains(t, a.refused(t, 409, "DELETE", "/v1/tamper?check", ""), "no request met the change")
		require.Empty(t, a.do(t, 200, "GET", "/v1/tamper", "")["tampered"])
		a.refused(t, 404, "DELETE", "/v1/tamper/t9", "")
		require.Contains(t, a.refused(t, 404, "POST", "/v1/tamper", `{"ref": "app:v1", "flip": 100000}`), "so no byte 100000")
		a.refused(t, 404, "POST", "/v1/tamper", `{"ref": "app:v9", "drop": true}`)
		a.refused(t, 404, "POST", "/v1/tamper", `{"repo": "no", "digest": "`+layer+`", "drop": true}`)
		for _, body := range []string{"", `{"ref": "app:v1"}`, `{"ref": "app:v1", "drop": true, "flip": 1}`, `{"repo": "app", "digest": "x", "drop": true}`, `{"ref": "app:v1", "flip": -1}`} {
			a.refused(t, 400, "POST", "/v1/tamper", body)
		}
	})
}

// pack returns a tar archive of regular files and links. The Linkname of a
// regular file is its content.
func pack(t testing.TB, headers ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Linkname
		if h.Typeflag == tar.TypeReg {
			h.Linkname, h.Size = "", int64(len(content))
		}
		h.Mode = 0o644
		require.NoError(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, content)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return b.String()
}

// The registry imports an archive that tar makes of a layout directory, as
// docs/control.md shows. A reset of a registry in memory removes the content, and a
// snapshot restores it.
func TestContentOfDirectory(t *testing.T) {
	t.Parallel()
	a := newAPI(t, control.Config{})
	a.do(t, 201, "POST", "/v1/content", seed)
	var headers []tar.Header
	for r := tar.NewReader(strings.NewReader(a.text(t, 200, "GET", "/v1/content", ""))); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		headers = append(headers, tar.Header{Name: "./" + h.Name, Typeflag: h.Typeflag, Linkname: string(text)})
	}
	b := newAPI(t, control.Config{})
	b.do(t, 201, "POST", "/v1/content", pack(t, append([]tar.Header{{Name: "./", Typeflag: tar.TypeDir}}, headers...)...))
	require.Equal(t, []string{"team-7/app"}, repositories(t, b.reg.Store))
	b.do(t, 201, "POST", "/v1/snapshots", `{"name": "seeded"}`)
	b.do(t, 204, "POST", "/v1/reset", `{"keep": ["snapshots"]}`)
	require.Empty(t, repositories(t, b.reg.Store))
	b.do(t, 200, "POST", "/v1/snapshots/seeded/restore", "")
	require.Equal(t, []string{"team-7/app"}, repositories(t, b.reg.Store))
}

// An import refuses links, special files and file names outside of the archive, and
// small archives that unpack to more than the limit.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	secret := t.TempDir() + "/secret"
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	d := digest.FromString("secret")
	index := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + string(d) + `","size":6,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`
	a := newAPI(t, control.Config{MaxImport: 1 << 20})
	for name, to := range map[string]struct {
		kind byte
		link string
	}{
		"symlink":        {tar.TypeSymlink, secret},
		"hard link":      {tar.TypeLink, secret},
		"relative":       {tar.TypeSymlink, "../../../../../../../.." + secret},
		"fifo":           {tar.TypeFifo, ""},
		"../ in a name":  {tar.TypeReg, "secret"},
		"absolute names": {tar.TypeReg, "secret"},
	} {
		blob := "blobs/sha256/" + d.Encoded()
		if strings.HasPrefix(name, "..") {
			blob = "../" + blob
		} else if name == "absolute names" {
			blob = t.TempDir() + "/" + blob
		}
		archive := pack(t,
			tar.Header{Name: "oci-layout", Typeflag: tar.TypeReg, Linkname: `{"imageLayoutVersion":"1.0.0"}`},
			tar.Header{Name: "index.json", Typeflag: tar.TypeReg, Linkname: index},
			tar.Header{Name: blob, Typeflag: to.kind, Linkname: to.link})
		problem := a.refused(t, 400, "POST", "/v1/content", archive)
		require.NotContains(t, problem, os.TempDir()+"/import-", "the error does not name the temporary file: "+name)
		require.Empty(t, repositories(t, a.reg.Store), name)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := io.CopyN(z, zeros{}, 2<<20)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Less(t, bomb.Len(), 10<<10)
	for _, method := range []string{"POST", "PUT"} {
		require.Contains(t, a.refused(t, 413, method, "/v1/content", bomb.String()), "more than 1048576 bytes")
	}
	require.Contains(t, a.refused(t, 413, "POST", "/v1/faults", strings.Repeat(" ", 1<<20)+"x"), "more than 1048576 bytes")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
