package layout_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/layout"
)

func entryText(image int, refName string) string {
	m := smallImage(image)
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":%q}}`, m.MediaType, m.Digest, len(m.Content), refName)
}

func indexText(entries ...string) string {
	return `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
}

// TestChangesAreNoticed replaces index.json just after a store read it. The
// next request sees the new content.
func TestChangesAreNoticed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(dir, text string) error{
		"in place": func(dir, text string) error {
			return os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o644)
		},
		"by rename": func(dir, text string) error {
			temp := filepath.Join(dir, "temp")
			if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
				return err
			}
			return os.Rename(temp, filepath.Join(dir, "index.json"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeLayout(t, filepath.Join(dir, "app"), 0, "v1")
			for i := range 3 {
				m := smallImage(i)
				writeFile(t, dir, "app/blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
			}
			s := open(t, dir)
			for i := range 100 {
				// The new index.json has the same size as the old one.
				text := indexText(entryText(i%3, "v1"))
				require.NoError(t, change(filepath.Join(dir, "app"), text))
				wantManifestDigest(t, s, "app", "v1", i%3)
				if i%4 == 3 {
					put(t, s, "app", (i+1)%3, "v1")
				}
			}
		})
	}
}

// TestChangesAtTheSameTimeAreNoticed changes files without changing their size
// or modification time, as happens where modification times have a low
// resolution. The next request sees the new content.
func TestChangesAtTheSameTimeAreNoticed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeLayout(t, filepath.Join(dir, "app"), 0, "v1")
	m := smallImage(1)
	writeFile(t, dir, "app/blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
	s := open(t, dir)
	d := digest.FromString("content")
	recent := time.Now().Add(time.Hour) // An hour ahead, the time counts as recent during the whole test.
	for i := range 4 {
		writeFile(t, dir, "app/index.json", indexText(entryText(i%2, "v1")))
		require.NoError(t, os.Chtimes(filepath.Join(dir, "app/index.json"), recent, recent))
		wantManifestDigest(t, s, "app", "v1", i%2)
		content := []string{"content", "CONTENT"}[i%2]
		writeFile(t, dir, "app/blobs/sha256/"+d.Encoded(), content)
		require.NoError(t, os.Chtimes(blobFile(filepath.Join(dir, "app"), d), recent, recent))
		r, err := s.OpenBlob(t.Context(), "app", d)
		if content == "content" {
			require.NoError(t, err)
			require.NoError(t, r.Close())
		} else {
			require.ErrorContains(t, err, "damaged")
		}
	}
}

// TestIndexIsBeingWritten reads an index.json that another tool is still
// writing: the file has only the first half. The store reads the file again
// until it is valid. The test runs in a synctest bubble, where waiting takes no
// time.
func TestIndexIsBeingWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		writeLayout(t, dir, 0, "v1")
		s := open(t, dir, layout.Repository("app"))
		text := indexText(entryText(0, "v2"))
		writeFile(t, dir, "index.json", text[:len(text)/2])
		go func() {
			time.Sleep(12 * time.Millisecond)
			writeFile(t, dir, "index.json", text)
		}()
		wantManifestDigest(t, s, "app", "v2", 0)
	})
}

func TestLayoutsComeAndGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for range 3 {
		wantNotExist(t, func() error { _, err := s.GetManifest(t.Context(), "team/app", "v1"); return err }())
		require.Empty(t, tagsOf(t, s))
		writeLayout(t, filepath.Join(dir, "team/app"), 0, "v1")
		require.Equal(t, []string{"team/app:v1"}, tagsOf(t, s))
		wantManifestDigest(t, s, "team/app", "v1", 0)
		d := pushBlob(t, s, "team/app", "blob")
		require.Equal(t, "blob", string(readBlob(t, s, "team/app", d)))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "team")))
		_, err := s.StatBlob(t.Context(), "team/app", d)
		wantNotExist(t, err)

		// After another program removed the directory, the next push creates the
		// layout again.
		d = pushBlob(t, s, "team/app", "other")
		require.Equal(t, []string{"team/app"}, tagsOf(t, s))
		put(t, s, "team/app", 1, "v2")
		require.Equal(t, []string{"team/app:v2"}, tagsOf(t, open(t, dir)))
		require.Equal(t, "other", string(readBlob(t, open(t, dir), "team/app", d)))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "team")))
	}
}

func TestDirectoryIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeLayout(t, filepath.Join(dir, "app"), 0, "v1")
	writeLayout(t, filepath.Join(dir, "next"), 1, "v1")
	s := open(t, dir)
	wantManifestDigest(t, s, "app", "v1", 0)
	require.NoError(t, os.Rename(filepath.Join(dir, "app"), filepath.Join(dir, "old")))
	require.NoError(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "app")))
	wantManifestDigest(t, s, "app", "v1", 1)
	wantManifestDigest(t, s, "old", "v1", 0)
	_, err := s.GetManifest(t.Context(), "app", string(smallImage(0).Digest))
	wantNotExist(t, err)
}

// TestIndexBreaksLater makes index.json invalid after the store read it.
// Requests fail with an error that names the file, and the store does not
// overwrite it.
func TestIndexBreaksLater(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"truncated": indexText(entryText(0, "v1"))[:100], "empty": "", "no layout of this version": "version"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := emptyLayout(t)
			s := open(t, dir)
			put(t, s, "app", 0, "v1")
			d := pushBlob(t, s, "app", "blob")
			want := "index.json"
			if text == "version" {
				want = "oci-layout"
				writeFile(t, dir, "oci-layout", `{"imageLayoutVersion":"2.0.0"}`)
				writeFile(t, dir, "index.json", indexText())
			} else {
				writeFile(t, dir, "index.json", text)
			}
			before := files(t, dir)
			ctx := t.Context()
			_, err := s.GetManifest(ctx, "app", "v1")
			_, statErr := s.StatManifest(ctx, "app", string(smallImage(0).Digest))
			for _, err := range []error{
				err, statErr, s.PutManifest(ctx, "app", smallImage(1), []string{"v2"}, nil), s.DeleteTag(ctx, "app", "v1"),
				s.DeleteManifest(ctx, "app", smallImage(0).Digest), s.DeleteBlob(ctx, "app", d),
				errorOf(s.Tags(ctx, "app", "")), errorOf(s.Repositories(ctx, "")), errorOf(s.Referrers(ctx, "app", d, "")),
			} {
				require.ErrorContains(t, err, want)
				require.NotErrorIs(t, err, fs.ErrNotExist)
			}
			require.Equal(t, before, files(t, dir))

			writeFile(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
			writeFile(t, dir, "index.json", indexText(entryText(0, "v3")))
			require.Equal(t, []string{"app:v3"}, tagsOf(t, s))
			put(t, s, "app", 1, "v2")
			require.Equal(t, []string{"0 v3", "1 v2"}, indexOf(t, dir))
		})
	}
}

func errorOf[T any](list func(func(T, error) bool)) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestBrokenLayouts checks that opening a broken layout fails with an error that
// names the broken file.
func TestBrokenLayouts(t *testing.T) {
	t.Parallel()
	const marker, index = `{"imageLayoutVersion":"1.0.0"}`, `{"schemaVersion":2,"manifests":[]}`
	for _, test := range []struct{ name, marker, index, want string }{
		{"truncated index.json", marker, index[:20], "index.json: invalid JSON: unexpected end of JSON input"},
		{"empty index.json", marker, "", "index.json: invalid JSON"},
		{"index.json of something else", marker, `["a"]`, "index.json: not a JSON object"},
		{"manifests are something else", marker, `{"manifests":7}`, "index.json: manifests is not an array"},
		{"digest leads outside", marker, `{"manifests":[{"digest":"../../../etc/passwd"}]}`, `index.json: entry 0 of manifests: digest "../../../etc/passwd"`},
		{"entry without a digest", marker, `{"manifests":[{"size":1}]}`, `index.json: entry 0 of manifests: digest ""`},
		{"oci-layout of another version", `{"imageLayoutVersion":"2.0.0"}`, index, `oci-layout: imageLayoutVersion is "2.0.0", not 1.0.0`},
		{"oci-layout without a version", `{}`, index, `oci-layout: imageLayoutVersion is "", not 1.0.0`},
		{"truncated oci-layout", marker[:9], index, "oci-layout: unexpected end of JSON input"},
		{"empty oci-layout", "", index, "oci-layout: unexpected end of JSON input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "app")
			writeFile(t, dir, "oci-layout", test.marker)
			writeFile(t, dir, "index.json", test.index)
			_, err := layout.Open(dir)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, dir)

			// In a tree, the store still serves the other layouts.
			writeLayout(t, filepath.Join(filepath.Dir(dir), "other"), 0, "v1")
			s := open(t, filepath.Dir(dir))
			require.Equal(t, []string{"app", "other"}, collect(t, s.Repositories(t.Context(), "")))
			_, err = s.GetManifest(t.Context(), "app", "v1")
			require.ErrorContains(t, err, "app/"+test.want)
			require.ErrorContains(t, s.PutManifest(t.Context(), "app", smallImage(0), nil, nil), "app/"+test.want)
			wantManifestDigest(t, s, "other", "v1", 0)
		})
	}

	t.Run("index.json is a directory", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		writeFile(t, dir, "oci-layout", marker)
		require.NoError(t, os.Mkdir(filepath.Join(dir, "index.json"), 0o755))
		_, err := layout.Open(dir)
		require.ErrorContains(t, err, "index.json is not a regular file")
	})
	for _, name := range []string{"index.json", "oci-layout"} {
		t.Run(name+" is too large", func(t *testing.T) {
			t.Parallel()
			dir := emptyLayout(t)
			if err := os.Truncate(filepath.Join(dir, name), 1<<42); err != nil {
				t.Skip(err) // Some file systems have no sparse files.
			}
			_, err := layout.Open(dir)
			require.ErrorContains(t, err, name+" has 4398046511104 bytes, more than 1073741824")
		})
		t.Run(name+" is a link to outside", func(t *testing.T) {
			t.Parallel()
			dir := emptyLayout(t)
			writeFile(t, filepath.Dir(dir), name, index)
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
			if err := os.Symlink("../"+name, filepath.Join(dir, name)); err != nil {
				t.Skip(err)
			}
			_, err := layout.Open(dir)
			require.ErrorContains(t, err, name+": path escapes from parent")
		})
	}
}

// TestHalfALayout opens directories that have oci-layout without index.json, which
// are empty layouts, or index.json without oci-layout, which a push makes layouts.
func TestHalfALayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir, "marked/oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	writeFile(t, dir, "named/index.json", indexText(entryText(0, "v1")))
	m := smallImage(0)
	writeFile(t, dir, "named/blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
	writeFile(t, dir, "broken/index.json", "{")
	s := open(t, dir)
	require.Equal(t, []string{"marked"}, tagsOf(t, s), "a directory without index.json is an empty layout, and one without oci-layout is not a layout")
	_, err := s.GetManifest(t.Context(), "named", "v1")
	wantNotExist(t, err)

	put(t, s, "marked", 1, "v1")
	put(t, s, "named", 1, "v2")
	require.ErrorContains(t, s.PutManifest(t.Context(), "broken", m, nil, nil), "broken/index.json: invalid JSON")
	require.Equal(t, []string{"marked:v1", "named:v1", "named:v2"}, tagsOf(t, s), "a push keeps the names that index.json had before")
	wantManifestDigest(t, s, "named", "v1", 0)

	one := open(t, filepath.Join(dir, "marked"))
	require.NoError(t, os.Remove(filepath.Join(dir, "marked/index.json")))
	require.Equal(t, []string{"marked"}, tagsOf(t, one), "the directory with its blobs is still a repository")
	put(t, one, "marked", 2, "v3")
	require.Equal(t, []string{"marked:v3"}, tagsOf(t, one))
}

// TestBrokenManifests damages the file of a manifest. A request for the manifest
// fails with an error that names the file.
func TestBrokenManifests(t *testing.T) {
	t.Parallel()
	m := smallImage(0)
	file := "blobs/sha256/" + m.Digest.Encoded()
	for _, test := range []struct {
		name, content, want string
		notExist            bool
	}{
		{"missing", "", file + " is missing, although an index names it", true},
		{"other content", strings.ToUpper(string(m.Content)), file + " is damaged: its content has the digest", false},
		{"truncated", string(m.Content[:9]), file + " has 9 bytes, not ", false},
		{"too long", string(m.Content) + "\n", file + " has ", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := emptyLayout(t)
			writeFile(t, dir, "index.json", indexText(entryText(0, "v1"), entryText(1, "v2")))
			if !test.notExist {
				writeFile(t, dir, file, test.content)
			}
			other := smallImage(1)
			writeFile(t, dir, "blobs/sha256/"+other.Digest.Encoded(), string(other.Content))
			s := open(t, dir)
			require.Equal(t, []string{"app:v1", "app:v2"}, tagsOf(t, s))
			for _, ref := range []string{"v1", string(m.Digest)} {
				_, err := s.GetManifest(t.Context(), "app", ref)
				_, statErr := s.StatManifest(t.Context(), "app", ref)
				for _, err := range []error{err, statErr} {
					require.ErrorContains(t, err, test.want)
					require.Equal(t, test.notExist, isNotExist(err))
				}
			}
			wantManifestDigest(t, s, "app", "v2", 1)
			wantReferrers(t, s, "app", m.Digest)

			// If the file system has sparse files, give the file of the manifest a
			// size of 4 TiB.
			if test.name == "too long" && os.Truncate(filepath.Join(dir, filepath.FromSlash(file)), 1<<42) == nil {
				_, err := s.GetManifest(t.Context(), "app", "v1")
				require.ErrorContains(t, err, file+" has 4398046511104 bytes")
			}

			// Pushing the manifest again, or deleting it, repairs the layout.
			put(t, s, "app", 0)
			wantManifestDigest(t, s, "app", "v1", 0)
			writeFile(t, dir, file, test.content)
			require.NoError(t, s.DeleteManifest(t.Context(), "app", m.Digest))
			require.Equal(t, []string{"1 v2"}, indexOf(t, dir))
		})
	}
}

func isNotExist(err error) bool {
	return err != nil && strings.Contains(err.Error(), fs.ErrNotExist.Error())
}
