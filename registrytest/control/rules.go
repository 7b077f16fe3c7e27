package control

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ocireg/registry/registrytest/fault"
)

// ruleRoutes are the endpoints of faults and gates.
var ruleRoutes = []route{
	{"POST /v1/faults", (*Control).addFault},
	{"GET /v1/faults", (*Control).listFaults},
	{"GET /v1/faults/{id}", (*Control).getRule},
	{"DELETE /v1/faults", (*Control).removeFaults},
	{"DELETE /v1/faults/{id}", (*Control).removeRule},
	{"POST /v1/holds", (*Control).addHold},
	{"GET /v1/holds", (*Control).listHolds},
	{"GET /v1/holds/{id}", (*Control).getRule},
	{"DELETE /v1/holds", (*Control).removeHolds},
	{"DELETE /v1/holds/{id}", (*Control).removeRule},
	{"POST /v1/holds/{id}/release", (*Control).release},
}

// A rule is a fault or, with a gate, a hold.
type rule struct {
	*fault.Fault
	id      string
	session session
	gate    *fault.Gate // or nil
}

// ruleInfo is a rule in JSON.
type ruleInfo struct {
	ID       string    `json:"id"`
	Rule     string    `json:"rule"`
	Session  string    `json:"session,omitempty"`
	Fired    int       `json:"fired"`
	Waiting  *[]string `json:"waiting,omitempty"`
	Released *bool     `json:"released,omitempty"`
}

func (f *rule) info() ruleInfo {
	info := ruleInfo{ID: f.id, Rule: f.String(), Session: f.session.String(), Fired: f.Fired()}
	if f.gate != nil {
		waiting, released := append([]string{}, f.gate.Waiting()...), f.gate.Released()
		info.Waiting, info.Released = &waiting, &released
	}
	return info
}

// remove ends the rule and opens its gate. If check is not nil, it also checks
// that everything in the rule has happened.
func (f *rule) remove(check *tester) {
	f.Remove()
	if f.gate != nil {
		f.gate.Release()
	}
	if check != nil {
		f.Check(check)
	}
}

// addStartRules adds the rules of the Config.
func (c *Control) addStartRules() error {
	for _, text := range c.Faults {
		r, err := fault.Parse(text)
		if err != nil {
			return err
		}
		if _, err := c.add(r, session{}, false); err != nil {
			return err
		}
	}
	return nil
}

