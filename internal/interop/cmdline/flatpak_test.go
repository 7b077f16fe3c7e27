package cmdline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// greeter is the source of the test's application, which prints the content of a file.
const greeter = `package main

import "os"

func main() {
	text, err := os.ReadFile("/app/greeting")
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(text)
}
`

// A flatpakRepo is a local Flatpak repository with a runtime and an application.
type flatpakRepo struct{ dir string }

// startBus gives flatpak a directory and a D-Bus session for this test alone.
func startBus(t *testing.T) {
	t.Helper()
	dir := shortDir(t)
	socket := filepath.Join(dir, "bus")
	for name, value := range map[string]string{
		"DBUS_SESSION_BUS_ADDRESS": "unix:path=" + socket,
		"FLATPAK_USER_DIR":         filepath.Join(dir, "flatpak"),
		"XDG_CACHE_HOME":           filepath.Join(dir, "cache"),
		"XDG_DATA_HOME":            filepath.Join(dir, "data"),
	} {
		t.Setenv(name, value)
	}
	daemon(t, socket, "dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+socket)
	t.Cleanup(func() {
		// Services that the bus started would outlive it by minutes.
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range files {
			text, _ := os.ReadFile(file)
			program, _ := os.Readlink(filepath.Join(filepath.Dir(file), "exe"))
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && pid != os.Getpid() && bytes.Contains(text, []byte(dir+"/bus")) && filepath.Base(program) != "dbus-daemon" {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
	})
}

// newFlatpakRepo builds a runtime and the program of the application.
func newFlatpakRepo(t *testing.T) flatpakRepo {
	t.Helper()
	r := flatpakRepo{t.TempDir()}
	arch := strings.TrimSpace(run(t, "flatpak", "--default-arch"))
	platform := "runtime=org.example.Platform/" + arch + "/stable\n"
	for file, text := range map[string]string{
		"main.go":             greeter,
		"runtime/metadata":    "[Runtime]\nname=org.example.Platform\n" + platform,
		"runtime/files/empty": "",
		"app/metadata":        "[Application]\nname=org.example.Hello\ncommand=hello\n" + platform,
		"app/files/greeting":  "",
	} {
		file = filepath.Join(r.dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(r.dir, "app/export"), 0o700))
	build := exec.Command("go", "build", "-o", filepath.Join(r.dir, "app/files/bin/hello"), filepath.Join(r.dir, "main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	run(t, "flatpak", "build-export", "--disable-sandbox", "--runtime", "--files=files", filepath.Join(r.dir, "repo"), filepath.Join(r.dir, "runtime"), "stable")
	return r
}

// app exports the application that prints the greeting to a layout, and
// returns its directory.
func (r flatpakRepo) app(t *testing.T, greeting string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "app/files/greeting"), []byte(greeting), 0o600))
	run(t, "flatpak", "build-export", "--disable-sandbox", filepath.Join(r.dir, "repo"), filepath.Join(r.dir, "app"), "stable")
	return r.bundle(t, "org.example.Hello")
}

func (r flatpakRepo) bundle(t *testing.T, name string, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "oci")
	run(t, "flatpak", append(append([]string{"build-bundle", "--oci"}, args...), filepath.Join(r.dir, "repo"), dir, name, "stable")...)
	return dir
}

// Flatpak lists, installs, runs and updates an application from the registry. The
// index for a remote depends on the remote's tag and lists only images that
// anonymous clients may pull.
func TestFlatpak(t *testing.T) {
	need(t, "flatpak", "skopeo", "dbus-daemon", "bwrap")
	authFile(t)
	repo := newFlatpakRepo(t)
	runtime := repo.bundle(t, "org.example.Platform", "--runtime")
	first, second := repo.app(t, "hello\n"), repo.app(t, "hello again\n")
	stores := []string{"layout", "memory"}
	if testing.Short() {
		stores = stores[:1]
	}
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			startBus(t)
			start := func(args ...string) *server {
				if store == "memory" {
					return serveDir(t, "", append(args, "-flatpak")...)
				}
				return serve(t, nil, append(args, "-flatpak")...)
			}
			s := start("-fault", "unknown where=path:/index/static once status=503")
			push := func(layout, ref string, args ...string) {
				t.Helper()
				run(t, "skopeo", append(append([]string{"--insecure-policy", "copy", "--dest-tls-verify=false"}, args...), "oci:"+layout, "docker://"+s.ref(ref))...)
			}
			flatpak := func(args ...string) string {
				t.Helper()
				return run(t, "flatpak", append([]string{"--user"}, args...)...)
			}
			list := func(remote string) string {
				t.Helper()
				return flatpak("remote-ls", "--all", "--columns=application,branch", remote)
			}
			push(runtime, "example/platform:latest")
			push(first, "example/hello:latest")
			push(first, "example/other:stable")

			// The first request for the index fails, and the second one finds the
			// application and the runtime.
			flatpak("remote-add", "test", "oci+http://"+s.host)
			_, err := try(t, "flatpak", "--user", "remote-ls", "test")
			require.Error(t, err)
			all := list("test")
			require.Contains(t, all, "org.example.Hello\tstable")
			require.Contains(t, all, "org.example.Platform\tstable")
			flatpak("install", "--noninteractive", "test", "org.example.Hello")
			runs := func(greeting string) {
				t.Helper()
				out, err := try(t, "flatpak", "--user", "run", "--no-a11y-bus", "--no-documents-portal", "org.example.Hello")
				if err != nil && strings.Contains(out, "bwrap") {
					t.Logf("containers do not run here: %s", out)
					return
				}
				require.NoError(t, err)
				require.Contains(t, out, greeting)
			}
			runs("hello\n")

			// Flatpak requests the index again and finds the new image.
			push(second, "example/hello:latest")
			flatpak("update", "--noninteractive")
			runs("hello again\n")

			// The fragment of a remote's URL selects the tag.
			flatpak("remote-add", "stable", "oci+http://"+s.host+"#stable")
			require.Contains(t, list("stable"), "org.example.Hello\tstable")
			flatpak("remote-add", "none", "oci+http://"+s.host+"#none")
			require.NotContains(t, list("none"), "org.example")

			// Images in an index are listed with the tag of the index.
			putIndex(t, s, "example/other", "multi", layoutImage(t, first))
			flatpak("remote-add", "multi", "oci+http://"+s.host+"#multi")
			require.Contains(t, list("multi"), "org.example.Hello\tstable")
			flatpak("uninstall", "--noninteractive", "org.example.Hello")
			flatpak("install", "--noninteractive", "multi", "org.example.Hello")
			runs("hello\n")

			requests := s.requests(t)
			require.Equal(t, 1, count(requests, 5, "unknown"))
			require.Positive(t, count(requests, 3, "unknown"), "Flatpak revalidates the index that it has")

			// With tokens, even images that anonymous clients may pull require one.
			s = start("-token", "-user", "ci:secret", "-allow", "anonymous pull public/**")
			push(runtime, "secret/platform:latest", "--dest-creds=ci:secret")
			push(second, "public/hello:latest", "--dest-creds=ci:secret")
			flatpak("remote-add", "public", "oci+http://"+s.host)
			public := list("public")
			require.Contains(t, public, "org.example.Hello\tstable")
			require.NotContains(t, public, "org.example.Platform")
			flatpak("uninstall", "--noninteractive", "org.example.Hello")
			flatpak("install", "--noninteractive", "public", "org.example.Hello")
			runs("hello again\n")
		})
	}
}

// layoutImage returns the descriptor of the only image of a layout.
func layoutImage(t *testing.T, dir string) ocispec.Descriptor {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	require.NoError(t, err)
	var index ocispec.Index
	require.NoError(t, json.Unmarshal(text, &index))
	require.Len(t, index.Manifests, 1)
	return ocispec.Descriptor{MediaType: index.Manifests[0].MediaType, Digest: index.Manifests[0].Digest, Size: index.Manifests[0].Size}
}

// putIndex pushes an index that lists an image which the repository has.
func putIndex(t *testing.T, s *server, repo, tag string, image ocispec.Descriptor) {
	t.Helper()
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageIndex, image.MediaType, image.Digest, image.Size)
	r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+s.host+"/v2/"+repo+"/manifests/"+tag, strings.NewReader(text))
	require.NoError(t, err)
	r.Header.Set("Content-Type", ocispec.MediaTypeImageIndex)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusCreated, response.StatusCode)
}
