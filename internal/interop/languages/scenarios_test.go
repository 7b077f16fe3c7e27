package languages

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A controlled is a running ocireg with the control API.
type controlled struct {
	t                        *testing.T
	registry, control, token string
}

// startControlled starts ocireg, which runs until the end of the test.
func startControlled(t *testing.T) *controlled {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "ocireg"), "-quiet", "-addr", ":0", "-control", ":0")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait())
	})
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	second, err := lines.ReadString('\n')
	require.NoError(t, err)
	words := strings.Fields(second) // The line begins with "control URL token TOKEN".
	require.GreaterOrEqual(t, len(words), 4, second)
	return &controlled{t, strings.Fields(first)[0], words[1], words[3]}
}

// call sends a request to the control API and returns the response.
func (c *controlled) call(method, path, body string) (status int, text string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.control+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Authorization", "Bearer "+c.token)
	response, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	return response.StatusCode, string(all)
}

// want sends a request to the control API and fails the test unless the
// response has the status.
func (c *controlled) want(status int, method, path, body string) string {
	c.t.Helper()
	got, text := c.call(method, path, body)
	require.Equal(c.t, status, got, text)
	return text
}

// ongoing waits until the registry receives a request and has not responded to it
// yet.
func (c *controlled) ongoing() { c.want(200, "GET", "/v1/requests?ongoing&wait=1&timeout=1m", "") }

// ask sends a request that a rule hits, and describes the response from the
// client's point of view. If the rule delays the response or throttles the body,
// ask does not wait for the end.
func (c *controlled) ask(rule, url string, want digest.Digest) string {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	require.NoError(c.t, err)
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var response *http.Response
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err = client.Do(r)
	}()
	if strings.Contains(rule, " delay=") {
		c.ongoing()
		cancel()
	}
	<-done
	if err != nil {
		require.ErrorIs(c.t, err, context.Canceled)
		return "no response"
	}
	defer response.Body.Close()
	seen := []string{response.Status[:3]}
	for _, name := range []string{"WWW-Authenticate", "Retry-After"} {
		if v := response.Header.Get(name); v != "" {
			seen = append(seen, fmt.Sprintf("`%s: %s`", name, v))
		}
	}
	if to, err := response.Location(); err == nil {
		require.Equal(c.t, url, to.String())
		seen = append(seen, "to the same URL")
	}
	if response.StatusCode != http.StatusOK {
		return strings.Join(seen, ", ")
	}
	body := response.Body.(io.Reader)
	if strings.Contains(rule, " throttle=") {
		var first [1]byte
		_, err := io.ReadFull(body, first[:])
		require.NoError(c.t, err)
		c.ongoing()
		return strings.Join(append(seen, "the body comes slowly"), ", ")
	}
	content, err := io.ReadAll(body)
	switch {
	case err != nil:
		require.ErrorIs(c.t, err, io.ErrUnexpectedEOF)
		seen = append(seen, fmt.Sprintf("%d of %d bytes", len(content), response.ContentLength))
	case digest.FromBytes(content) != want:
		seen = append(seen, "wrong bytes")
	}
	if d := response.Header.Get("Docker-Content-Digest"); d != string(want) {
		seen = append(seen, "a different `Docker-Content-Digest`")
	}
	return strings.Join(seen, ", ")
}

// Under each rule of the table in docs/languages.md, a client gets the responses in
// its row. The last of them is the response after the rule ends.
func TestScenarios(t *testing.T) {
	t.Parallel()
	c := startControlled(t)
	all := rows(t)
	require.Len(t, all, 12)
	for _, row := range all {
		name, rule, want := row[0], row[1], row[2]
		var image struct {
			Digest digest.Digest
			Layers []digest.Digest
		}
		require.NoError(t, json.Unmarshal([]byte(c.want(201, "POST", "/v1/content", `{"ref": "team/app:v1", "image": {"layers": 1}}`)), &image))
		url, d := c.registry+"/v2/team/app/manifests/v1", image.Digest
		if strings.HasPrefix(rule, "get-blob ") {
			url, d = c.registry+"/v2/team/app/blobs/"+string(image.Layers[0]), image.Layers[0]
		}
		c.want(201, "POST", "/v1/faults", rule)
		var seen []string
		for i := range 3 {
			rule := rule
			if i > 0 {
				rule = "" // A rule with a delay hits only the first request.
			}
			seen = append(seen, c.ask(rule, url, d))
		}
		for len(seen) > 1 && seen[len(seen)-2] == "200" {
			seen = seen[:len(seen)-1]
		}
		require.Equal(t, want, strings.Join(seen, "; then "), "%s: %s", name, rule)
		c.want(204, "DELETE", "/v1/faults?check", "")
		c.want(204, "POST", "/v1/reset", "")
	}
}

// rows returns the rows of the scenarios in docs/languages.md: the problem, the
// rule, and the responses.
func rows(t *testing.T) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "languages.md"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?m)^\\| ([^|]+) \\| `([^`]+)` \\| ([^|]+) \\|$").FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1:])
	}
	return all
}
