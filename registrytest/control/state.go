package control

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
)

// stateRoutes are the endpoints of everything else that a registry knows.
var stateRoutes = []route{
	{"POST /v1/tamper", (*Control).tamper},
	{"GET /v1/tamper", (*Control).listTampered},
	{"DELETE /v1/tamper", (*Control).mend},
	{"DELETE /v1/tamper/{id}", (*Control).mend},
	{"POST /v1/snapshots", (*Control).snapshot},
	{"GET /v1/snapshots", (*Control).listSnapshots},
	{"POST /v1/snapshots/{id}/restore", (*Control).restore},
	{"DELETE /v1/snapshots/{id}", (*Control).dropSnapshot},
	{"PUT /v1/users/{name}", (*Control).putUser},
	{"DELETE /v1/users/{name}", (*Control).revoke},
	{"DELETE /v1/tokens", (*Control).expireTokens},
	{"POST /v1/clock", (*Control).advance},
	{"POST /v1/reset", (*Control).reset},
}

// A tampering is a change of stored content.
type tampering struct {
	ID     string        `json:"id"`
	Repo   string        `json:"repo"`
	Digest digest.Digest `json:"digest"`
	undo   func()
	failed *tester // gets the failures of undo
}

func (c *Control) tamper(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	var in struct {
		Ref, Repo string
		Digest    digest.Digest
		Drop      bool
		Truncate  *int64
		Flip      *int64
		Replace   *string
	}
	if err := decode(body, false, &in); err != nil {
		return err
	}
	if in.Ref != "" {
		ref, err := names.ParseReference(in.Ref)
		if err != nil {
			return fail(http.StatusBadRequest, "ref: %v", err)
		}
		if in.Repo, in.Digest = ref.Repository, ref.Digest; in.Digest == "" {
			m, err := c.reg.Store.StatManifest(r.Context(), ref.Repository, ref.Tag)
			if err != nil {
				return err
			}
			in.Digest = m.Digest
		}
	}
	var ways []registrytest.Tampering
	if in.Drop {
		ways = append(ways, registrytest.Dropped())
	}
	if in.Truncate != nil && *in.Truncate >= 0 {
		ways = append(ways, registrytest.Truncated(*in.Truncate))
	}
	if in.Flip != nil && *in.Flip >= 0 {
		ways = append(ways, registrytest.BitFlipped(*in.Flip))
	}
	if in.Replace != nil {
		ways = append(ways, registrytest.Replaced([]byte(*in.Replace)))
	}
	if len(ways) != 1 {
		return fail(http.StatusBadRequest, "give one of drop, truncate, flip and replace; bytes are counted from 0")
	}
	tp := &tampering{Repo: in.Repo, Digest: in.Digest, failed: new(tester)}
	err = try(http.StatusNotFound, func(t *tester) {
		if t.Helper(); in.Digest.Validate() != nil {
			t.Fatalf("%q is not a digest", in.Digest)
		}
		tp.undo = c.reg.Tamper(t, in.Repo, in.Digest, ways[0])
		tp.failed = t
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	tp.ID = c.id("t")
	c.tampered = append(c.tampered, tp)
	c.mu.Unlock()
	return reply(w, http.StatusCreated, tp)
}

func (c *Control) listTampered(w http.ResponseWriter, r *http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return reply(w, http.StatusOK, map[string]any{"tampered": append([]*tampering{}, c.tampered...)})
}

// mend undoes one tampering, or all of them.
func (c *Control) mend(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r, "check"); err != nil {
		return err
	}
	id := r.PathValue("id")
	undone := c.takeTampered(func(tp *tampering) bool { return id == "" || tp.ID == id })
	if id != "" && undone == nil {
		return notFound("tampering", id)
	}
	err := check(r, func(t *tester) {
		for _, tp := range undone {
			tp.undo()
			t.failures = append(t.failures, tp.failed.failures...)
		}
	})
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// takeTampered removes the tamperings that match from the list, and returns them.
func (c *Control) takeTampered(match func(*tampering) bool) (taken []*tampering) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tampered = slices.DeleteFunc(c.tampered, func(tp *tampering) bool {
		if match(tp) {
			taken = append(taken, tp)
			return true
		}
		return false
	})
	return taken
}

// A snapshot is the content of the registry at one time.
type snapshot struct {
	ID    string    `json:"id"`
	Name  string    `json:"name,omitempty"`
	Taken time.Time `json:"taken"`
	store *memstore.Store
}

func (c *Control) snapshot(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	var in struct{ Name string }
	if err := decode(body, true, &in); err != nil {
		return err
	}
	store, err := c.memory()
	if err != nil {
		return err
	}
	c.mu.Lock()
	s := &snapshot{ID: c.id("s"), Name: in.Name, Taken: c.now(), store: store.Clone()}
	c.snapshots = append(c.snapshots, s)
	c.mu.Unlock()
	return reply(w, http.StatusCreated, s)
}

func (c *Control) listSnapshots(w http.ResponseWriter, r *http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return reply(w, http.StatusOK, map[string]any{"snapshots": append([]*snapshot{}, c.snapshots...)})
}

// takeSnapshot returns the snapshot with the ID or the name in the path, and
// removes it if drop is true.
func (c *Control) takeSnapshot(r *http.Request, drop bool) (*snapshot, error) {
	id := r.PathValue("id")
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range slices.Backward(c.snapshots) {
		if s.ID == id || s.Name == id {
			if drop {
				c.snapshots = slices.Delete(c.snapshots, i, i+1)
			}
			return s, nil
		}
	}
	return nil, notFound("snapshot", id)
}

func (c *Control) restore(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "session")
	if err != nil {
		return err
	}
	s, err := c.takeSnapshot(r, false)
	if err != nil {
		return err
	}
	of, err := parseSession(q.Get("session"))
	if err != nil {
		return err
	}
	store, err := c.memory()
	if err != nil {
		return err
	}
	store.Restore(s.store, of.hasRepo)
	if of == (session{}) {
		c.reg.ForgetUploads()
	}
	return reply(w, http.StatusOK, s)
}

