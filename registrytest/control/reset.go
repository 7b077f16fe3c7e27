package control

import (
	"net/http"
	"slices"
	"strings"

	"github.com/ocireg/registry/memstore"
)

// kinds are the things that a reset resets.
var kinds = []string{"faults", "holds", "tamper", "listener", "clock", "users", "content", "snapshots", "requests"}

func (c *Control) reset(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	var in struct {
		Keep    []string
		Session string
	}
	if err := decode(body, true, &in); err != nil {
		return err
	}
	s, err := parseSession(in.Session)
	if err != nil {
		return err
	}
	for _, name := range in.Keep {
		if !slices.Contains(kinds, name) {
			return fail(http.StatusBadRequest, "keep: no kind is called %.100q; the kinds are %s", name, strings.Join(kinds, ", "))
		}
	}
	all := s == session{}
	does := func(kind string) bool { return !slices.Contains(in.Keep, kind) }
	var store *memstore.Store
	if does("content") && s.name == "" {
		if store, err = c.memory(); err != nil {
			return fail(http.StatusConflict, `the content of this registry is on disk, so it cannot be reset; reset the rest with {"keep": ["content"]}`)
		}
	}
	if all && does("listener") {
		if err := c.change("start", 0); err != nil {
			return err
		}
	}
	for _, f := range c.take(func(f *rule) bool {
		kind := "faults"
		if f.gate != nil {
			kind = "holds"
		}
		return does(kind) && (all || f.session == s)
	}) {
		f.remove(nil)
	}
	if all && does("faults") {
		if err := c.addStartRules(); err != nil {
			return err
		}
	}
	if does("tamper") {
		for _, tp := range c.takeTampered(func(tp *tampering) bool { return s.hasRepo(tp.Repo) }) {
			tp.undo()
		}
	}
	if all && does("clock") {
		c.age.Store(0)
	}
	if all && does("users") && c.users != nil {
		c.users()
	}
	if store != nil {
		store.Restore(c.start, s.hasRepo)
		if all {
			c.reg.ForgetUploads()
		}
	}
	if all && does("snapshots") {
		c.mu.Lock()
		c.snapshots = nil
		c.mu.Unlock()
	}
	if does("requests") {
		c.begin(s)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