// add adds a fault or a hold.
func (c *Control) add(r fault.Rule, s session, hold bool) (f *rule, err error) {
	f = &rule{session: s}
	letter := "f"
	if r = s.limit(r); hold {
		letter = "h"
		if f.gate, err = c.rules.Gate(r); err == nil {
			f.Fault = f.gate.Fault
		}
	} else {
		f.Fault, err = c.rules.Add(r)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.id = c.id(letter)
	c.list = append(c.list, f)
	return f, nil
}

// parseRule parses a body: the text of a rule, or an object with it and a session.
func parseRule(r *http.Request, body []byte) (text string, s session, err error) {
	var in struct{ Rule, Session string }
	if strings.HasPrefix(string(body), "{") {
		if err := decode(body, false, &in); err != nil {
			return "", s, err
		}
	} else {
		in.Rule = string(body)
	}
	s, err = sessionOf(r, in.Session)
	return in.Rule, s, err
}

func (c *Control) addFault(w http.ResponseWriter, r *http.Request) error {
	return c.addRule(w, r, false)
}

func (c *Control) addHold(w http.ResponseWriter, r *http.Request) error { return c.addRule(w, r, true) }

func (c *Control) addRule(w http.ResponseWriter, r *http.Request, hold bool) error {
	if _, err := query(r, "session"); err != nil {
		return err
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	text, s, err := parseRule(r, body)
	if err != nil {
		return err
	}
	parsed, err := fault.Parse(text)
	var f *rule
	if err == nil {
		f, err = c.add(parsed, s, hold)
	}
	if err != nil {
		e := &apiError{status: http.StatusUnprocessableEntity, text: err.Error(), position: new(int)}
		if syntax := (*fault.SyntaxError)(nil); errors.As(err, &syntax) {
			e.position = &syntax.Offset
		}
		return e
	}
	w.Header().Set("Location", r.URL.Path+"/"+f.id)
	return reply(w, http.StatusCreated, f.info())
}

// find returns the rule with the ID in the path.
func (c *Control) find(r *http.Request) (*rule, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.list {
		if f.id == r.PathValue("id") && strings.HasPrefix(r.URL.Path, "/v1/holds") == (f.gate != nil) {
			return f, nil
		}
	}
	return nil, notFound("rule", r.PathValue("id"))
}

func (c *Control) listFaults(w http.ResponseWriter, r *http.Request) error {
	return c.listRules(w, r, "faults", false)
}

func (c *Control) listHolds(w http.ResponseWriter, r *http.Request) error {
	return c.listRules(w, r, "holds", true)
}

func (c *Control) listRules(w http.ResponseWriter, r *http.Request, name string, holds bool) error {
	if _, err := query(r, "session"); err != nil {
		return err
	}
	s, err := sessionOf(r, "")
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []ruleInfo{}
	for _, f := range c.list {
		if (f.gate != nil) == holds && (s == session{} || s == f.session) {
			list = append(list, f.info())
		}
	}
	return reply(w, http.StatusOK, map[string]any{name: list})
}

func (c *Control) removeFaults(w http.ResponseWriter, r *http.Request) error {
	return c.removeRules(w, r, func(f *rule) bool { return f.gate == nil })
}

func (c *Control) removeHolds(w http.ResponseWriter, r *http.Request) error {
	return c.removeRules(w, r, func(f *rule) bool { return f.gate != nil })
}

func (c *Control) removeRule(w http.ResponseWriter, r *http.Request) error {
	one, err := c.find(r)
	if err != nil {
		return err
	}
	return c.removeRules(w, r, func(f *rule) bool { return f == one })
}

// removeRules removes the rules that match, of one session if the request has one.
func (c *Control) removeRules(w http.ResponseWriter, r *http.Request, match func(*rule) bool) error {
	if _, err := query(r, "check", "session"); err != nil {
		return err
	}
	s, err := sessionOf(r, "")
	if err != nil {
		return err
	}
	removed := c.take(func(f *rule) bool { return match(f) && (s == session{} || s == f.session) })
	err = check(r, func(t *tester) {
		for _, f := range removed {
			f.remove(t)
		}
	})
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// take removes the rules that match from the list, and returns them.
func (c *Control) take(match func(*rule) bool) (taken []*rule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = slices.DeleteFunc(c.list, func(f *rule) bool {
		if match(f) {
			taken = append(taken, f)
			return true
		}
		return false
	})
	return taken
}

// getRule serves GET of a fault or a hold. With the parameter wait, the response
// waits until as many requests as count says wait at the gate.
func (c *Control) getRule(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "wait", "count")
	if err != nil {
		return err
	}
	f, err := c.find(r)
	if err != nil {
		return err
	}
	if q.Has("wait") && f.gate == nil {
		return fail(http.StatusBadRequest, "wait is for holds; GET /v1/requests?wait=1 waits for requests")
	}
	d, err := duration(q, "wait", 0)
	count := 1
	if err == nil && q.Has("count") {
		if count, err = strconv.Atoi(q.Get("count")); err != nil || count < 1 {
			return fail(http.StatusBadRequest, "count=%.20q is not a number from 1", q.Get("count"))
		}
	}
	if err == nil && d > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		if f.gate.Await(ctx, count) != nil {
			err = fail(http.StatusGatewayTimeout, "waited %v for the gate %q: %d of %d requests wait at it", d, f, len(f.gate.Waiting()), count)
		}
	}
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, f.info())
}

func (c *Control) release(w http.ResponseWriter, r *http.Request) error {
	f, err := c.find(r)
	if err != nil {
		return err
	}
	f.gate.Release()
	return reply(w, http.StatusOK, f.info())
}
