package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/page"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/control"
)

// With the control API, the journal keeps the last keptRequests requests, with
// the first keptBody bytes of each body.
const (
	keptRequests = 20000
	keptBody     = 4 << 10
)

// tokenVariable is the environment variable that sets the token of the control API.
const tokenVariable = "OCIREG_CONTROL_TOKEN"

// A controller serves the control API. A nil *controller is valid and serves nothing.
type controller struct {
	api      *control.Control
	listener net.Listener
	server   http.Server
	url      string // the URL of the API, or unix:/path
}

// newController returns a controller that listens at the address of -control,
// which is HOST:PORT or unix:/path.
func (s *settings) newController(ctx context.Context, config control.Config, logger *log.Logger) (*controller, error) {
	c := new(controller)
	var err error
	if path, ok := strings.CutPrefix(s.control, "unix:"); ok {
		if c.listener, err = net.Listen("unix", path); err == nil {
			c.url, err = s.control, os.Chmod(path, 0o600)
		}
		if err != nil {
			err = fmt.Errorf("-control: %w", err)
		}
	} else if c.listener, err = listen("-control", s.control); err == nil {
		host := hostOf(c.listener, s.control)
		c.url = "http://" + host
		name, _, _ := net.SplitHostPort(host)
		config.Hosts = append(slices.Clip(s.hosts), strings.ToLower(name))
	}
	if err == nil {
		config.Token, config.Page = os.Getenv(tokenVariable), page.Handler()
		config.Faults, config.Auth, config.Profile = s.faults, s.auth, s.profile
		c.api, err = control.New(config)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	setTimes(&c.server)
	c.server.ErrorLog = logger
	c.server.DisableGeneralOptionsHandler = true // Otherwise net/http answers OPTIONS *, without asking for the token.
	c.server.BaseContext = func(net.Listener) context.Context { return ctx }
	return c, nil
}

// options returns the options that the registry needs for the control API.
func (c *controller) options() []registrytest.Option {
	if c == nil {
		return []registrytest.Option{registrytest.WithoutJournal()}
	}
	return []registrytest.Option{c.api, registrytest.WithLastRequests(keptRequests), registrytest.WithBodies(keptBody)}
}

// line returns the line of the banner about the control API, or "".
func (c *controller) line() string {
	if c == nil {
		return ""
	}
	line := "control " + c.url + " token " + c.api.Token()
	if strings.HasPrefix(c.url, "http") {
		line += " page " + c.url + "/" + (&url.URL{Fragment: c.api.Token()}).String()
	}
	return line
}

// serve starts to serve the control API of the registry. The method close ends it.
func (c *controller) serve(registry *registrytest.Server) {
	if c == nil {
		return
	}
	c.server.Handler = c.api.Handler(registry)
	go c.server.Serve(c.listener)
}

// close stops serving the control API, and releases the requests that wait at its gates.
func (c *controller) close() {
	if c == nil {
		return
	}
	if c.api != nil {
		c.api.Close()
	}
	if c.listener != nil {
		c.listener.Close()
	}
	c.server.Close()
}

// writeReady writes the file of -ready-file, if the flag is set. The caller must
// call remove before the command ends.
func (s *settings) writeReady(url, caFile string, c *controller) (remove func(), err error) {
	if s.readyFile == "" {
		return func() {}, nil
	}
	ready := struct {
		Registry string `json:"registry"`
		CA       string `json:"ca,omitempty"`
		Control  string `json:"control,omitempty"`
		Token    string `json:"token,omitempty"`
		Username string `json:"username,omitempty"` // the user that the banner names, or none
		Password string `json:"password,omitempty"`
	}{Registry: url, CA: caFile, Username: s.login.Username, Password: s.login.Password}
	if c != nil {
		ready.Control, ready.Token = c.url, c.api.Token()
	}
	text, err := json.Marshal(ready)
	if err != nil {
		return nil, err
	}
	// The rename makes the file appear with its whole content. Only the owner of the
	// file may read the token and the password in it.
	file, err := os.CreateTemp(filepath.Dir(s.readyFile), ".ready-")
	if err == nil {
		_, err = file.Write(append(text, '\n'))
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err == nil {
			err = os.Rename(file.Name(), s.readyFile)
		}
		if err != nil {
			os.Remove(file.Name())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("-ready-file: %w", err)
	}
	return func() { os.Remove(s.readyFile) }, nil
}

// removeReady removes a file of -ready-file that an earlier command left. Scripts
// would mistake it for the file of this command.
func (s *settings) removeReady() error {
	if s.readyFile == "" {
		return nil
	}
	if err := os.Remove(s.readyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("-ready-file: %w", err)
	}
	return nil
}
