package layout

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// named is a layout whose default repository has the name "default".
var named = &imageLayout{dir: ".", name: "default"}

func TestIndexKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		emptyIndex,
		`{"schemaVersion":2,"manifests":[{"digest":"` + digestA + `"}]}`,
		`{"x":[1,{"manifests":[3]}],"manifests":[{"digest":"` + digestA + `","annotations":{"a\"b":"c\\"},"y":{"z":[]}},{"digest":"` + digestB + `"}],"subject":null,"é":"\u00e9"}`,
	} {
		x, err := parseIndex(named, text)
		require.NoError(t, err)
		require.Equal(t, text, x.encoded())
	}
	for text, want := range map[string]string{
		" {\n \"manifests\" : [ {\"digest\":\"" + digestA + "\"} ,\n\t{ \"digest\" : \"" + digestB + "\" } ] , \"a\":1 }\n": " {\n \"manifests\" : [{\"digest\":\"" + digestA + "\"},{ \"digest\" : \"" + digestB + "\" }] , \"a\":1 }\n",
		`{}`:                        `{"manifests":[]}`,
		` { } `:                     ` { "manifests":[]} `,
		`{"schemaVersion":2}`:       `{"schemaVersion":2,"manifests":[]}`,
		`{"a":{} }`:                 `{"a":{} ,"manifests":[]}`,
		`{"manifests":null,"a":1}`:  `{"manifests":[],"a":1}`,
		`{"manifests":[ ],"a":[1]}`: `{"manifests":[],"a":[1]}`,
	} {
		x, err := parseIndex(named, text)
		require.NoError(t, err)
		require.Equal(t, want, x.encoded())
	}
}

func TestIndexEntries(t *testing.T) {
	t.Parallel()
	sha512 := "sha512:" + strings.Repeat("c", 128)
	x, err := parseIndex(named, `{"manifests":[
		{"mediaType":"a/b","digest":"`+digestA+`","size":7,"annotations":{"org.opencontainers.image.ref.name":"v1","x":"y"}},
		{"mediaType":"\u0061/c","digest":"`+sha512+`","size":8,"annotations":{"org.opencontainers.image.ref.name":"3","io.containerd.image.name":"docker.io/library/alpine:3"}},
		{"mediaType":null,"digest":"`+digestB+`","size":9,"annotations":null},
		{"mediaType":"a/d","digest":"blake3:`+strings.Repeat("d", 64)+`","size":9},
		{"mediaType":"a/e","digest":"`+digestA+`","size":7,"annotations":{"org.opencontainers.image.ref.name":"team/app:v2","io.containerd.image.name":"no reference"}},
		{"mediaType":"a/f","digest":"`+digestB+`","size":10,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`)
	require.NoError(t, err)
	type found struct {
		repo, tag, mediaType string
		digest               digest.Digest
		size                 int64
	}
	var got []found
	for name, r := range x.repos.All() {
		for tag := range r.tags.All() {
			e := r.tagged(tag)
			got = append(got, found{name, tag, e.mediaType.Value(), e.digest, e.size})
		}
		for d := range r.manifests.All() {
			e := r.manifest(digest.Digest(d))
			got = append(got, found{name, "", e.mediaType.Value(), e.digest, e.size})
		}
	}
	require.Equal(t, []found{
		{"default", "v1", "a/b", digestA, 7}, // The first entry with tag v1 counts.
		{"default", "", "a/b", digestA, 7},
		{"default", "", "", digestB, 9}, // The first entry with this digest counts.
		{"library/alpine", "3", "a/c", digest.Digest(sha512), 8},
		{"library/alpine", "", "a/c", digest.Digest(sha512), 8},
		{"team/app", "v2", "a/e", digestA, 7},
		{"team/app", "", "a/e", digestA, 7},
	}, got)
}

