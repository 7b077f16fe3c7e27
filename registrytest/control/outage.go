package control

import (
	"net/http"
	"slices"
	"strings"
)

// outageRoutes are the endpoints of the listener.
var outageRoutes = []route{{"POST /v1/listener/{action}", "", (*Control).listen}}

// actions are the last words of its path.
var actions = []string{"stop", "start", "restart", "refuse", "silence", "drop"}

// listen serves POST /v1/listener/….
func (c *Control) listen(r *call) (any, error) {
	var in struct{ First int }
	if err := r.decode(&in); err != nil {
		return nil, err
	}
	action := r.PathValue("action")
	if !slices.Contains(actions, action) {
		return nil, fail(http.StatusNotFound, "no action is called %.100q; the actions are %s", action, strings.Join(actions, ", "))
	}
	if in.First < 0 || in.First > 0 && action != "refuse" && action != "silence" {
		return nil, fail(http.StatusBadRequest, "first is a number of connections, for refuse and silence")
	}
	if err := c.change(action, in.First); err != nil {
		return nil, err
	}
	c.outage.Lock()
	defer c.outage.Unlock()
	return map[string]string{"listener": c.listener}, nil
}

// change begins or ends an outage. First is the number of connections that it is
// for, or 0 for all.
func (c *Control) change(action string, first int) error {
	c.outage.Lock()
	defer c.outage.Unlock()
	before := failuresOf(c.reg.Err())
	err := try(http.StatusConflict, func(t *tester) {
		var connections []int
		if first > 0 {
			connections = []int{first}
		}
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
		case "refuse":
			c.undo = append(c.undo, c.reg.Refuse(t, connections...))
			if first == 0 {
				c.listener = "refusing"
			}
		case "silence":
			c.undo = append(c.undo, c.reg.Silence(t, connections...))
			if first == 0 {
				c.listener = "silent"
			}
		}
	})
	if after := failuresOf(c.reg.Err()); err == nil && len(after) > len(before) {
		return fail(http.StatusConflict, "%s", strings.Join(after[len(before):], "; "))
	}
	return err
}

// failuresOf returns the failures of a server.
func failuresOf(err error) (texts []string) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			texts = append(texts, strings.TrimPrefix(err.Error(), "registrytest: "))
		}
	}
	return texts
}
