package cmdline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/content"
)

// Umoci works only on layouts. It reads and writes the layouts that ocireg
// serves at the same time.
func TestUmoci(t *testing.T) {
	need(t, "umoci")
	s := serve(t, map[string]content.Content{"team/app:v1": content.Image(content.Files(map[string]string{"etc/motd": "hello"}))})
	dir := filepath.Join(s.dir, "team", "app")
	require.Equal(t, "v1", strings.TrimSpace(run(t, "umoci", "list", "--layout", dir)))

	bundle := filepath.Join(t.TempDir(), "bundle")
	run(t, "umoci", "unpack", "--rootless", "--image", dir+":v1", bundle)
	got, err := os.ReadFile(filepath.Join(bundle, "rootfs", "etc", "motd"))
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	// Clients can pull the tag and the image that umoci adds.
	run(t, "umoci", "tag", "--image", dir+":v1", "v2")
	run(t, "umoci", "config", "--image", dir+":v1", "--tag", "v3", "--config.label", "org.example.key=value")
	state := s.state(t)
	require.Equal(t, []string{"v1", "v2", "v3"}, state.Tags(t, "team/app"))
	need(t, "skopeo")
	require.Contains(t, run(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+s.ref("team/app:v3")), "org.example.key")
}