func TestBrokenIndex(t *testing.T) {
	t.Parallel()
	entry := func(text string) string { return `{"schemaVersion":2,"manifests":[` + text + `]}` }
	for text, want := range map[string]string{
		``:                                  "invalid JSON",
		`{"manifests":[`:                    "invalid JSON",
		`{"manifests":[]}}`:                 "invalid JSON",
		"\xef\xbb\xbf{}":                    "invalid JSON",
		`[]`:                                "not a JSON object",
		`null`:                              "not a JSON object",
		`{"manifests":{}}`:                  "manifests is not an array",
		`{"manifests":"x"}`:                 "manifests is not an array",
		entry(`7`):                          "entry 0 of manifests: not a JSON object",
		entry(`null`):                       "entry 0 of manifests: not a JSON object",
		entry(`{}`):                         `entry 0 of manifests: digest ""`,
		entry(`{"digest":7}`):               "entry 0 of manifests: digest: json: cannot unmarshal number",
		entry(`{"digest":"sha256:12"}`):     `entry 0 of manifests: digest "sha256:12"`,
		entry(`{"digest":"../../x"}`):       `entry 0 of manifests: digest "../../x"`,
		entry(`{"digest":"sha256:../../"}`): `entry 0 of manifests: digest "sha256:../../"`,
		entry(`{"digest":"` + strings.ToUpper(digestA) + `"}`):                                                           "entry 0 of manifests: digest",
		entry(`{"digest":"` + digestA + `"},{"digest":"` + digestA + `","size":-1}`):                                     "entry 1 of manifests: size: -1 is not a number of bytes",
		entry(`{"digest":"` + digestA + `","size":1e3}`):                                                                 "size: 1e3 is not a number of bytes",
		entry(`{"digest":"` + digestA + `","size":"1"}`):                                                                 "is not a number of bytes",
		entry(`{"digest":"` + digestA + `","size":9223372036854775808}`):                                                 "is not a number of bytes",
		entry(`{"digest":"` + digestA + `","mediaType":[]}`):                                                             "mediaType: json: cannot unmarshal array",
		entry(`{"digest":"` + digestA + `","annotations":[]}`):                                                           "annotations: not a JSON object",
		entry(`{"digest":"` + digestA + `","annotations":{"org.opencontainers.image.ref.name":1}}`):                      "annotations: org.opencontainers.image.ref.name: json: cannot unmarshal number",
		entry(`{"digest":"` + digestA + `","annotations":{"a":"b","io.containerd.image.name":{}},"mediaType":"x/y/\""}`): "annotations: io.containerd.image.name: json: cannot unmarshal object",
	} {
		_, err := parseIndex(named, text)
		require.ErrorContains(t, err, want, "%s", text)
	}
}

func TestEntryIsRenamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ raw, refName, want string }{
		{`{"digest":"` + digestA + `"}`, "", `{"digest":"` + digestA + `"}`},
		{`{"digest":"` + digestA + `"}`, "v1", `{"digest":"` + digestA + `","annotations":{"org.opencontainers.image.ref.name":"v1"}}`},
		{`{ "digest" : "` + digestA + `", "annotations":{"org.opencontainers.image.ref.name":"v1"}, "z":[ 1 ] }`, "", `{"digest":"` + digestA + `","z":[ 1 ]}`},
		{
			`{"annotations":{"org.opencontainers.image.ref.name":"3","a":"\u0062","io.containerd.image.name":"docker.io/library/alpine:3"},"digest":"` + digestA + `"}`,
			"docker.io/library/alpine:4",
			`{"digest":"` + digestA + `","annotations":{"a":"\u0062","org.opencontainers.image.ref.name":"docker.io/library/alpine:4"}}`,
		},
		{`{"annotations":null,"digest":"` + digestA + `"}`, "", `{"digest":"` + digestA + `"}`},
	} {
		e, err := parseEntry(named, test.raw)
		require.NoError(t, err)
		require.Equal(t, test.want, e.renamed(reference{}, test.refName).raw)
	}
}