func (c *Control) dropSnapshot(w http.ResponseWriter, r *http.Request) error {
	if _, err := c.takeSnapshot(r, true); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// users returns the authentication of the registry.
func (c *Control) authentication() (*auth.Auth, error) {
	if c.Auth == nil {
		return nil, fail(http.StatusConflict, "the registry has no authentication; start ocireg with -user, -allow or a profile that has it")
	}
	return c.Auth, nil
}

func (c *Control) putUser(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "config")
	if err != nil {
		return err
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	var in struct {
		Password string
		Rights   []string
	}
	if err := decode(body, true, &in); err != nil {
		return err
	}
	a, err := c.authentication()
	if err != nil {
		return err
	}
	user := auth.NewCredentials(r.PathValue("name"))
	if in.Password != "" {
		user.Password = in.Password
	}
	if in.Rights != nil && len(in.Rights) == 0 {
		return fail(http.StatusUnprocessableEntity, "rights is empty; leave it out for a user who may do everything, or give rights such as \"pull team/**\"")
	}
	// A user that is not valid would make the registry fail.
	for _, rights := range append([]string{"pull **"}, in.Rights...) {
		if _, err := auth.ParseRule(user.Username + " " + rights); err != nil {
			return fail(http.StatusUnprocessableEntity, "%v", err)
		}
	}
	if user.Username == "anonymous" || user.Username == "*" || strings.ContainsAny(user.Username, " \t\r\n") {
		return fail(http.StatusUnprocessableEntity, "%q cannot be the name of a user", user.Username)
	}
	c.outage.Lock()
	defer c.outage.Unlock()
	undo := a.Save()
	if err = a.AddUser(user, in.Rights...); err == nil {
		err = a.CheckStore(c.reg.Store)
	}
	if err != nil {
		undo()
		return fail(http.StatusUnprocessableEntity, "%v", err)
	}
	_, host, _ := strings.Cut(c.URL, "://")
	both := base64.StdEncoding.EncodeToString([]byte(user.Username + ":" + user.Password))
	config := map[string]any{"auths": map[string]any{host: map[string]string{"auth": both}}}
	if is(q, "config") {
		return reply(w, http.StatusOK, config)
	}
	return reply(w, http.StatusOK, map[string]any{"username": user.Username, "password": user.Password, "config": config})
}

func (c *Control) revoke(w http.ResponseWriter, r *http.Request) (err error) {
	a, err := c.authentication()
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	defer func() {
		if cause := recover(); cause != nil { // Revoke panics if it does not know the user.
			err = notFound("user", name)
		}
	}()
	a.Revoke(name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *Control) expireTokens(w http.ResponseWriter, r *http.Request) error {
	a, err := c.authentication()
	if err != nil {
		return err
	}
	a.ExpireTokens()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *Control) advance(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	var in struct{ Advance string }
	if err := decode(body, false, &in); err != nil {
		return err
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil || d < 0 || d > 10*365*24*time.Hour {
		return fail(http.StatusBadRequest, "advance: %.100q is not a duration up to ten years, such as \"6m\"", in.Advance)
	}
	c.age.Add(int64(d))
	return reply(w, http.StatusOK, map[string]string{"now": c.now().Format(time.RFC3339Nano)})
}
