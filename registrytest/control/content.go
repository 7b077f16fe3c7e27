package control

import (
	"bufio"
	"io"
	"net/http"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/jsonapi"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/internal/recipe"
	"github.com/ocireg/registry/internal/trial"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/archive"
)

// addContent serves POST /v1/content: it adds content from a recipe in JSON or
// from an archive.
func (c *Control) addContent(r *call) (any, error) {
	start := bufio.NewReader(r.Body)
	first, _ := start.Peek(1)
	r.Body = io.NopCloser(start)
	if string(first) == "{" && r.Header.Get("Content-Type") != "application/x-tar" {
		return body((*Control).build)(c, r)
	}
	return c.load(r, c.reg.Store)
}

func (c *Control) build(r *call, in recipe.Recipe) (any, error) {
	built, err := in.Build(r.Context(), c.reg.Store, c.config.MaxImport)
	if err != nil {
		return nil, jsonapi.Bad("%w", err)
	}
	return recipe.Summarize(in.Ref, built), content.Put(r.Context(), c.reg.Store, in.Ref, built)
}

// load copies the images of the archive in the request body into the store.
func (c *Control) load(r *call, to registry.Store) (any, error) {
	refs, err := archive.ImportFrom(r.Context(), to, r.Body, c.config.MaxImport)
	if err != nil {
		return nil, jsonapi.Bad("%w", err)
	}
	return object{"refs": append([]string{}, refs...)}, nil
}

// replaceContent serves PUT /v1/content: it replaces the registry's content with
// that of the archive in the body. If the archive is invalid, nothing changes.
func (c *Control) replaceContent(r *call) (any, error) {
	store, err := c.memory()
	if err != nil {
		return nil, err
	}
	other := memstore.New()
	refs, err := c.load(r, other)
	if err == nil {
		store.Restore(other, nil)
	}
	return refs, err
}

// memory returns the registry's store if it is in memory. Other stores have no
// snapshots and cannot be reset, so it returns an error for them.
func (c *Control) memory() (*memstore.Store, error) {
	if s, ok := c.reg.Store.(*memstore.Store); ok {
		return s, nil
	}
	where := "on disk"
	if c.behind() {
		where = "that of the registry behind this one"
	}
	return nil, jsonapi.Fail(http.StatusConflict, "the content is %s, so it has no snapshots, cannot be replaced and cannot be reset; "+
		`POST a tar file of it to a registry in memory, or reset the rest with {"keep": ["content"]}`, where)
}

// behind reports whether the registry is a proxy, whose content is in another
// registry.
func (c *Control) behind() bool {
	_, ok := c.reg.Store.(interface {
		Operate(http.ResponseWriter, *registry.Request) error
	})
	return ok
}

// export serves GET /v1/content: the repositories as a tar archive.
func (c *Control) export(r *call) (any, error) {
	var repos []string
	patterns, some := r.List("repo"), r.Query.Has("repo")
	for repo, err := range c.reg.Store.Repositories(r.Context(), "") {
		if err != nil {
			return nil, err
		}
		if !some || names.MatchAny(patterns, repo) {
			repos = append(repos, repo)
		}
	}
	switch {
	case r.Err != nil:
		return nil, r.Err
	case repos == nil && some:
		return nil, jsonapi.Fail(http.StatusNotFound, "no repository matches %.200q", patterns)
	}
	r.Response.Header().Set("Content-Type", "application/x-tar")
	r.Response.Header().Set("Content-Disposition", `attachment; filename="content.tar"`)
	return nil, archive.Export(r.Context(), r.Response, c.reg.Store, repos...)
}

// takeSnapshot serves POST /v1/snapshots: it keeps a copy of the content.
func (c *Control) takeSnapshot(r *call, in struct{ Name string }) (any, error) {
	store, err := c.memory()
	if err != nil {
		return nil, err
	}
	now := c.now()
	i := &item{name: in.Name, store: store.Clone(), remove: func(*trial.T) {}, show: func() object {
		if in.Name == "" {
			return object{"taken": now}
		}
		return object{"taken": now, "name": in.Name}
	}}
	return c.add("snapshots", i).object(), nil
}

// restoreSnapshot serves POST /v1/snapshots/ID/restore: it restores the content,
// or that of one session.
func (c *Control) restoreSnapshot(r *call, i *item) (any, error) {
	if r.session.name != "" {
		return nil, jsonapi.Bad("the session %q is a header, which has no content; give the name of a repository", r.session)
	}
	store, err := c.memory()
	if err != nil {
		return nil, err
	}
	store.Restore(i.store, r.session.hasRepo)
	if r.session == (session{}) {
		c.reg.ForgetUploads()
	}
	return i.object(), nil
}
