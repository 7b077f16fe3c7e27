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

// childEnv is the variable that makes this program serve the directory that is
// its value.
const childEnv = "CAMPAIGN_CHILD"

// repositories are those that the clients of a storm use. The first is the
// default repository of a layout.
var repositories = []string{"app", "team/app"}

// serveChild serves a directory until the process is killed. It prints its URL.
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

// A child is a process that serves a directory.
type child struct {
	cmd *exec.Cmd
	url string
}

// startChild starts a process that serves the directory, and waits until it
// does.
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
		return nil, fmt.Errorf("a process does not open %s: %s", dir, stderr.String())
	}
	return &child{cmd, strings.TrimSpace(line)}, nil
}

// kill kills the process at once and waits for its end.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}
