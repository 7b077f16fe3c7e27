package control

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/ocireg/registry/registrytest/fault"
)

// ruleRoutes returns the endpoints of a kind of rules: faults or holds.
func ruleRoutes(kind string) []route {
	hold := kind == "holds"
	with := func(serve func(*Control, *call, bool) (any, error)) func(*Control, *call) (any, error) {
		return func(c *Control, r *call) (any, error) { return serve(c, r, hold) }
	}
	path, wait := "/v1/"+kind, ""
	var release []route
	if hold {
		wait = "wait count"
		release = []route{{"POST " + path + "/{id}/release", "", (*Control).release}}
	}
	return append([]route{
		{"POST " + path, "session", with((*Control).addRule)},
		{"GET " + path, "session", with((*Control).listRules)},
		{"DELETE " + path, "session check", with((*Control).removeRules)},
		{"GET " + path + "/{id}", wait, with((*Control).getRule)},
		{"DELETE " + path + "/{id}", "check", with((*Control).removeRules)},
	}, release...)
}

// A rule is a fault or, with a gate, a hold.
type rule struct {
	*fault.Fault
	id      string
	session session
	gate    *fault.Gate // or nil
}

// info returns the rule in JSON.
func (f *rule) info() map[string]any {
	info := map[string]any{"id": f.id, "rule": f.String(), "fired": f.Fired()}
	if f.session != (session{}) {
		info["session"] = f.session.String()
	}
	if f.gate != nil {
		info["waiting"] = append([]string{}, f.gate.Waiting()...)
		info["released"] = f.gate.Released()
	}
	return info
}

// remove ends the rule, opens its gate, and lets t check that everything in the
// rule has happened.
func (f *rule) remove(t *tester) {
	f.Remove()
	if f.gate != nil {
		f.gate.Release()
	}
	f.Check(t)
}

// of returns a function that reports whether a rule is of the kind, the session of
// the request, and the ID in its path, if it has them.
func of(r *call, hold bool) func(*rule) bool {
	id := r.PathValue("id")
	return func(f *rule) bool {
		return (f.gate != nil) == hold && (id == "" || f.id == id) && (r.session == session{} || f.session == r.session)
	}
}

// addStartRules adds the rules of the Config.
func (c *Control) addStartRules() error {
	for _, text := range c.Faults {
		if _, err := c.add(text, session{}, false); err != nil {
			return err
		}
	}
	return nil
}

// add adds a rule.
func (c *Control) add(text string, s session, hold bool) (*rule, error) {
	r, err := fault.Parse(text)
	if err != nil {
		return nil, err
	}
	f, letter := &rule{session: s}, "f"
	if r = s.limit(r); !hold {
		f.Fault, err = c.faults.Add(r)
	} else if f.gate, err = c.faults.Gate(r); err == nil {
		f.Fault, letter = f.gate.Fault, "h"
	}
	if err != nil {
		return nil, err
	}
	f.id = c.id(letter)
	c.rules.add(f)
	return f, nil
}

// addRule serves POST: the text of a rule, or an object with it and a session.
func (c *Control) addRule(r *call, hold bool) (any, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(text, "{") {
		var in struct{ Rule, Session string }
		if err = decode(text, &in); err == nil && in.Session != "" {
			r.session, err = parseSession(in.Session)
		}
		if text = in.Rule; err != nil {
			return nil, err
		}
	}
	f, err := c.add(text, r.session, hold)
	if err != nil {
		e := &apiError{http.StatusUnprocessableEntity, err.Error(), new(int)}
		if syntax := (*fault.SyntaxError)(nil); errors.As(err, &syntax) {
			e.Position = &syntax.Offset
		}
		return nil, e
	}
	return created{f.info()}, nil
}

func (c *Control) listRules(r *call, hold bool) (any, error) {
	list := []any{}
	for _, f := range c.rules.get(of(r, hold)) {
		list = append(list, f.info())
	}
	if hold {
		return map[string]any{"holds": list}, nil
	}
	return map[string]any{"faults": list}, nil
}

// removeRules serves DELETE of one rule or all of a kind.
func (c *Control) removeRules(r *call, hold bool) (any, error) {
	removed := c.rules.take(of(r, hold))
	if removed == nil && r.PathValue("id") != "" {
		return nil, notFound("rule", r.PathValue("id"))
	}
	return nil, r.check(func(t *tester) {
		for _, f := range removed {
			f.remove(t)
		}
	})
}

// getRule serves GET of a rule. With the parameter wait, the response waits until
// as many requests as count says wait at the gate.
func (c *Control) getRule(r *call, hold bool) (any, error) {
	found := c.rules.get(of(r, hold))
	if len(found) == 0 {
		return nil, notFound("rule", r.PathValue("id"))
	}
	f, count := found[0], 1
	d, err := r.duration("wait", 0)
	if err == nil && r.query.Has("count") {
		if count, err = strconv.Atoi(r.query.Get("count")); err != nil || count < 1 {
			err = fail(http.StatusBadRequest, "count=%.20q is not a number from 1", r.query.Get("count"))
		}
	}
	if err == nil && d > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		if f.gate.Await(ctx, count) != nil {
			err = fail(http.StatusGatewayTimeout, "waited %v for the gate %q: %d of %d requests wait at it", d, f, len(f.gate.Waiting()), count)
		}
	}
	return f.info(), err
}

func (c *Control) release(r *call) (any, error) {
	found := c.rules.get(of(r, true))
	if len(found) == 0 {
		return nil, notFound("rule", r.PathValue("id"))
	}
	found[0].gate.Release()
	return found[0].info(), nil
}
