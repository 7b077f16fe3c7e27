package layout_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// overwrite replaces index.json in dir by rename, as skopeo does.
func overwrite(t *testing.T, dir, text string) {
	temp := filepath.Join(dir, "oci-put-file")
	require.NoError(t, os.WriteFile(temp, []byte(text), 0o644))
	require.NoError(t, os.Rename(temp, filepath.Join(dir, "index.json")))
}

// TestStaleWriter replaces index.json like a tool that read the file before a
// push. The store restores the pushed entries only if the tool cannot have seen
// them.
func TestStaleWriter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		push  []string // the tag of each pushed image, for images 1, 2 and so on; "" for no tag
		drop  string   // a tag to delete after the pushes
		write []string // the entries that the other tool then writes
		want  []string
	}{
		{"a push", []string{"v1"}, "", []string{entryText(0, "v0"), entryText(4, "v4")}, []string{"0 v0", "4 v4", "1 v1"}},
		{"two pushes", []string{"v1", "v2"}, "", []string{entryText(0, "v0"), entryText(4, "v4")}, []string{"0 v0", "4 v4", "1 v1", "2 v2"}},
		{"the second push", []string{"v1", "v2"}, "", []string{entryText(0, "v0"), entryText(1, "v1"), entryText(4, "v4")}, []string{"0 v0", "1 v1", "4 v4", "2 v2"}},
		{"a push without a tag", []string{""}, "", []string{entryText(0, "v0"), entryText(4, "v4")}, []string{"0 v0", "4 v4", "1"}},
		{"a moved tag", []string{"v0"}, "", []string{entryText(0, "v0"), entryText(4, "v4")}, []string{"0", "4 v4", "1 v0"}},
		{"a tag that was moved twice", []string{"v0", "v0"}, "", []string{entryText(0, "v0"), entryText(4, "v4")}, []string{"0", "4 v4", "1", "2 v0"}},
		{"a tag that both moved", []string{"v0"}, "", []string{entryText(4, "v0")}, []string{"4 v0"}},
		{"a deleted tag stays deleted", []string{"v1", "v2"}, "v1", []string{entryText(0, "v0"), entryText(4, "v4")}, []string{"0 v0", "4 v4", "1", "2 v2"}},
		{"a list without new entries is a deletion", []string{"v1"}, "", []string{entryText(0, "v0")}, []string{"0 v0"}},
		{"a deletion of an older tag", []string{"v1", "v2"}, "", []string{entryText(0, "v0"), entryText(2, "v2"), entryText(4, "v4")}, []string{"0 v0", "2 v2", "4 v4"}},
		{"a new name for the image", []string{"v1"}, "", []string{entryText(0, "v0"), entryText(1, "v4")}, []string{"0 v0", "1 v4"}},
		{"another layout", []string{"v1"}, "", []string{entryText(4, "v4")}, []string{"4 v4"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			app := filepath.Join(dir, "app")
			writeLayout(t, app, 0, "v0")
			m := smallImage(4)
			writeFile(t, app, "blobs/sha256/"+m.Digest.Encoded(), string(m.Content))
			s := open(t, dir)
			for i, tag := range test.push {
				put(t, s, "app", i+1, slices.DeleteFunc([]string{tag}, func(tag string) bool { return tag == "" })...)
			}
			if test.drop != "" {
				require.NoError(t, s.DeleteTag(t.Context(), "app", test.drop))
			}
			overwrite(t, app, indexText(test.write...))
			collect(t, s.Tags(t.Context(), "app", ""))
			require.Equal(t, test.want, indexOf(t, app))
			require.Equal(t, tagsOf(t, s), tagsOf(t, open(t, dir)))
			put(t, s, "app", 3, "v3")
			require.Equal(t, append(slices.Clone(test.want), "3 v3"), indexOf(t, app))
		})
	}
}

// TestDeletionOfAnotherStoreStays deletes a tag with a second store of the same
// directory, and then pushes with that store. The first store must not restore
// the tag.
func TestDeletionOfAnotherStoreStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	put(t, a, "app", 0, "v0")
	put(t, a, "app", 1)
	put(t, a, "app", 1, "v1")
	require.NoError(t, b.DeleteTag(t.Context(), "app", "v1"))
	put(t, b, "app", 2, "v2")
	require.Equal(t, []string{"app:v0", "app:v2"}, tagsOf(t, a))
	require.Equal(t, []string{"0 v0", "1", "2 v2"}, indexOf(t, filepath.Join(dir, "app")))
}
