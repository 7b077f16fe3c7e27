package layout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// indexOf returns a line for each entry of index.json: the number of its image
// and its names.
func indexOf(t testing.TB, dir string) (lines []string) {
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index ocispec.Index
	require.NoError(t, json.Unmarshal(text, &index))
	require.Equal(t, 2, index.SchemaVersion)
	for _, d := range index.Manifests {
		line := short(string(d.Digest))
		if name, ok := d.Annotations["io.containerd.image.name"]; ok {
			line += " " + name
		}
		if name, ok := d.Annotations[ocispec.AnnotationRefName]; ok {
			line += " " + short(name)
		}
		lines = append(lines, line)
	}
	return lines
}

// short replaces the digest of each small image with the number of the image.
func short(s string) string {
	for i := range 5 {
		s = strings.ReplaceAll(s, string(smallImage(i).Digest), fmt.Sprint(i))
	}
	return s
}

func put(t testing.TB, s registry.Store, repo string, image int, tags ...string) {
	require.NoError(t, s.PutManifest(t.Context(), repo, smallImage(image), tags, nil))
}

// TestIndexSays checks the entries of index.json after pushes and deletions.
func TestIndexSays(t *testing.T) {
	t.Parallel()
	const annotated = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":%d,"annotations":{%s},"platform":{"os":"linux"}}`
	entry := func(image int, annotations string) string {
		m := smallImage(image)
		return fmt.Sprintf(annotated, m.Digest, len(m.Content), annotations)
	}
	tag := func(name string) string { return fmt.Sprintf(`"org.opencontainers.image.ref.name":%q`, name) }
	docker := tag("3") + `,"io.containerd.image.name":"docker.io/library/alpine:3"`
	for _, test := range []struct {
		rule    string
		entries []string // the entries of an index.json that another tool wrote
		do      func(t *testing.T, s *layout.Store)
		want    []string
	}{
		{"manifest without a tag has an entry", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0)
			put(t, s, "app", 0)
		}, []string{"0"}},
		{"each tag has an entry", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0, "v1", "v2")
			put(t, s, "app", 0, "v2", "v3")
		}, []string{"0 v1", "0 v2", "0 v3"}},
		{"tag replaces the entry without one", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0)
			put(t, s, "app", 1)
			put(t, s, "app", 0, "v1")
		}, []string{"0 v1", "1"}},
		{"manifest stays when its last tag moves", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0, "v1", "v2")
			put(t, s, "app", 1, "v1")
			put(t, s, "app", 1, "v2")
		}, []string{"0", "1 v1", "1 v2"}},
		{"manifest stays when its last tag is deleted", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0, "v1", "v2")
			require.NoError(t, s.DeleteTag(t.Context(), "app", "v2"))
			require.NoError(t, s.DeleteTag(t.Context(), "app", "v1"))
		}, []string{"0"}},
		{"deleted manifest has no entry", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0, "v1", "v2")
			put(t, s, "app", 1)
			require.NoError(t, s.DeleteManifest(t.Context(), "app", smallImage(0).Digest))
		}, []string{"1"}},
		{"other repositories have full names", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "team/app", 0, "v1")
			put(t, s, "other", 1)
			put(t, s, "app", 2, "v1")
			put(t, s, "app", 3)
			put(t, s, "team/app", 4, "v1")
			put(t, s, "my.team/app", 0, "v1")
			put(t, s, "localhost/app", 0)
		}, []string{"0 team/app@0", "1 localhost/other@1", "2 v1", "3", "4 team/app:v1", "0 localhost/my.team/app:v1", "0 localhost/localhost/app@0"}},
		{"one manifest is in several repositories", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "team/app", 0, "v1")
			put(t, s, "app", 0)
			put(t, s, "other", 0, "v1")
			put(t, s, "other", 1)
			require.NoError(t, s.DeleteManifest(t.Context(), "other", smallImage(0).Digest))
			wantManifest(t, s, "team/app", "v1", imageType, smallImage(0).Digest)
			require.NoError(t, s.DeleteTag(t.Context(), "team/app", "v1"))
		}, []string{"0 team/app@0", "0", "1 localhost/other@1"}},
		{"host is kept", []string{entry(0, tag("docker.io/library/alpine:3"))}, func(t *testing.T, s *layout.Store) {
			require.Equal(t, []string{"library/alpine:3"}, tagsOf(t, s))
			put(t, s, "library/alpine", 1, "4")
			put(t, s, "library/alpine", 2)
			put(t, s, "library/alpine", 1, "3")
			put(t, s, "library/other", 1, "3")
		}, []string{"0 docker.io/library/alpine@0", "1 docker.io/library/alpine:4", "2 docker.io/library/alpine@2", "1 docker.io/library/alpine:3", "1 library/other:3"}},
		{"entries of other tools stay unchanged", []string{entry(0, docker), entry(1, tag("v1")), entry(2, `"a":"b"`)}, func(t *testing.T, s *layout.Store) {
			put(t, s, "library/alpine", 0, "3")
			put(t, s, "library/alpine", 0)
			put(t, s, "app", 1, "v1")
			put(t, s, "app", 2)
			put(t, s, "app", 3, "v2")
		}, []string{"0 docker.io/library/alpine:3 3", "1 v1", "2", "3 v2"}},
		{"entry that Docker wrote loses both names", []string{entry(0, docker)}, func(t *testing.T, s *layout.Store) {
			require.NoError(t, s.DeleteTag(t.Context(), "library/alpine", "3"))
		}, []string{"0 docker.io/library/alpine@0"}},
		{"a tag that moves leaves both of its entries", []string{entry(0, tag("v1")), entry(1, tag("v1")), entry(2, tag("app:v1"))}, func(t *testing.T, s *layout.Store) {
			wantManifestDigest(t, s, "app", "v1", 0)
			put(t, s, "app", 3, "v1")
		}, []string{"0", "1", "2", "3 v1"}},
		{"a tag of two entries is deleted from both", []string{entry(0, tag("v1")), entry(0, tag("v1")), entry(1, tag("v1"))}, func(t *testing.T, s *layout.Store) {
			require.NoError(t, s.DeleteTag(t.Context(), "app", "v1"))
		}, []string{"0", "1"}},
		{"deleting a manifest gives its tag to no other entry", []string{entry(2, tag("v1")), entry(0, tag("v1")), entry(1, tag("v1")), entry(3, tag("v2")), entry(2, tag("v2"))}, func(t *testing.T, s *layout.Store) {
			require.NoError(t, s.DeleteManifest(t.Context(), "app", smallImage(2).Digest))
		}, []string{"0", "1", "3 v2"}},
		{"a new media type replaces the old one in all entries of the repository", nil, func(t *testing.T, s *layout.Store) {
			put(t, s, "app", 0, "v1", "v2")
			put(t, s, "other", 0, "v1")
			m := smallImage(0)
			m.MediaType = "application/vnd.example"
			require.NoError(t, s.PutManifest(t.Context(), "app", m, []string{"v2"}, nil))
			wantManifest(t, s, "app", "v1", "application/vnd.example", m.Digest)
			wantManifest(t, s, "other", "v1", imageType, m.Digest)
		}, []string{"0 v1", "0 v2", "0 other:v1"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			t.Parallel()
			dir := emptyLayout(t)
			for i := range 5 {
				m := smallImage(i)
				writeFile(t, dir, "blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
			}
			writeFile(t, dir, "index.json", `{"schemaVersion":2,"manifests":[`+strings.Join(test.entries, ",")+`]}`)
			s := open(t, dir)
			test.do(t, s)
			require.ElementsMatch(t, test.want, indexOf(t, dir))
			// A store that is opened now reads the same tags.
			require.Equal(t, tagsOf(t, s), tagsOf(t, open(t, dir)))
		})
	}
}

