package control

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry/internal/jsonapi"
	"github.com/ocireg/registry/internal/trial"
	"github.com/ocireg/registry/registrytest/auth"
)

// about serves GET /v1/: the version, the clock and the listener's state.
func (c *Control) about(*call) (any, error) {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(info.Main.Version, version)
	}
	reg := object{"name": c.host(), "url": c.config.URL}
	for name, value := range map[string]string{"ca": c.config.CA, "profile": c.config.Profile} {
		if value != "" {
			reg[name] = value
		}
	}
	c.outage.Lock()
	defer c.outage.Unlock()
	return object{"version": version, "listener": c.listener, "now": c.now(), "registries": []any{reg}}, nil
}

// users returns the registry's authentication, or an error if it has none.
func (c *Control) users() (*auth.Auth, error) {
	if c.config.Auth == nil {
		return nil, jsonapi.Fail(http.StatusConflict, "the registry has no authentication; start ocireg with -user, -allow, -token or a profile that has it")
	}
	return c.config.Auth, nil
}

// A newUser is the body of PUT /v1/users/NAME.
type newUser struct {
	Password string
	Rights   []string
}

// putUser serves PUT /v1/users/NAME: it adds or changes a user.
func (c *Control) putUser(r *call, in newUser) (any, error) {
	a, err := c.users()
	if err != nil {
		return nil, err
	}
	if in.Rights != nil && len(in.Rights) == 0 {
		return nil, jsonapi.Fail(http.StatusUnprocessableEntity, "rights is empty; leave it out for a user who may do everything")
	}
	user := auth.Credentials{Username: r.PathValue("name"), Password: cmp.Or(in.Password, rand.Text())}
	if err := a.AddUser(user, in.Rights...); err != nil {
		return nil, jsonapi.Fail(http.StatusUnprocessableEntity, "%w", err)
	}
	config := json.RawMessage(user.Config(c.host()))
	if r.Is("config") {
		return config, nil
	}
	return object{"username": user.Username, "password": user.Password, "config": config}, nil
}

// revoke serves DELETE /v1/users/NAME: it makes the user's password and tokens
// invalid.
func (c *Control) revoke(r *call) (_ any, err error) {
	a, err := c.users()
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // Revoke panics if the user does not exist.
			err = jsonapi.Fail(http.StatusNotFound, "/v1/users has no %.100q; a reset may have removed it", r.PathValue("name"))
		}
	}()
	a.Revoke(r.PathValue("name"))
	return nil, nil
}

// expireTokens serves DELETE /v1/tokens: all access tokens issued so far expire, but
// not refresh tokens and static tokens.
func (c *Control) expireTokens(*call) (any, error) {
	a, err := c.users()
	if err == nil {
		a.ExpireTokens()
	}
	return nil, err
}

// maxAdvance limits how far requests can move the registry's clock ahead.
const maxAdvance = 10 * 365 * 24 * time.Hour

// advance serves POST /v1/clock: it moves the registry's clock ahead.
func (c *Control) advance(_ *call, in struct{ Advance string }) (any, error) {
	d, err := time.ParseDuration(in.Advance)
	if err != nil || d < 0 || d > maxAdvance || time.Duration(c.age.Load())+d > maxAdvance {
		return nil, jsonapi.Bad("advance: %.100q is not a duration up to ten years, such as \"6m\"", in.Advance)
	}
	c.age.Add(int64(d))
	return object{"now": c.now()}, nil
}

// actions are the possible values of ACTION in POST /v1/listener/ACTION.
var actions = []string{"stop", "start", "restart", "refuse", "silence", "drop"}

// listen serves POST /v1/listener/ACTION: it performs the action, which may begin or
// end an outage.
func (c *Control) listen(r *call, in struct{ First int }) (any, error) {
	action := r.PathValue("action")
	if !slices.Contains(actions, action) {
		return nil, jsonapi.Fail(http.StatusNotFound, "no action is called %.100q; the actions are %s", action, strings.Join(actions, ", "))
	}
	if in.First < 0 || in.First > 0 && action != "refuse" && action != "silence" {
		return nil, jsonapi.Bad("first is a number of connections, for refuse and silence")
	}
	state, err := c.change(action, in.First)
	return object{"listener": state}, err
}

// change performs a listener action, and returns the new state of the listener.
// If first is positive, an outage affects only that many connections.
func (c *Control) change(action string, first int) (state string, err error) {
	c.outage.Lock()
	defer c.outage.Unlock()
	before := fmt.Sprint(c.reg.Err())
	err = trial.Run(func(t *trial.T) {
		begin, during := c.reg.Refuse, "refusing"
		switch action {
		case "stop":
			c.reg.Stop()
			c.listener = "stopped"
		case "start":
			for _, undo := range c.undo {
				undo()
			}
			c.undo = nil
			c.reg.Start()
			c.listener = "up"
		case "restart":
			c.reg.Restart()
		case "drop":
			c.reg.CloseClientConnections()
		case "silence":
			begin, during = c.reg.Silence, "silent"
			fallthrough
		case "refuse":
			if first > 0 {
				c.undo = append(c.undo, begin(t, first))
				break
			}
			c.undo, c.listener = append(c.undo, begin(t)), during
		}
		if after := fmt.Sprint(c.reg.Err()); after != before {
			t.Errorf("%s", strings.TrimSpace(strings.TrimPrefix(after, before)))
		}
	})
	if err != nil {
		err = jsonapi.Fail(http.StatusConflict, "%w", err)
	}
	return c.listener, err
}

// kinds are the parts of the state that a reset restores unless it must keep
// them.
var kinds = []string{"faults", "holds", "tamper", "listener", "clock", "users", "content", "snapshots", "requests"}

// A newReset is the body of POST /v1/reset.
type newReset struct {
	Keep    []string
	Session session
}

// reset serves POST /v1/reset: it restores the initial state, or that of a
// session.
func (c *Control) reset(r *call, in newReset) (any, error) {
	for _, name := range in.Keep {
		if !slices.Contains(kinds, name) {
			return nil, jsonapi.Bad("keep: nothing is called %.100q; a reset has %s", name, strings.Join(kinds, ", "))
		}
	}
	s := cmp.Or(in.Session, r.session)
	all := s == session{}
	does := func(kind string) bool { return !slices.Contains(in.Keep, kind) }
	content := does("content") && s.name == ""
	store, err := c.memory()
	if content && err != nil {
		return nil, err
	}
	if all && does("listener") {
		if _, err := c.change("start", 0); err != nil {
			return nil, err
		}
	}
	for _, i := range c.find(func(i *item) bool { return does(i.kind) && i.in(s) }, true) {
		i.remove(new(trial.T))
	}
	if content {
		store.Restore(c.start, s.hasRepo)
	}
	if does("requests") {
		c.begin(s)
	}
	if !all {
		return nil, nil
	}
	if content {
		c.reg.ForgetUploads()
	}
	if does("clock") {
		c.age.Store(0)
	}
	if does("users") && c.restore != nil {
		c.restore()
	}
	if does("faults") {
		err = c.addStartRules()
	}
	return nil, err
}
