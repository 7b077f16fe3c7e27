package control

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/jsonapi"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/trial"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// An object is a JSON object of a response.
type object = map[string]any

// An item is a fault, a hold, a tampering or a snapshot. Clients create it, read
// it by its ID, and remove it.
type item struct {
	kind     string // kind in its path: faults, holds, tamper or snapshots
	id, name string
	session  session
	show     func() object
	remove   func(t *trial.T) // undoes the item; reports to t if the item had no effect

	gate  *inject.Gate    // gate of a hold, otherwise nil
	store *memstore.Store // content of a snapshot, otherwise nil
}

// object returns the item as a JSON object.
func (i *item) object() object {
	o := i.show()
	o["id"] = i.id
	return o
}

// in reports whether the item belongs to the session. All items belong to the
// zero session.
func (i *item) in(s session) bool {
	if i.kind == "tamper" {
		return s.hasRepo(i.session.repo)
	}
	return s == session{} || i.session == s
}

// kind returns the kind of items in the path of the request, such as "faults".
func (r *call) kind() string { return strings.Split(r.URL.Path, "/")[2] }

// names reports whether the request selects the item, by its kind, its ID or
// name, and its session.
func (r *call) names(i *item) bool {
	id := r.PathValue("id")
	// A snapshot belongs to no session. For snapshots, the session of the
	// request selects the content to restore.
	return i.kind == r.kind() && (id == "" || i.id == id || i.name == id) && (i.kind == "snapshots" || i.in(r.session))
}

// add stores the item in c and gives it a new ID.
func (c *Control) add(kind string, i *item) *item {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids++
	i.kind, i.id = kind, kind[:1]+strconv.Itoa(c.ids)
	c.items = append(c.items, i)
	return i
}

// find returns the items for which match returns true, oldest first. If take is
// true, it also removes them from c.
func (c *Control) find(match func(*item) bool, take bool) (found []*item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items = slices.DeleteFunc(c.items, func(i *item) bool {
		matches := match(i)
		if matches {
			found = append(found, i)
		}
		return matches && take
	})
	return found
}

// one returns a handler for requests that name one item by its ID or name. The
// handler calls serve with the newest such item.
func one(serve func(*Control, *call, *item) (any, error)) handler {
	return func(c *Control, r *call) (any, error) {
		found := c.find(r.names, false)
		if len(found) == 0 {
			return nil, r.unknown()
		}
		return serve(c, r, found[len(found)-1])
	}
}

// unknown returns the error for an ID or name that no item has.
func (r *call) unknown() error {
	return jsonapi.Fail(http.StatusNotFound, "/v1/%s has no %.100q; a reset may have removed it", r.kind(), r.PathValue("id"))
}

// list serves GET /v1/faults and the lists of the other kinds of items.
func (c *Control) list(r *call) (any, error) {
	list := []object{}
	for _, i := range c.find(r.names, false) {
		list = append(list, i.object())
	}
	if r.kind() == "tamper" {
		return object{"tampered": list}, nil
	}
	return object{r.kind(): list}, nil
}

// get serves GET /v1/faults/ID and GET /v1/holds/ID. With the parameter wait, it
// waits until count requests wait at the gate, or until the gate opens.
func (c *Control) get(r *call, i *item) (any, error) {
	d, count := r.Duration("wait", 0), r.Number("count", 1, 1)
	if r.Err == nil && d > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		if i.gate.Await(ctx, count) != nil {
			r.Err = jsonapi.Fail(http.StatusGatewayTimeout, "waited %v for the gate %q: %d of %d requests wait at it", d, i.gate, len(i.gate.Waiting()), count)
		}
	}
	return i.object(), r.Err
}

// release serves POST /v1/holds/ID/release: it lets the held requests continue.
func (c *Control) release(_ *call, i *item) (any, error) {
	i.gate.Release()
	return i.object(), nil
}

// remove serves DELETE /v1/faults, DELETE /v1/faults/ID, and the same for other
// kinds of items. With the parameter check, the response is an error if an item
// had no effect.
func (c *Control) remove(r *call) (any, error) {
	removed := c.find(r.names, true)
	if len(removed) == 0 && r.PathValue("id") != "" {
		return nil, r.unknown()
	}
	err := trial.Run(func(t *trial.T) {
		for _, i := range removed {
			i.remove(t)
		}
	})
	if err != nil && r.Is("check") {
		return nil, jsonapi.Fail(http.StatusConflict, "%w", err)
	}
	return nil, nil
}

