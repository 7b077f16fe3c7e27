package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// TestMain runs the command, or the client of listByHand, in place of the tests
// if an environment variable says so.
func TestMain(m *testing.M) {
	if os.Getenv("OCIREG_TEST_MAIN") != "" {
		main()
	}
	if os.Getenv("OCIREG_TEST_CLIENT") != "" {
		if err := listByHand(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// An output receives the output of the command. Each Write sends one value.
type output chan string

func (o output) Write(p []byte) (int, error) {
	o <- string(p)
	return len(p), nil
}

// next returns the text of the next Write. It fails the test after a minute without one.
func (o output) next(t testing.TB) string {
	t.Helper()
	select {
	case s := <-o:
		return s
	case <-time.After(time.Minute):
		require.Fail(t, "nothing was written")
		return ""
	}
}

// An instance is a running command in the process of the test.
type instance struct {
	banner         []string // the lines of the banner
	url, host      string
	stdout, stderr output
	client         *http.Client
	interrupt      func()
	exit           chan int
}

// start runs the command on a free port until the end of the test. It returns after
// the command prints its banner.
func start(t testing.TB, args ...string) *instance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{
		stdout:    make(output, 1000),
		stderr:    make(output, 1000),
		client:    &http.Client{Transport: &http.Transport{}},
		interrupt: cancel,
		exit:      make(chan int, 1),
	}
	go func() { i.exit <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), i.stdout, i.stderr) }()
	t.Cleanup(func() {
		i.client.CloseIdleConnections()
		i.stop(t)
	})
	select {
	case code := <-i.exit:
		i.exit <- code
		require.Failf(t, "the command ended", "with the exit code %d: %s", code, i.stderr.next(t))
	case text := <-i.stdout:
		i.banner = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		i.url, _, _ = strings.Cut(text, " ")
		_, i.host, _ = strings.Cut(i.url, "://")
	}
	return i
}

// stop interrupts the command, waits for its end, and returns its exit code.
func (i *instance) stop(t testing.TB) int {
	t.Helper()
	i.interrupt()
	select {
	case code := <-i.exit:
		i.exit <- code
		return code
	case <-time.After(time.Minute):
		require.Fail(t, "the command does not end")
		return -1
	}
}

// caFile returns the file of the CA that the banner names, or "".
func (i *instance) caFile() string {
	if file, ok := strings.CutPrefix(i.banner[1], "trust "); ok {
		return file
	}
	return ""
}

// trusting returns a transport that trusts only the CA of the instance, and
// speaks HTTP/2.
func (i *instance) trusting(t testing.TB) *http.Transport {
	t.Helper()
	text, err := os.ReadFile(i.caFile())
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
}

// An answer is a response with its whole body.
type answer struct {
	*http.Response
	body string
}

// do sends a request and reads the response. The header consists of pairs of
// a name and a value.
func (i *instance) do(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = i.url + path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	require.NoError(t, err)
	for k := 0; k < len(header); k += 2 {
		r.Header.Set(header[k], header[k+1])
	}
	response, err := i.client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response, string(text)}
}

// pushBlob pushes a blob and returns its digest.
func (i *instance) pushBlob(t testing.TB, repo, content string) string {
	t.Helper()
	d := digest.FromString(content).String()
	session := i.do(t, "POST", "/v2/"+repo+"/blobs/uploads/", "")
	require.Equal(t, http.StatusAccepted, session.StatusCode)
	put := i.do(t, "PUT", session.Header.Get("Location")+"?digest="+d, content)
	require.Equal(t, http.StatusCreated, put.StatusCode)
	return d
}

// put pushes a manifest.
func (i *instance) put(t testing.TB, repo, ref, mediaType, content string) answer {
	t.Helper()
	return i.do(t, "PUT", "/v2/"+repo+"/manifests/"+ref, content, "Content-Type", mediaType)
}

// emptyIndex is the smallest valid manifest.
const emptyIndex = `{"schemaVersion":2,"manifests":[]}`

// pushTag pushes an empty index with the tag.
func (i *instance) pushTag(t testing.TB, repo, tag string) {
	t.Helper()
	require.Equal(t, http.StatusCreated, i.put(t, repo, tag, ocispec.MediaTypeImageIndex, emptyIndex).StatusCode)
}

// imageManifest returns an image manifest whose config has the given content.
func imageManifest(config string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
		ocispec.MediaTypeImageConfig, digest.FromString(config), len(config))
}

// makeLayout writes an OCI image layout in which the tags name an empty index.
func makeLayout(t testing.TB, dir string, tags ...string) {
	t.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	require.NoError(t, os.MkdirAll(blobs, 0o777))
	d := digest.FromString(emptyIndex)
	var entries []string
	for _, tag := range tags {
		entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:%q}}`,
			ocispec.MediaTypeImageIndex, d, len(emptyIndex), ocispec.AnnotationRefName, tag))
	}
	for file, text := range map[string]string{
		filepath.Join(blobs, d.Encoded()):           emptyIndex,
		filepath.Join(dir, ocispec.ImageIndexFile):  `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`,
		filepath.Join(dir, ocispec.ImageLayoutFile): `{"imageLayoutVersion":"1.0.0"}`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	}
}

// refused runs a command that must fail before it serves. It returns the message.
func refused(t testing.TB, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.Equal(t, 2, run(ctx, args, &stdout, &stderr))
	require.Empty(t, stdout.String())
	text := stderr.String()
	require.Equal(t, 1, strings.Count(text, "\n"), text)
	require.True(t, strings.HasPrefix(text, "ocireg: ") && strings.HasSuffix(text, "\n"), text)
	return strings.TrimSuffix(strings.TrimPrefix(text, "ocireg: "), "\n")
}
