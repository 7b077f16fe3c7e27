package layout_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// TestLayoutsOfLinks opens layouts in which some or all files are symbolic links to
// files elsewhere. Only a read-only store serves them.
func TestLayoutsOfLinks(t *testing.T) {
	t.Parallel()
	content := []byte("content")
	d := digest.FromBytes(content)
	blob := "blobs/sha256/" + d.Encoded()
	for _, test := range []struct {
		name     string
		links    func(t *testing.T, dir string) []string // returns the names of the files that are links
		absolute bool
	}{
		// In rules_oci (oci/private/image.sh, base_from and add_layer), layers and
		// the blobs of the base image are relative links. The manifest, the config
		// and index.json are regular files.
		{"bazel", func(*testing.T, string) []string { return []string{blob} }, false},
		// In a Bazel sandbox, every input file is a link into the output tree.
		{"bazel runfiles", everyFile, true},
		// The Nix function ociImageLayout of edgelesssys/contrast (packages/by-name)
		// makes each blob a link to another store path. The files oci-layout and
		// index.json are regular files.
		{"nix", func(t *testing.T, dir string) []string {
			return []string{blob, "blobs/sha256/" + smallImage(0).Digest.Encoded()}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			top, elsewhere := t.TempDir(), t.TempDir()
			dir := filepath.Join(top, "image")
			foreignLayout(t, dir, indexEntry{0, nil})
			writeFile(t, dir, blob, string(content))
			for i, name := range test.links(t, dir) {
				file, moved := filepath.Join(dir, filepath.FromSlash(name)), filepath.Join(elsewhere, string(rune('a'+i)))
				require.NoError(t, os.MkdirAll(filepath.Dir(moved), 0o755))
				require.NoError(t, os.Rename(file, moved))
				target := moved
				if !test.absolute {
					var err error
					target, err = filepath.Rel(filepath.Dir(file), moved)
					require.NoError(t, err)
				}
				if err := os.Symlink(target, file); err != nil {
					t.Skip(err)
				}
			}

			// Without the option ReadOnly, Open fails. The error suggests the option.
			_, err := layout.Open(dir)
			require.ErrorContains(t, err, "is a symbolic link that cannot be followed")
			require.ErrorContains(t, err, "layout.ReadOnly, ocireg -read-only")

			// A request for such a file in a tree fails with the same error, and so does
			// Open if it finds only such layouts.
			tree, err := layout.Open(top)
			if err == nil {
				defer tree.Close()
				_, err = tree.OpenBlob(t.Context(), "image", d)
			}
			require.ErrorContains(t, err, "is a symbolic link that cannot be followed")
			require.ErrorContains(t, err, "layout.ReadOnly, ocireg -read-only")

			fsys, err := layout.OpenFS(os.DirFS(dir), layout.Repository("image"))
			require.NoError(t, err)
			for _, s := range []*layout.Store{open(t, dir, layout.ReadOnly()), fsys, open(t, top, layout.ReadOnly())} {
				wantManifest(t, s, "image", string(smallImage(0).Digest), imageType, smallImage(0).Digest)
				require.Equal(t, content, readBlob(t, s, "image", d))
				request(t, registry.New(s), "HEAD", "/v2/image/blobs/"+string(d), 200)
			}

			// The store verifies the target of a link like any other file.
			require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "a"), []byte("CONTENT"), 0o644))
			s := open(t, top, layout.ReadOnly())
			_, err = s.OpenBlob(t.Context(), "image", d)
			if test.name != "bazel runfiles" {
				require.ErrorContains(t, err, "is damaged")
			}
		})
	}
}

// everyFile returns the names of all files below dir.
func everyFile(t *testing.T, dir string) (names []string) {
	for name := range files(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			names = append(names, name)
		}
	}
	return names
}

// TestPassedOver opens a tree in which some layouts cannot be served. The store
// serves the other layouts and warns once about each that it passes over, except
// those in directories whose names begin with a dot.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	foreignLayout(t, filepath.Join(dir, "app"), indexEntry{0, nil})
	foreignLayout(t, filepath.Join(dir, "zzz"), indexEntry{0, nil})
	foreignLayout(t, filepath.Join(dir, "MyApp"), indexEntry{0, nil})
	foreignLayout(t, filepath.Join(dir, "Team", "app"), indexEntry{0, nil})
	foreignLayout(t, filepath.Join(dir, ".hidden"), indexEntry{0, nil})
	// The extender of the Buildpacks lifecycle writes images to directories with
	// such names (phase/extender.go).
	foreignLayout(t, filepath.Join(dir, "run", string(smallImage(0).Digest)), indexEntry{0, nil})
	var mu sync.Mutex
	var warnings []string
	warn := layout.Warnings(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		warnings = append(warnings, err.Error())
	})
	for range 2 {
		s := open(t, dir, warn)
		for range 2 {
			require.Equal(t, []string{"app", "zzz"}, collect(t, s.Repositories(t.Context(), "")))
		}
		require.Len(t, warnings, 3)
		for i, want := range []string{
			"passing over the layout MyApp: its path is not a valid repository name; rename it, or open it alone",
			"passing over the layout Team/app: ",
			"passing over the layout run/sha256:",
		} {
			require.Contains(t, strings.Join(warnings, "\n"), want, i)
		}
		warnings = nil
	}

	// If the tree contains no other layout, the error of Open names the layout
	// that cannot be served.
	_, err := layout.Open(filepath.Join(dir, "run"))
	require.ErrorContains(t, err, "it is not an OCI image layout and contains none that can be served: passing over the layout sha256:")
}

// unreadable is a file system in which the directory "secret" cannot be read.
type unreadable struct{ fs.FS }

func (u unreadable) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "secret" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return fs.ReadDir(u.FS, name)
}

func TestUnreadableDirectoryIsPassedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, repo := range []string{"app", "secret/app", "zzz"} {
		foreignLayout(t, filepath.Join(dir, filepath.FromSlash(repo)), indexEntry{0, nil})
	}
	var warnings []error
	s, err := layout.OpenFS(unreadable{os.DirFS(dir)}, layout.Warnings(func(err error) { warnings = append(warnings, err) }))
	require.NoError(t, err)
	for range 2 {
		require.Equal(t, []string{"app", "zzz"}, collect(t, s.Repositories(t.Context(), "")))
	}
	require.Len(t, warnings, 1)
	require.EqualError(t, warnings[0], "passing over a directory: open secret: permission denied")
	wantManifestDigest(t, s, "secret/app", string(smallImage(0).Digest), 0)

	s, err = layout.OpenFS(unreadable{os.DirFS(dir)})
	require.NoError(t, err)
	require.ErrorIs(t, errorOf(s.Repositories(t.Context(), "")), fs.ErrPermission)
}
