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
	"github.com/ocireg/registry/registrytest/journal"
)

// The journal of a registry that is controlled keeps the last requests, with the
// beginning of each body.
const (
	keptRequests = 20000
	keptBody     = 4 << 10
)

// tokenVariable is the environment variable with the token of the control API.
const tokenVariable = "OCIREG_CONTROL_TOKEN"

// A controller serves the control API.
type controller struct {
	api      *control.Control
	listener net.Listener
	server   http.Server
	url      string // or unix:/path
}

// newController listens at the address of -control, HOST:PORT or unix:/path.
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
	c.server.DisableGeneralOptionsHandler = true // The API refuses OPTIONS * without a token, too.
	c.server.BaseContext = func(net.Listener) context.Context { return ctx }
	return c, nil
}

// options returns the options of the registry.
func (c *controller) options() []registrytest.Option {
	if c == nil {
		return []registrytest.Option{registrytest.WithoutJournal()}
	}
	return []registrytest.Option{c.api, journal.Limit(keptRequests), registrytest.WithBodies(keptBody)}
}

// line returns the line of the banner.
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

// serve serves the API of the registry until close.
func (c *controller) serve(registry *registrytest.Server) {
	if c == nil {
		return
	}
	c.server.Handler = c.api.Handler(registry)
	go c.server.Serve(c.listener)
}

// close ends the API and releases the requests that it holds.
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

// writeReady writes the file of -ready-file, if there is one. The caller has to
// call remove when it is done.
func (s *settings) writeReady(url, caFile string, c *controller) (remove func(), err error) {
	if s.readyFile == "" {
		return func() {}, nil
	}
	ready := struct {
		Registry string `json:"registry"`
		CA       string `json:"ca,omitempty"`
		Control  string `json:"control,omitempty"`
		Token    string `json:"token,omitempty"`
		Username string `json:"username,omitempty"` // that the banner names, too
		Password string `json:"password,omitempty"`
	}{Registry: url, CA: caFile, Username: s.login.Username, Password: s.login.Password}
	if c != nil {
		ready.Control, ready.Token = c.url, c.api.Token()
	}
	text, err := json.Marshal(ready)
	if err != nil {
		return nil, err
	}
	// The rename makes the file appear complete. Only this user may read the
	// token and the password.
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

// removeReady removes the file that an earlier command may have left, which
// would mislead scripts that wait for it.
func (s *settings) removeReady() error {
	if s.readyFile == "" {
		return nil
	}
	if err := os.Remove(s.readyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("-ready-file: %w", err)
	}
	return nil
}
