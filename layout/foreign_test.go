package layout_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// FuzzForeignIndex pushes a manifest to a layout whose index.json is arbitrary
// text. Either the push fails and does not change the file, or the file keeps
// its other content and gets the new tag, and a store that is opened then reads
// the same tags.
//
// In the seeds, $IMAGE and $INDEX stand for the digests of two manifests in the
// layout, and $NEW stands for the digest of the pushed manifest.
func FuzzForeignIndex(f *testing.F) {
	const (
		image  = `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`
		pushed = `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`
	)
	list := `{"schemaVersion":2,"manifests":[{"mediaType":"` + imageType + `","digest":"` + string(digest.FromString(image)) + `","size":146}]}`
	replace := strings.NewReplacer("$IMAGE", string(digest.FromString(image)), "$INDEX", string(digest.FromString(list)), "$NEW", string(digest.FromString(pushed))).Replace
	entry := func(d, name string) string {
		return `{"mediaType":"` + imageType + `","digest":"` + d + `","size":146,"annotations":{"org.opencontainers.image.ref.name":"` + name + `"}}`
	}
	for _, text := range []string{
		"", "{}", "null", `[]`, `{"manifests":[]}`, `{"schemaVersion":2,"manifests":null}`, `{"manifests":[{}]}`, `{"manifests":[null]}`, `{"manifests":[],"manifests":[]}`, `{"Manifests":[]}`,
		`{"schemaVersion":2,"manifests":[` + entry("$IMAGE", "v1") + `]}`,
		`{"schemaVersion":2,"manifests":[` + entry("$IMAGE", "pushed") + `,` + entry("$INDEX", "pushed") + `]}`,
		`{"schemaVersion":2,"manifests":[` + entry("$NEW", "v1") + `,{"digest":"$NEW","size":1,"x":[1.0,"\ud800"]}]}`,
		`{"schemaVersion":2,"manifests":[` + entry("$IMAGE", "team/app:v1") + `,` + entry("$IMAGE", "docker.io/library/alpine:3") + `],"annotations":{"a":"b"},"subject":{}}`,
		`{"schemaVersion":2,"manifests":[` + entry("sha256:x", "v1") + `,` + entry("$IMAGE", "../x:y") + `,` + entry("$IMAGE", "\\u202e") + `,` + entry("md5:00", "") + `]}`,
		"\ufeff" + `{"manifests":[` + entry("$INDEX", "v1") + "]}\n\n", `{"manifests":[` + entry("$INDEX", "v1"), `{"manifests":[` + strings.Repeat(entry("$IMAGE", "v1")+",", 9) + `1]}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = replace(text)
		dir := emptyLayout(t)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o777))
		for _, content := range []string{image, list, "{}"} {
			writeFile(t, dir, "blobs/sha256/"+digest.FromString(content).Encoded(), content)
		}
		writeFile(t, dir, "index.json", text)
		// The store reads an invalid index.json again for some time if the file is
		// new. An old modification time avoids the wait.
		hour := time.Now().Add(-time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(dir, "index.json"), hour, hour))
		s, err := layout.Open(dir, layout.Repository("app"))
		if err != nil {
			return
		}
		defer s.Close()
		before, listErr := tagsIn(t, s)
		err = s.PutManifest(t.Context(), "app", registry.Manifest{MediaType: indexType, Digest: digest.FromString(pushed), Content: []byte(pushed)}, []string{"pushed"}, nil)
		now, readErr := os.ReadFile(filepath.Join(dir, "index.json"))
		require.NoError(t, readErr)
		if err != nil {
			require.Equal(t, text, string(now))
			return
		}
		require.NoError(t, listErr, "the store wrote to a layout that it cannot read")
		before["app:pushed"] = digest.FromString(pushed)
		again, err := layout.Open(dir, layout.Repository("app"))
		require.NoError(t, err)
		defer again.Close()
		for _, s := range []*layout.Store{s, again} {
			after, err := tagsIn(t, s)
			require.NoError(t, err)
			for tag, d := range after {
				if before[tag] == "" && d == digest.FromString(pushed) {
					before[tag] = d // The push added the manifest that this tag already named.
				}
			}
			require.Equal(t, before, after)
		}
		wantKept(t, text, string(now))
	})
}

// tagsIn returns the digest that each repository:tag of the store names, or ""
// if that manifest is missing or damaged.
func tagsIn(t *testing.T, s *layout.Store) (map[string]digest.Digest, error) {
	all := make(map[string]digest.Digest)
	for repo, err := range s.Repositories(t.Context(), "") {
		if err != nil {
			return all, err
		}
		for tag, err := range s.Tags(t.Context(), repo, "") {
			if err != nil {
				return all, err
			}
			d, _ := s.StatManifest(t.Context(), repo, tag)
			all[repo+":"+tag] = d.Digest
		}
	}
	return all, nil
}

// wantKept fails the test unless the new index.json has all members and entries
// of the old one, except entries with the pushed tag or the pushed manifest.
func wantKept(t *testing.T, before, now string) {
	t.Helper()
	var was, is map[string]any
	if json.Unmarshal([]byte(before), &was) != nil {
		return // The old index.json is not a JSON object.
	}
	require.NoError(t, json.Unmarshal([]byte(now), &is))
	entries, _ := is["manifests"].([]any)
	for name, v := range was {
		if name != "manifests" {
			require.Equal(t, v, is[name], name)
		}
	}
	old, _ := was["manifests"].([]any)
	for _, e := range old {
		text, err := json.Marshal(e)
		require.NoError(t, err)
		if strings.Contains(string(text), "pushed") || strings.Contains(string(text), string(digest.FromString(`{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[]}`))) {
			continue // The push may change the name of this entry.
		}
		require.True(t, slices.ContainsFunc(entries, func(now any) bool { return reflect.DeepEqual(e, now) }), "entry %s is missing from %s", text, now)
	}
}
