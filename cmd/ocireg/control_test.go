package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A controlled is an instance of the command with the control API.
type controlled struct {
	*instance
	api, token string
	via        *http.Client
}

// startControlled starts the command with the control API, whose URL and token it
// reads from the second line of the banner.
func startControlled(t *testing.T, args ...string) *controlled {
	t.Helper()
	i := start(t, args...)
	words := strings.Fields(i.banner[1])
	require.GreaterOrEqual(t, len(words), 4, i.banner)
	require.Equal(t, []string{"control", words[1], "token", words[3]}, words[:4])
	c := &controlled{i, words[1], words[3], i.client}
	if path, ok := strings.CutPrefix(c.api, "unix:"); ok {
		require.Len(t, words, 4)
		c.api = "http://socket"
		c.via = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		t.Cleanup(c.via.CloseIdleConnections)
	} else {
		require.Equal(t, []string{"page", c.api + "/#" + c.token}, words[4:])
	}
	return c
}

// ctl sends a request with the token to the control API, and returns the status
// and the body of the response.
func (c *controlled) ctl(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.api+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+c.token)
	response, err := c.via.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

func (c *controlled) want(t *testing.T, status int, method, path, body string) string {
	t.Helper()
	got, text := c.ctl(t, method, path, body)
	require.Equal(t, status, got, text)
	return text
}

func TestControl(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	for _, address := range []string{":0", "127.0.0.1:0", "localhost:0", "unix:" + socket} {
		c := startControlled(t, "-control", address, "-fault", "ping times=1 status=418", "-token")
		require.Contains(t, c.want(t, 200, "GET", "/v1/", ""), c.url)
		require.Contains(t, c.want(t, 200, "GET", "/v1/faults", ""), "ping times=1 status=418")
		require.Equal(t, 418, c.do(t, "GET", "/v2/", "").StatusCode)
		require.Equal(t, 401, c.do(t, "GET", "/v2/", "").StatusCode)
		c.want(t, 200, "PUT", "/v1/users/ci", "")
		c.want(t, 200, "POST", "/v1/listener/stop", "")
		_, err := c.client.Get(c.url + "/v2/")
		require.Error(t, err)
		c.want(t, 200, "POST", "/v1/listener/start", "")
		c.want(t, 204, "POST", "/v1/reset", "")
		require.Equal(t, 418, c.do(t, "GET", "/v2/", "").StatusCode, "the fault of the command line is in force again")
		require.Contains(t, c.want(t, 200, "GET", "/v1/requests?since=0&format=golden", ""), "GET /v2/ 418")
		require.Equal(t, 0, c.stop(t))
		for {
			select {
			case line := <-c.stderr:
				require.NotContains(t, line, c.token)
				continue
			default:
			}
			break
		}
	}
	require.NoFileExists(t, socket)
}

// Without -control, the command does not serve the API. A wrong value of -control,
// -ready-file or -fault ends the command with the reason.
func TestControlIsRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-control x":            `-control "x" is not HOST:PORT or :PORT`,
		"-control 127.0.0.1:xy": "unknown port",
		"-control unix:/none/x": "-control: listen unix /none/x",
		"-ready-file /none/x":   "-ready-file: ",
		"-ready-file " + t.TempDir() + "/none/x -control :0": "-ready-file: ",
		"-control :0 -fault ping=1":                          "begins with ping=1",
	} {
		var stdout, stderr strings.Builder
		require.Equal(t, 2, run(t.Context(), append([]string{"-addr", ":0"}, strings.Fields(args)...), &stdout, &stderr), args)
		require.Contains(t, stderr.String(), want)
		require.Empty(t, stdout.String(), "the command printed a banner, but it is not ready: %s", args)
	}
	require.Len(t, start(t).banner, 2)
}

func TestControlToken(t *testing.T) {
	t.Setenv(tokenVariable, "s3cret")
	c := startControlled(t, "-control", ":0")
	require.Equal(t, "s3cret", c.token)
	c.want(t, 200, "GET", "/v1/", "")
	c.token = "other"
	c.want(t, 401, "GET", "/v1/", "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.api, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	response, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.NotContains(t, string(response), "HTTP/1.1 200", "OPTIONS * needs the token")
	c.stop(t)
	t.Setenv(tokenVariable, "a b")
	var stderr strings.Builder
	require.Equal(t, 2, run(t.Context(), []string{"-addr", ":0", "-control", ":0"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "control: the token has a space")
	require.NotContains(t, stderr.String(), "a b")
}

// The file of -ready-file has the addresses, the token and the user of the
// banner. Only its owner can read it, and the command removes it when it ends.
func TestReadyFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready.json")
	require.NoError(t, os.WriteFile(file, []byte("of a command that was killed"), 0o600))
	wait := func() (ready map[string]string) {
		for {
			text, err := os.ReadFile(file)
			if err == nil {
				require.NoError(t, json.Unmarshal(text, &ready), "the file has only a part of its content")
				return ready
			}
		}
	}
	c := startControlled(t, "-control", ":0", "-tls", "-ready-file", file)
	ready := wait()
	require.Equal(t, c.url, ready["registry"])
	require.Equal(t, c.api, ready["control"])
	require.Equal(t, c.token, ready["token"])
	require.Regexp(t, regexp.MustCompile(`ca\.crt$`), ready["ca"])
	require.Equal(t, "trust "+ready["ca"], c.banner[2])
	require.Contains(t, c.want(t, 200, "GET", "/v1/", ""), "BEGIN CERTIFICATE")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
	require.Equal(t, 0, c.stop(t))
	require.NoFileExists(t, file)

	i := start(t, "-ready-file", file)
	require.Equal(t, map[string]string{"registry": i.url}, wait())
	i.stop(t)

	// The file has the user that the command made for the profile.
	i = start(t, "-profile", "ecr", "-ready-file", file)
	ready = wait()
	require.Equal(t, "docker login --username "+ready["username"]+" --password "+ready["password"]+" "+i.host, i.banner[1])
	i.stop(t)
	i = start(t, "-user", "ci:secret", "-ready-file", file)
	require.Equal(t, map[string]string{"registry": i.url}, wait())
	i.stop(t)
}

// Requests that wait at a gate or in the control API do not keep the command from ending.
func TestControlEndsWithTheCommand(t *testing.T) {
	t.Parallel()
	c := startControlled(t, "-control", ":0")
	c.want(t, 201, "POST", "/v1/holds", "any")
	ended := make(chan error, 3)
	go func() {
		response, err := c.client.Get(c.url + "/v2/")
		if err == nil {
			response.Body.Close()
		}
		ended <- err
	}()
	c.want(t, 200, "GET", "/v1/holds/h1?wait=1m", "")
	for _, path := range []string{"/v1/requests?follow", "/v1/requests?wait=99&timeout=1h"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", c.api+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+c.token)
		begun := make(chan struct{})
		go func() {
			close(begun)
			response, err := c.client.Do(r)
			if err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			ended <- err
		}()
		<-begun
	}
	require.Equal(t, 0, c.stop(t))
	for range 3 {
		<-ended
	}
}