// addRule serves POST /v1/faults and POST /v1/holds. The body is the text of a
// rule, or a JSON object with a rule and a session.
func (c *Control) addRule(r *call) (any, error) {
	text, err := r.Text()
	if strings.HasPrefix(text, "{") {
		in := struct {
			Rule    string
			Session session
		}{Session: r.session}
		err = jsonapi.Decode(text, &in)
		text, r.session = in.Rule, in.Session
	}
	if err != nil {
		return nil, err
	}
	i, err := c.newRule(r.kind(), text, r.session)
	if err != nil {
		e := jsonapi.Fail(http.StatusUnprocessableEntity, "%w", err)
		if syntax := (*fault.SyntaxError)(nil); errors.As(err, &syntax) {
			e.Members = object{"position": syntax.Offset}
		}
		return nil, e
	}
	return i.object(), nil
}

// newRule adds a fault or a hold with the rule, for the requests of the session.
func (c *Control) newRule(kind, text string, s session) (*item, error) {
	rule, err := fault.Parse(text)
	if err != nil {
		return nil, err
	}
	i := &item{session: s}
	var f *inject.Fault
	if rule = s.limit(rule); kind == "faults" {
		f, err = c.faults.Add(rule)
	} else if i.gate, err = c.faults.Gate(rule); err == nil {
		f = i.gate.Fault
	}
	if err != nil {
		return nil, err
	}
	i.show = func() object {
		o := object{"rule": f.String(), "fired": f.Fired()}
		if s != (session{}) {
			o["session"] = s.String()
		}
		if i.gate != nil {
			o["waiting"], o["released"] = append([]string{}, i.gate.Waiting()...), i.gate.Released()
		}
		return o
	}
	i.remove = func(t *trial.T) {
		f.Remove()
		if i.gate != nil {
			i.gate.Release()
		}
		f.Check(t)
	}
	return c.add(kind, i), nil
}

// addStartRules adds the rules in Config.Faults.
func (c *Control) addStartRules() error {
	for _, text := range c.config.Faults {
		if _, err := c.newRule("faults", text, session{}); err != nil {
			return err
		}
	}
	return nil
}

// A newTampering is the body of POST /v1/tamper.
type newTampering struct {
	Ref, Repo      string
	Digest         digest.Digest
	Drop           bool
	Truncate, Flip *uint32
	Replace        *string
}

// tamper serves POST /v1/tamper: it damages stored content.
func (c *Control) tamper(r *call, in newTampering) (any, error) {
	if c.behind() {
		return nil, jsonapi.Fail(http.StatusConflict, "the content is that of the registry behind this one; set a fault with corrupt=0, or tamper with the content of that registry")
	}
	if in.Ref != "" {
		ref, err := names.ParseReference(in.Ref)
		if err != nil {
			return nil, jsonapi.Bad("ref: %w", err)
		}
		if in.Repo, in.Digest = ref.Repository, ref.Digest; in.Digest == "" {
			m, err := c.reg.Store.StatManifest(r.Context(), ref.Repository, ref.Tag)
			if err != nil {
				return nil, err
			}
			in.Digest = m.Digest
		}
	}
	var ways []registrytest.Tampering
	if in.Drop {
		ways = append(ways, registrytest.Dropped())
	}
	if in.Truncate != nil {
		ways = append(ways, registrytest.Truncated(int64(*in.Truncate)))
	}
	if in.Flip != nil {
		ways = append(ways, registrytest.BitFlipped(int64(*in.Flip)))
	}
	if in.Replace != nil {
		ways = append(ways, registrytest.Replaced([]byte(*in.Replace)))
	}
	if len(ways) != 1 || in.Digest.Validate() != nil {
		return nil, jsonapi.Bad("give a ref, or a repo and a digest, and one of drop, truncate, flip and replace")
	}
	i := &item{session: session{repo: in.Repo}, show: func() object { return object{"repo": in.Repo, "digest": in.Digest} }}
	err := trial.Run(func(made *trial.T) {
		undo := c.reg.Tamper(made, in.Repo, in.Digest, ways[0])
		i.remove = func(t *trial.T) {
			undo() // The undo function reports its failures to made, not to t.
			t.Failures = append(t.Failures, made.Failures...)
		}
	})
	if err != nil {
		return nil, jsonapi.Fail(http.StatusNotFound, "%w", err)
	}
	return c.add("tamper", i).object(), nil
}
