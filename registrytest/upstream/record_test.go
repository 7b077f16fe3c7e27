package upstream

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// A file that no Store could have written is an error.
func TestDamagedRecordings(t *testing.T) {
	t.Parallel()
	repo := func(fields string) string {
		return `{"version":1,"upstreams":[],"repositories":{"app":{"from":"x/app",` + fields + `}}}`
	}
	for text, want := range map[string]string{
		``:                                      "EOF",
		`{"version":1}x`:                        "after the end",
		`{"version":2}`:                         "version is 2",
		`{"version":1,"more":1}`:                "unknown field",
		`{"version":1,"upstreams":["a","a"]}`:   "not the name of an upstream",
		`{"version":1,"upstreams":["A"]}`:       "not the name of an upstream",
		`{"version":1,"upstreams":["a","b:1"]}`: "not the name of an upstream",
		`{"version":1,"repositories":{"../x":{"from":"y"}}}`:                                     "not a repository",
		`{"version":1,"repositories":{"x":null}}`:                                                "not a repository",
		`{"version":1,"repositories":{"x":{}}}`:                                                  "the field from is missing",
		repo(`"missingManifests":{"..":"X"}`):                                                    "missingManifests",
		repo(`"missingManifests":{"v1":"a\nb"}`):                                                 "missingManifests",
		repo(`"missingBlobs":{"v1":"X"}`):                                                        "missingBlobs",
		repo(`"blobSizes":{"` + someDigest + `":-1}`):                                            "blobSizes",
		repo(`"tags":{"names":["b","a"]}`):                                                       "tags is not",
		repo(`"tags":{"names":["a","a"]}`):                                                       "tags is not",
		repo(`"tags":{"names":["/"]}`):                                                           "tags is not",
		repo(`"tags":{"names":["a"],"missing":"X"}`):                                             "tags is not",
		repo(`"referrers":{"v1":{"source":"api"}}`):                                              "referrers",
		repo(`"referrers":{"` + someDigest + `":{"source":"x"}}`):                                "referrers",
		repo(`"referrers":{"` + someDigest + `":{"source":"api","manifests":[{"digest":"x"}]}}`): "referrers",
	} {
		_, err := parseDocument([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	file := filepath.Join(t.TempDir(), "x.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err := openRecording(file)
	require.ErrorContains(t, err, "reading the recording "+file)
	_, err = openRecording(os.DevNull)
	require.EqualError(t, err, "reading a recording: "+os.DevNull+" is not a regular file")
}

// After concurrent changes, the file of a recording has all of them, and no
// temporary file is left.
func TestRecordingIsWrittenAsAWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, RecordingFile)
	r, err := openRecording(file)
	require.NoError(t, err)
	var all sync.WaitGroup
	for _, name := range strings.Split("abcdefghijklmnopqrst", "") {
		all.Go(func() {
			p := place{local: "app", from: "x/app"}
			if err := r.addMissing(p, manifestKind, name, registry.CodeManifestUnknown); err != nil {
				t.Error(err)
			}
			if again, err := openRecording(file); err != nil {
				t.Error(err)
			} else if _, known := again.missing("app", manifestKind, name); !known {
				t.Error("the file lacks " + name)
			}
		})
	}
	all.Wait()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	// A write error is returned.
	require.NoError(t, os.RemoveAll(dir))
	require.ErrorContains(t, r.setUpstreams([]string{"a"}), "writing the recording")
}

// A Store does not overwrite a recording that another process changed.
func TestRecordingOfTwoProcesses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), RecordingFile)
	app := place{local: "app", from: "x/app"}
	open := func() *recording {
		r, err := openRecording(file)
		require.NoError(t, err)
		return r
	}
	first, second := open(), open()
	for range 2 {
		require.NoError(t, first.addMissing(app, manifestKind, "v1", "MANIFEST_UNKNOWN"))
		third := open()
		for range 2 {
			require.ErrorContains(t, second.addMissing(app, manifestKind, "v2", "MANIFEST_UNKNOWN"), "another process changed it")
		}
		second = third
	}
	require.NoError(t, os.WriteFile(file, []byte(`{"version":1}`), 0o600))
	require.ErrorContains(t, first.addMissing(app, manifestKind, "v3", "MANIFEST_UNKNOWN"), "another process changed it")
	require.Empty(t, open().doc.Repositories)

	require.NoError(t, os.Remove(file))
	require.NoError(t, first.addMissing(app, manifestKind, "v4", "MANIFEST_UNKNOWN"))
	_, known := open().missing("app", manifestKind, "v3")
	require.True(t, known)
}
