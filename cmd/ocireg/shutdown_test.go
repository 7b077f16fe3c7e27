package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const finishing = "finishing the running requests; interrupt again to exit at once\n"

// An uploading is an upload that the registry keeps reading until the test closes
// its body.
type uploading struct {
	body     *io.PipeWriter
	answered chan uploaded
}

type uploaded struct {
	status int
	err    error
}

// beginUpload begins to push a blob. When it returns, the registry is reading the body.
func beginUpload(t *testing.T, transport *http.Transport, url string, d digest.Digest) uploading {
	t.Helper()
	// The client sends no body until the registry asks for it, so a successful
	// write to the pipe shows that the registry is reading.
	transport.ExpectContinueTimeout = time.Hour
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	body, w := io.Pipe()
	t.Cleanup(func() { w.Close() })
	r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v2/app/blobs/uploads/?digest="+d.String(), body)
	require.NoError(t, err)
	r.Header.Set("Expect", "100-continue")
	u := uploading{w, make(chan uploaded, 1)}
	go func() {
		response, err := client.Do(r)
		if err != nil {
			u.answered <- uploaded{0, err}
			return
		}
		u.answered <- uploaded{response.StatusCode, response.Body.Close()}
	}()
	_, err = io.WriteString(w, "begun ")
	require.NoError(t, err)
	return u
}

// An interrupted command lets a running upload finish.
func TestInterruptFinishesUploads(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {t.TempDir()}, {"-tls"}} {
		i := start(t, append([]string{"-quiet"}, args...)...)
		transport := &http.Transport{}
		if i.caFile() != "" {
			transport = i.trusting(t)
		}
		u := beginUpload(t, transport, i.url, digest.FromString("begun and ended"))
		i.interrupt()
		require.Contains(t, i.stderr.next(t), finishing)
		require.Empty(t, i.exit)
		_, err := io.WriteString(u.body, "and ended")
		require.NoError(t, err)
		require.NoError(t, u.body.Close())
		require.Equal(t, uploaded{http.StatusCreated, nil}, <-u.answered)
		require.Equal(t, 0, i.stop(t))
	}
}

// A command that is interrupted before it serves exits with 0.
func TestInterruptBeforeServing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(ctx, []string{"-addr", ":0", t.TempDir()}, &stdout, &stderr))
	require.Empty(t, stdout.String()+stderr.String())
}

// A process is the command in its own process.
type process struct {
	*exec.Cmd
	url            string
	stdout, stderr *bufio.Reader
}

// startProcess starts the command on a free port.
func startProcess(t *testing.T, args ...string) process {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows cannot send an interrupt to a process")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	p := process{Cmd: exec.CommandContext(t.Context(), self, append([]string{"-addr", ":0"}, args...)...)}
	p.Env = append(os.Environ(), "OCIREG_TEST_MAIN=1")
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	stderr, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	p.stdout, p.stderr = bufio.NewReader(stdout), bufio.NewReader(stderr)
	line, err := p.stdout.ReadString('\n')
	require.NoError(t, err)
	p.url, _, _ = strings.Cut(line, " ")
	return p
}

// end waits until the process exits. It returns the rest of its standard error.
func (p process) end(t *testing.T) (string, error) {
	t.Helper()
	_, err := io.Copy(io.Discard, p.stdout)
	require.NoError(t, err)
	text, err := io.ReadAll(p.stderr)
	require.NoError(t, err)
	return string(text), p.Wait()
}

// The first signal ends a process that has no running requests. The exit code is 0.
func TestSignal(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := startProcess(t, "-quiet")
		response, err := http.Get(p.url + "/v2/")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.NoError(t, p.Process.Signal(s))
		_, err = p.end(t)
		require.NoError(t, err)
	}
}

// The second signal ends a process that has running requests. The test sends
// SIGTERM, because shells make their background jobs ignore interrupts.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	u := beginUpload(t, &http.Transport{}, p.url, digest.FromString(""))
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	line, err := p.stderr.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, finishing)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	text, err := p.end(t)
	require.EqualError(t, err, "signal: terminated")
	require.Empty(t, text)
	require.NoError(t, u.body.Close())
	require.Error(t, (<-u.answered).err)
}