// If a tool without locks, such as skopeo, writes index.json during a push, the
// store applies the push to the new file.
func TestOtherToolWritesAtTheSameTime(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	put(t, s, "app", 0, "v0")
	tool := smallImage(1)
	writeFile(t, dir, "blobs/sha256/"+tool.Digest.Encoded(), string(tool.Content))
	checks := 0
	require.NoError(t, s.PutManifest(t.Context(), "app", smallImage(2), []string{"v2"}, func(string, digest.Digest) error {
		if checks++; checks == 1 {
			writeFile(t, dir, "index.json", indexText(entryText(0, "v0"), entryText(1, "v1")))
		}
		return nil
	}))
	require.Equal(t, 2, checks)
	for _, s := range []*layout.Store{s, open(t, dir)} {
		require.Equal(t, []string{"app:v0", "app:v1", "app:v2"}, tagsOf(t, s))
	}
	require.ElementsMatch(t, []string{"0 v0", "1 v1", "2 v2"}, indexOf(t, dir))
	require.Empty(t, temporary(t, dir))

	// If the tool keeps writing, the push fails.
	written := 0
	err := s.PutManifest(t.Context(), "app", smallImage(3), []string{"v3"}, func(string, digest.Digest) error {
		written++
		writeFile(t, dir, "index.json", indexText(entryText(0, fmt.Sprint("v", written))))
		return nil
	})
	require.ErrorContains(t, err, "another program keeps replacing index.json")
}

func wantManifestDigest(t testing.TB, s registry.Store, repo, ref string, image int) {
	d, err := s.StatManifest(t.Context(), repo, ref)
	require.NoError(t, err)
	require.Equal(t, smallImage(image).Digest, d.Digest)
}