// TestIndexIsReadInLinearTime parses indexes with many tags of one manifest. It
// measures allocated bytes, because times vary between runs. If parsing copied
// the list of entries for each tag, the bytes would grow with the square of the
// number of tags.
func TestIndexIsReadInLinearTime(t *testing.T) {
	// Not parallel: the test measures allocations.
	allocated := func(n int) float64 {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, `,{"digest":%q,"annotations":{"org.opencontainers.image.ref.name":"v%d"}}`, digestA, i)
		}
		index := `{"manifests":[` + text.String()[1:] + `]}`
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		x, err := parseIndex(named, index)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.Len(t, x.entries, n)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	require.Less(t, allocated(20_000), 5*allocated(5_000))
}

// FuzzIndex compares the entries that parseIndex returns with those of
// encoding/json. It also checks that encode keeps all other members, and that
// parsing and encoding its text again does not change the text.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(emptyIndex))
	f.Add([]byte(`{"manifests":[{"mediaType":"a","digest":"` + digestA + `","size":1,"annotations":{"org.opencontainers.image.ref.name":"docker.io/a/b:c"}}, {"digest":"` + digestB + `"}],"a":"\ud800\""}`))
	f.Add([]byte(`{"a":[{}],"manifests":null,"manifests":[{"digest":"` + digestA + `","digest":"` + digestB + `","annotations":{}}]}`))
	f.Add([]byte(`{"\u006danifests":[{"digest":"` + digestA + `","size":0,"annotations":{"a":"b","io.containerd.image.name":"x:y"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := parseIndex(named, string(text))
		if err != nil {
			return
		}
		var want struct{ Manifests []map[string]json.RawMessage }
		members := map[string]json.RawMessage{}
		require.NoError(t, json.Unmarshal(text, &members))
		if list, ok := members["manifests"]; ok {
			require.NoError(t, json.Unmarshal(list, &want.Manifests))
		}
		require.Len(t, x.entries, len(want.Manifests))
		for i, e := range x.entries {
			var d string
			require.NoError(t, json.Unmarshal(want.Manifests[i]["digest"], &d))
			if e.digest != "" {
				require.Equal(t, d, string(e.digest))
				require.NoError(t, e.digest.Validate())
			}
			mediaType := ""
			if raw, ok := want.Manifests[i]["mediaType"]; ok {
				require.NoError(t, json.Unmarshal(raw, &mediaType))
			}
			require.Equal(t, mediaType, e.mediaType.Value())
		}

		written := x.encoded()
		again := map[string]json.RawMessage{}
		require.NoError(t, json.Unmarshal([]byte(written), &again))
		delete(members, "manifests")
		delete(again, "manifests")
		require.Equal(t, fmt.Sprint(members), fmt.Sprint(again))
		y, err := parseIndex(named, written)
		require.NoError(t, err)
		require.Equal(t, written, y.encoded())

		d := newDraft(y)
		for _, e := range y.entries {
			if e.digest != "" {
				renamed := e.renamed(reference{repo: "a", tag: "b"}, "a:b")
				parsed, err := parseEntry(named, renamed.raw)
				require.NoError(t, err)
				require.Equal(t, renamed, parsed)
				d.replace(e, renamed)
			}
		}
		require.True(t, json.Valid([]byte(d.encoded())))
	})
}

// TestPushedManifestIsKnown checks that the store need not read back a manifest
// that was just pushed, unless another program changes its file.
func TestPushedManifestIsKnown(t *testing.T) {
	t.Parallel()
	s, dir := openTree(t)
	put(t, s, 0, "v1")
	l, err := s.layout("app")
	require.NoError(t, err)
	require.NotNil(t, l.unchangedManifest(numbered(0).Descriptor()))
	name := filepath.Join(dir, "app", blobPath(numbered(0).Digest))
	require.NoError(t, os.WriteFile(name, numbered(1).Content, 0o666))
	require.Nil(t, l.unchangedManifest(numbered(0).Descriptor()))
}
