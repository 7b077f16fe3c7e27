package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The shell commands in the pages about the control API and about profiles run one after
// the other, as they stand there.
func TestDocumentedShell(t *testing.T) {
	t.Parallel()
	blocks := func(page string) (all []string) {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		require.NoError(t, err)
		for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
			all = append(all, m[1])
		}
		return all
	}
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		// The first block starts the command. The page says what ctl, C, R, digest and
		// layer are, and my-client pulls a blob.
		script := `ocireg -control :0 -ready-file ready.json &
until [ -e ready.json ]; do sleep 0.1; done
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" ready.json; }
C=$(field control) R=$(field registry) TOKEN=$(field token)
ctl() { curl -sS --fail-with-body -H "Authorization: Bearer $TOKEN" "$@"; }
my_client() {
	for _ in 1 2 3; do curl -s -o layer "$R/v2/team/app/blobs/$digest"; done
	ctl -X POST $C/v1/reset -d '{"keep": ["faults", "requests", "content"]}'
}
digest=$(ctl $C/v1/content -d '{"ref": "team/app:v1", "image": {}}' | sed 's/.*"layers": *\["\([^"]*\)".*/\1/')
`
		all := blocks("control.md")
		require.Len(t, all, 4)
		script += strings.Replace(all[1], "my-client", "my_client", 1) + all[2]
		_, script2, ok := strings.Cut(all[3], "\n")
		require.True(t, ok && strings.HasPrefix(all[3], "ocireg "))
		runScript(t, script+script2, "curl", "tar")
	})
	t.Run("profiles", func(t *testing.T) {
		t.Parallel()
		all := blocks("profiles.md")
		require.NotEmpty(t, all)
		out := runScript(t, all[0], "curl", "jq", "skopeo")
		require.Contains(t, out, "quirk=ecr.")
	})
}

// runScript runs a shell script in a directory with a layout, named both image and DIR,
// and returns its output. The command ocireg in the script is the one of this package, and
// listens on a free port. It skips the test if a tool that the script needs is missing.
func runScript(t *testing.T, script string, tools ...string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a shell script stands for the command")
	}
	for _, tool := range append(tools, "sh", "sed") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{"image", "DIR/app"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("..", "..", "layout", "testdata", "buildx"))))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bin"), 0o777))
	command := "#!/bin/sh\nOCIREG_TEST_MAIN=1 OCIREG_ADDR=127.0.0.1:0 exec '" + self + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin", "ocireg"), []byte(command), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu")
	cmd.Stdin = strings.NewReader("trap 'kill $!; wait $! || true' EXIT\n" + script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "NO_PROXY=127.0.0.1")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