func TestUnknownFieldsAreKept(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	m := smallImage(0)
	writeFile(t, dir, "blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
	d := fmt.Sprintf(`"digest":%q,"size":%d`, m.Digest, len(m.Content))
	writeFile(t, dir, "index.json", `{
  "annotations": {"a": "b"},
  "manifests": [
    {"x": [1, 2], "mediaType": "application/vnd.oci.image.manifest.v1+json", `+d+`, "annotations": {"c": "d"}},
    {"digest": "blake3:`+strings.Repeat("0", 64)+`", "y": null}
  ],
  "schemaVersion": 2, "z": {"manifests": []}
}
`)
	s := open(t, dir)
	put(t, s, "app", 0, "v1")
	text, err := os.ReadFile(dir + "/index.json")
	require.NoError(t, err)
	require.Equal(t, `{
  "annotations": {"a": "b"},
  "manifests": [{"x":[1, 2],"mediaType":"application/vnd.oci.image.manifest.v1+json",`+d+`,"annotations":{"c":"d","org.opencontainers.image.ref.name":"v1"}},{"digest": "blake3:`+strings.Repeat("0", 64)+`", "y": null}],
  "schemaVersion": 2, "z": {"manifests": []}
}
`, string(text))
}

func TestTreeIsMadeOfLayouts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "team/app", 0, "v1")
	d := pushBlob(t, s, "blobs/only", "content")
	sha512 := digest.SHA512.FromString("content")
	w, err := s.CreateBlob(t.Context(), "blobs/only", -1)
	require.NoError(t, err)
	_, err = w.Write([]byte("content"))
	require.NoError(t, err)
	require.NoError(t, w.Commit(t.Context(), sha512))
	require.NoError(t, w.Close())
	m := smallImage(0)
	marker, empty := `{"imageLayoutVersion":"1.0.0"}`, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`
	const isDir = "d---------"
	require.Equal(t, map[string]string{
		".": isDir, ".ocireg": isDir,
		"team": isDir, "team/app": isDir, "team/app/blobs": isDir, "team/app/blobs/sha256": isDir,
		"team/app/oci-layout":                         marker,
		"team/app/index.json":                         empty + fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`, m.MediaType, m.Digest, len(m.Content)),
		"team/app/blobs/sha256/" + m.Digest.Encoded(): string(m.Content),
		"blobs_": isDir, "blobs_/only": isDir, "blobs_/only/blobs": isDir, "blobs_/only/blobs/sha256": isDir, "blobs_/only/blobs/sha512": isDir,
		"blobs_/only/oci-layout":                       marker,
		"blobs_/only/index.json":                       empty + `]}`,
		"blobs_/only/blobs/sha256/" + d.Encoded():      "content",
		"blobs_/only/blobs/sha512/" + sha512.Encoded(): "content",
	}, files(t, dir))
}

func TestRefusedWriteLeavesNoLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	err := s.PutManifest(t.Context(), "team/app", smallImage(0), []string{"v1"}, func(string, digest.Digest) error { return os.ErrPermission })
	require.Equal(t, os.ErrPermission, err)
	wantNotExist(t, s.DeleteManifest(t.Context(), "team/app", smallImage(0).Digest))
	wantNotExist(t, s.DeleteTag(t.Context(), "team/other", "v1"))
	wantNotExist(t, s.DeleteBlob(t.Context(), "team/other", layer))
	wantNotExist(t, s.MountBlob(t.Context(), "team/other", layer, ""))
	wantNotExist(t, s.MountBlob(t.Context(), "team/other", layer, "team/app"))
	for name, text := range files(t, dir) {
		require.Equal(t, "d---------", text, name)
	}
	require.Empty(t, tagsOf(t, s))
}

func TestManifestIsWrittenIfItIsNotThere(t *testing.T) {
	t.Parallel()
	dir := emptyLayout(t)
	s := open(t, dir)
	m := smallImage(0)
	put(t, s, "app", 0, "v1")
	file := blobFile(dir, m.Digest)
	before, err := os.Stat(file)
	require.NoError(t, err)

	put(t, s, "app", 0, "v2")
	after, err := os.Stat(file)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "the push must not replace an unchanged manifest")

	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("x", len(m.Content))), 0o644))
	put(t, s, "app", 0, "v3")
	wantManifest(t, s, "app", "v3", imageType, m.Digest)

	require.NoError(t, s.PutManifest(t.Context(), "app", m, []string{"v4"}, func(string, digest.Digest) error {
		return os.Remove(file) // removes the file after the store found it
	}))
	wantManifest(t, s, "app", "v4", imageType, m.Digest)

	require.NoError(t, s.PutManifest(t.Context(), "app", m, []string{"v5"}, func(string, digest.Digest) error {
		past := time.Now().Add(-time.Hour)
		return errors.Join(os.WriteFile(file, []byte(strings.Repeat("x", len(m.Content))), 0o644), os.Chtimes(file, past, past))
	}))
	wantManifest(t, s, "app", "v5", imageType, m.Digest)
	require.Empty(t, temporary(t, dir))
}
