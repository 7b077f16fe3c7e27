// Package control serves an HTTP API that controls a registry while it runs: it
// sets faults, shows the requests, changes the content and the users, and causes
// outages. It is for tests in other languages and for daemons; docs/control.md
// describes each request.
//
//	c, err := control.New(control.Config{})
//	if err != nil {
//		return err
//	}
//	reg, err := registrytest.StartServer(c)
//	if err != nil {
//		return err
//	}
//	defer reg.Close()
//	return http.Serve(listener, c.Handler(reg)) // its clients send c.Token()
package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/trial"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// A Config describes how to control a registry. The zero Config is ready to use.
type Config struct {
	// Token is the secret that each client sends in its header Authorization,
	// after "Bearer ". If it is empty, New generates one.
	Token string

	// Hosts are the names by which clients reach the handler, beside localhost
	// and IP addresses. The handler refuses requests for other hosts, which a web
	// page could send by DNS rebinding.
	Hosts []string

	// Page, if it is not nil, serves the paths outside of /v1/, without a token.
	Page http.Handler

	// Faults are the fault rules in force at the start. A reset sets them again,
	// unless it keeps the faults or is for one session.
	Faults []string

	// Linter checks the requests for GET /v1/findings.
	Linter lint.Linter

	// Auth is the authentication of the registry, or nil if it has none. The
	// caller also gives it to the server.
	Auth *auth.Auth

	// URL, CA and Profile describe the registry to clients. URL is its base URL,
	// by default the URL of the server. CA is the certificate of its certificate
	// authority, in PEM. Profile is the name of the real registry that the
	// registry imitates.
	URL, CA, Profile string

	// MaxImport limits the size in bytes of an uncompressed archive, and of an
	// image that the API builds. If it is 0, the limit is 4 GiB.
	MaxImport int64
}

// A Control controls one server. It is an option of package registrytest. First
// pass the Control to the server, and then the server to [Control.Handler].
type Control struct {
	config  Config
	faults  inject.Rules
	age     atomic.Int64 // how far the registry's clock is ahead, in nanoseconds
	journal *journal.Journal
	reg     *registrytest.Server
	start   *memstore.Store // the initial content, or nil
	restore func()          // undoes changes of the users

	mu    sync.Mutex
	ids   int
	items []*item
	marks map[session]int // number of the last request that each session hides

	outage   sync.Mutex // held while an action changes the listener
	listener string     // state of the listener, such as "up"
	undo     []func()   // functions that end the outages in force
}

// New returns a Control. It returns an error if the token, a rule or the linter
// of the Config is not valid.
func New(config Config) (*Control, error) {
	c := &Control{config: config, marks: make(map[session]int), listener: "up"}
	if c.config.Token == "" {
		c.config.Token = rand.Text()
	}
	if c.config.MaxImport == 0 {
		c.config.MaxImport = 4 << 30
	}
	if err := c.config.Linter.Err(); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if strings.ContainsFunc(c.config.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("control: the token has a space or a character that headers cannot have")
	}
	return c, c.addStartRules()
}

// Token returns the secret that clients must send.
func (c *Control) Token() string { return c.config.Token }

// Options returns the handler options of the registry, for its faults, its clock
// and the linter.
func (c *Control) Options() []registry.Option {
	return append(c.config.Linter.Options(), registry.WithFaults(func(r *registry.Request) *registry.Fault {
		r.SetClock(c.now)
		return c.faults.Inject(r)
	}))
}

// Exclusive returns "control". It tells package registrytest that a server can
// have only one Control.
func (c *Control) Exclusive() string { return "control" }

// Observe implements an optional method of [registrytest.Option], which the
// server calls with its journal before it starts.
func (c *Control) Observe(j *journal.Journal) {
	c.journal = j
	c.config.Linter.Observe(j)
}

// now returns the time on the registry's clock.
func (c *Control) now() time.Time { return time.Now().Add(time.Duration(c.age.Load())) }

// host returns the host and port of the registry.
func (c *Control) host() string {
	_, host, _ := strings.Cut(c.config.URL, "://")
	return host
}

// Close removes all rules and opens all gates, so that no request waits any more.
func (c *Control) Close() {
	for _, i := range c.find(func(i *item) bool { return i.kind == "faults" || i.kind == "holds" }, true) {
		i.remove(new(trial.T))
	}
}

// Handler returns the control API of the server. It panics unless c is an option
// of a server. A request that waits or follows the journal ends when its
// context ends.
//
// An [http.Server] responds to OPTIONS * itself, without the token, unless its
// DisableGeneralOptionsHandler is set.
func (c *Control) Handler(reg *registrytest.Server) http.Handler {
	if c.journal == nil {
		panic("control: Handler needs a server that has the Control as an option; give it to registrytest.StartServer")
	}
	c.reg = reg
	if s, ok := reg.Store.(*memstore.Store); ok {
		c.start = s.Clone()
	}
	if c.config.Auth != nil {
		c.restore = c.config.Auth.Save()
	}
	if c.config.URL == "" {
		c.config.URL = reg.URL
	}
	return c.handler()
}
