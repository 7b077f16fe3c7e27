package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// childEnv is the environment variable that makes this program serve a directory
// instead of running a campaign. Its value is the path of the directory.
const childEnv = "CAMPAIGN_CHILD"

// repositories has the repositories that the clients of a campaign use. If the
// directory is one layout, the first is its default repository.
var repositories = []string{"app", "team/app"}

// serveChild serves the layout or tree in a directory until the process is
// killed. It prints the URL of the server.
func serveChild(dir string) error {
	s, err := layout.Open(dir, layout.Repository(repositories[0]))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	return http.Serve(l, registry.New(s))
}

// A child is another process that serves a directory.
type child struct {
	cmd *exec.Cmd
	url string
}

// startChild starts a process that serves the directory, and waits for its URL.
func startChild(ctx context.Context, dir string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, fmt.Errorf("the process that serves %s printed no URL: %s", dir, stderr.String())
	}
	return &child{cmd, strings.TrimSpace(line)}, nil
}

// kill kills the process and waits until it ends.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}
