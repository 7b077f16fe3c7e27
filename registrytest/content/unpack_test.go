package content

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// run runs a program. It skips the test if the program is not installed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

// Other tools accept the images: skopeo copies them and checks their digests, and umoci
// unpacks them.
func TestImagesUnpackElsewhere(t *testing.T) {
	t.Parallel()
	s := State{memstore.New()}
	server := httptest.NewServer(registry.New(s.Store))
	defer server.Close()
	image := "docker://" + strings.TrimPrefix(server.URL, "http://") + "/app:v1"
	for name, parts := range map[string][]ImagePart{
		"files": {
			Files(map[string]string{"etc/hostname": "test\n", "etc/gone": "x", longName: "long"}),
			FS(fstest.MapFS{"bin/true": {Data: []byte("#!"), Mode: 0o555}}).Uncompressed(),
			Files(map[string]string{"etc/.wh.gone": ""}),
		},
		"Docker": {Docker(), Layers(2)},
		// No tar program makes archives of these sizes.
		"sizes": {LayerSizes(2071, 70_000, 2<<20+1), LayerSizes(2049, 2<<20+3).Uncompressed()},
	} {
		t.Run(name, func(t *testing.T) {
			want := s.Push(t, "app:v1", Image(parts...))
			dir := t.TempDir()
			layout := filepath.Join(dir, "layout") + ":v1"
			run(t, "skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", image, "oci:"+layout)
			bundle := filepath.Join(dir, "bundle")
			run(t, "umoci", "unpack", "--rootless", "--image", layout, bundle)
			root := filepath.Join(bundle, "rootfs")
			switch name {
			case "files":
				content, err := os.ReadFile(filepath.Join(root, "etc/hostname"))
				require.NoError(t, err)
				require.Equal(t, "test\n", string(content))
				require.NoFileExists(t, filepath.Join(root, "etc/gone"))
				require.FileExists(t, filepath.Join(root, longName))
				info, err := os.Stat(filepath.Join(root, "bin/true"))
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o755), info.Mode())
			default:
				files, err := os.ReadDir(root)
				require.NoError(t, err)
				require.Len(t, files, len(want.Layers))
			}
		})
	}
}
