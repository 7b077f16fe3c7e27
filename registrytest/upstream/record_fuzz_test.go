package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// checkText checks that parseDocument refuses the text, or returns a document
// that stays the same when it is encoded and parsed again, and that an offline
// Store serves.
func checkText(t *testing.T, text []byte) {
	d, err := parseDocument(text)
	if err != nil {
		return
	}
	first, err := json.Marshal(d)
	require.NoError(t, err)
	again, err := parseDocument(first)
	require.NoError(t, err, "%s", first)
	second, err := json.Marshal(again)
	require.NoError(t, err)
	require.Equal(t, string(first), string(second))

	store, err := Open(memstore.New(), Offline(), storeOption(func(s *Store) error {
		s.recording = newRecording("")
		s.recording.doc = *d
		return nil
	}))
	require.NoError(t, err, "%s", first)
	h := registry.New(store, store.Options()...)
	for name, r := range d.Repositories {
		if store.find(name).local == name { // Docker Hub has no repositories without a slash.
			checkReplay(t, h, "/v2/"+name+"/", r)
		}
	}
	require.Empty(t, store.Missed(), "%s", first)
}

// checkReplay checks that the registry's responses about a repository match the
// recorded facts.
func checkReplay(t *testing.T, h http.Handler, base string, r *repository) {
	ask := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, base+target, nil))
		return w
	}
	// The handler does not ask its store for digests that it cannot compute.
	computes := func(ref string) bool {
		algorithm, _, ok := strings.Cut(ref, ":")
		return !ok || digest.Algorithm(algorithm).Available()
	}
	wantMissing := func(code registry.Code, target string) {
		if !computes(path.Base(target)) {
			return
		}
		w := ask(http.MethodGet, target)
		require.Equal(t, 404, w.Code, target)
		require.Contains(t, w.Body.String(), `"code":"`+string(code)+`"`, target)
	}
	for ref, code := range r.MissingManifests {
		wantMissing(code, "manifests/"+ref)
	}
	for ref, code := range r.MissingBlobs {
		wantMissing(code, "blobs/"+ref)
	}
	for ref, size := range r.BlobSizes {
		if !computes(ref) {
			continue
		}
		w := ask(http.MethodHead, "blobs/"+ref)
		require.Equal(t, 200, w.Code, ref)
		require.Equal(t, fmt.Sprint(size), w.Header().Get("Content-Length"))
	}
	if r.Tags != nil && r.Tags.Missing != "" {
		wantMissing(r.Tags.Missing, "tags/list")
	} else if r.Tags != nil {
		var list struct{ Tags []string }
		require.NoError(t, json.Unmarshal(ask(http.MethodGet, "tags/list").Body.Bytes(), &list))
		require.True(t, slices.Equal(r.Tags.Names, list.Tags), "%q %q", r.Tags.Names, list.Tags)
	}
	for subject, list := range r.Referrers {
		var index ocispec.Index
		w := ask(http.MethodGet, "referrers/"+subject)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &index), "%s", w.Body)
		require.Len(t, index.Manifests, len(list.Manifests))
		for i, d := range list.Manifests {
			require.Equal(t, d.Digest, index.Manifests[i].Digest)
		}
	}
}

// FuzzRecording runs checkText on arbitrary text: a recording is refused, or survives a
// round trip and can be served.
func FuzzRecording(f *testing.F) {
	f.Add([]byte(`{"version":1,"upstreams":["docker.io"],"repositories":{"app":{"from":"docker.io/app","missingManifests":{"v1":"MANIFEST_UNKNOWN"},
		"missingBlobs":{"` + someDigest + `":"BLOB_UNKNOWN"},"blobSizes":{"` + someDigest + `":1},"tags":{"names":["a","b"]},
		"referrers":{"` + someDigest + `":{"source":"api","manifests":[{"mediaType":"a/b","digest":"` + someDigest + `","size":1}]}}}}}`))
	f.Add([]byte(`{"version":1,"upstreams":null,"repositories":{"app":{"from":"x/app","tags":{"missing":"NAME_UNKNOWN"}}}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(checkText)
}

// FuzzRecordedFields runs checkText on recordings with arbitrary values, since few
// inputs of FuzzRecording are valid JSON.
func FuzzRecordedFields(f *testing.F) {
	const other = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
	f.Add("docker.io ghcr.io", "library/app", "docker.io/library/app", "v1", "MANIFEST_UNKNOWN", someDigest, int64(1), "a b", "api", "application/x", byte(0xff))
	f.Add("up.test:5000", "app", "up.test/app", other, "X", other, int64(0), "", "tag", "", byte(0x7f))
	f.Add("up.test", "app", "up.test/app", other, "X", someDigest, int64(0), "", "tag", "", byte(0xc0))
	f.Add("", "ghcr.io/team/app", "x", someDigest, "NAME_UNKNOWN", someDigest, int64(-1), "b a", "", "a/b;c=d", byte(0))
	f.Fuzz(func(t *testing.T, upstreams, repo, from, ref, code, digest string, size int64, tags, source, mediaType string, fields byte) {
		r := map[string]any{"from": from}
		manifests := []any{map[string]any{"mediaType": mediaType, "digest": digest, "size": size, "artifactType": mediaType,
			"annotations": map[string]string{tags: from}, "data": []byte(tags), "urls": []string{from}, "platform": map[string]string{"os": source, "architecture": code}}}
		if fields>>7 == 1 {
			manifests = append(manifests, map[string]any{"digest": ref})
		}
		for i, field := range []struct {
			name  string
			value any
		}{
			{"missingManifests", map[string]string{ref: code, digest: code}},
			{"missingBlobs", map[string]string{ref: code}},
			{"blobSizes", map[string]int64{digest: size}},
			{"tags", map[string]any{"names": strings.Fields(tags)}},
			{"tags", map[string]any{"missing": code}},
			{"referrers", map[string]any{digest: map[string]any{"source": source}}},
			{"referrers", map[string]any{digest: map[string]any{"source": source, "manifests": manifests}}},
		} {
			if fields>>i&1 == 1 {
				r[field.name] = field.value
			}
		}
		text, err := json.Marshal(map[string]any{"version": 1, "upstreams": strings.Fields(upstreams), "repositories": map[string]any{repo: r}})
		require.NoError(t, err)
		checkText(t, text)
	})
}
