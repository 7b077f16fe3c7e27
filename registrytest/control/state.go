package control

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// stateRoutes are the endpoints of tamperings, users and the clock, and the reset.
var stateRoutes = []route{
	{"POST /v1/tamper", "", (*Control).tamper},
	{"GET /v1/tamper", "", (*Control).listTampered},
	{"DELETE /v1/tamper", "check", (*Control).mend},
	{"DELETE /v1/tamper/{id}", "check", (*Control).mend},
	{"PUT /v1/users/{name}", "config", (*Control).putUser},
	{"DELETE /v1/users/{name}", "", (*Control).revoke},
	{"DELETE /v1/tokens", "", (*Control).expireTokens},
	{"POST /v1/clock", "", (*Control).advance},
	{"POST /v1/reset", "session", (*Control).reset},
}

// A tampering is a change of stored content.
type tampering struct {
	ID     string        `json:"id"`
	Repo   string        `json:"repo"`
	Digest digest.Digest `json:"digest"`

	// undo undoes it. It reports to the tester that the change was made with.
	undo func()
	made *tester
}

func (c *Control) tamper(r *call) (any, error) {
	var in struct {
		Ref, Repo string
		Digest    digest.Digest
		Drop      bool
		Truncate  *uint32
		Flip      *uint32
		Replace   *string
	}
	if err := r.decode(&in); err != nil {
		return nil, err
	}
	if c.behind() {
		return nil, fail(http.StatusConflict, "the content is that of the registry behind this one, which reads it; set a fault with corrupt=0, or tamper there")
	}
	if in.Ref != "" {
		ref, err := names.ParseReference(in.Ref)
		if err != nil {
			return nil, fail(http.StatusBadRequest, "ref: %v", err)
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
		return nil, fail(http.StatusBadRequest, "give a ref, or a repo and a digest, and one of drop, truncate, flip and replace")
	}
	tp := &tampering{ID: c.id("t"), Repo: in.Repo, Digest: in.Digest}
	err := try(http.StatusNotFound, func(t *tester) {
		tp.undo, tp.made = c.reg.Tamper(t, in.Repo, in.Digest, ways[0]), t
	})
	if err != nil {
		return nil, err
	}
	c.tampered.add(tp)
	return created{tp}, nil
}

func (c *Control) listTampered(*call) (any, error) {
	return map[string]any{"tampered": append([]*tampering{}, c.tampered.get(func(*tampering) bool { return true })...)}, nil
}

// mend undoes one tampering, or all of them.
func (c *Control) mend(r *call) (any, error) {
	id := r.PathValue("id")
	undone := c.tampered.take(func(tp *tampering) bool { return id == "" || tp.ID == id })
	if id != "" && undone == nil {
		return nil, notFound("tampering", id)
	}
	return nil, r.check(func(t *tester) {
		for _, tp := range undone {
			tp.undo()
			t.failures = append(t.failures, tp.made.failures...)
		}
	})
}

// needAuth returns the authentication of the registry.
func (c *Control) needAuth() (*auth.Auth, error) {
	if c.Auth == nil {
		return nil, fail(http.StatusConflict, "the registry has no authentication; start ocireg with -user, -allow, -token or a profile that has it")
	}
	return c.Auth, nil
}

func (c *Control) putUser(r *call) (any, error) {
	var in struct {
		Password string
		Rights   []string
	}
	if err := r.decode(&in); err != nil {
		return nil, err
	}
	a, err := c.needAuth()
	if err != nil {
		return nil, err
	}
	user := auth.NewCredentials(r.PathValue("name"))
	if in.Password != "" {
		user.Password = in.Password
	}
	// A user that is not valid would make the registry fail, so another Auth tries
	// it first.
	if err = auth.Basic().AddUser(user, in.Rights...); err == nil && in.Rights != nil && len(in.Rights) == 0 {
		err = fail(http.StatusUnprocessableEntity, "rights is empty; leave it out for a user who may do everything")
	}
	c.outage.Lock()
	defer c.outage.Unlock()
	undo := a.Save()
	if err == nil {
		if err = a.AddUser(user, in.Rights...); err == nil {
			err = a.CheckStore(c.reg.Store)
		}
		if err != nil {
			undo()
		}
	}
	if err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "%v", err)
	}
	config := json.RawMessage(user.Config(c.host()))
	if r.is("config") {
		return config, nil
	}
	return map[string]any{"username": user.Username, "password": user.Password, "config": config}, nil
}

func (c *Control) revoke(r *call) (_ any, err error) {
	a, err := c.needAuth()
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // Revoke panics if it does not know the user.
			err = notFound("user", r.PathValue("name"))
		}
	}()
	a.Revoke(r.PathValue("name"))
	return nil, nil
}

func (c *Control) expireTokens(*call) (any, error) {
	a, err := c.needAuth()
	if err == nil {
		a.ExpireTokens()
	}
	return nil, err
}

// maxAdvance is the greatest time by which a request advances the clock.
const maxAdvance = 10 * 365 * 24 * time.Hour

func (c *Control) advance(r *call) (any, error) {
	var in struct{ Advance string }
	if err := r.decode(&in); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil || d < 0 || d > maxAdvance || time.Duration(c.age.Load())+d > maxAdvance {
		return nil, fail(http.StatusBadRequest, "advance: %.100q is not a duration up to ten years, such as \"6m\"", in.Advance)
	}
	c.age.Add(int64(d))
	return map[string]any{"now": c.now()}, nil
}

// kinds are the things that a reset resets.
var kinds = []string{"faults", "holds", "tamper", "listener", "clock", "users", "content", "snapshots", "requests"}

func (c *Control) reset(r *call) (any, error) {
	var in struct {
		Keep    []string
		Session string
	}
	err := r.decode(&in)
	if err == nil && in.Session != "" {
		r.session, err = parseSession(in.Session)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range in.Keep {
		if !slices.Contains(kinds, name) {
			return nil, fail(http.StatusBadRequest, "keep: nothing is called %.100q; a reset has %s", name, strings.Join(kinds, ", "))
		}
	}
	s := r.session
	all := s == session{}
	does := func(kind string) bool { return !slices.Contains(in.Keep, kind) }
	content := does("content") && s.name == ""
	if content && c.behind() {
		return nil, fail(http.StatusConflict, `the content is that of the registry behind this one, so it cannot be reset; reset the rest with {"keep": ["content"]}`)
	}
	if content && c.start == nil {
		return nil, fail(http.StatusConflict, `the content of this registry is on disk, so it cannot be reset; reset the rest with {"keep": ["content"]}`)
	}
	if all && does("listener") {
		if err := c.change("start", 0); err != nil {
			return nil, err
		}
	}
	for _, f := range c.rules.take(func(f *rule) bool {
		return does(map[bool]string{true: "holds", false: "faults"}[f.gate != nil]) && (all || f.session == s)
	}) {
		f.remove(new(tester))
	}
	if does("tamper") {
		for _, tp := range c.tampered.take(func(tp *tampering) bool { return s.hasRepo(tp.Repo) }) {
			tp.undo()
		}
	}
	if content {
		store, err := c.memory()
		if err != nil {
			return nil, err
		}
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
	if does("snapshots") {
		c.snapshots.take(func(*snapshot) bool { return true })
	}
	if does("faults") {
		return nil, c.addStartRules()
	}
	return nil, nil
}
