package control

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/archive"
	"github.com/ocireg/registry/registrytest/content/recipe"
)

// contentRoutes are the endpoints of the content.
var contentRoutes = []route{
	{"GET /v1/content", "repo", (*Control).export},
	{"PUT /v1/content", "", (*Control).replaceContent},
	{"POST /v1/content", "", (*Control).addContent},
	{"POST /v1/snapshots", "", (*Control).takeSnapshot},
	{"GET /v1/snapshots", "", (*Control).listSnapshots},
	{"POST /v1/snapshots/{id}/restore", "session", (*Control).restoreSnapshot},
	{"DELETE /v1/snapshots/{id}", "", (*Control).dropSnapshot},
}

// addContent serves POST /v1/content: a recipe in JSON, or an archive.
func (c *Control) addContent(r *call) (any, error) {
	body := bufio.NewReader(r.Body)
	if first, _ := body.Peek(1); string(first) != "{" || r.Header.Get("Content-Type") == "application/x-tar" {
		refs, err := c.load(r.Context(), c.reg.Store, body)
		return created{map[string]any{"refs": refs}}, err
	}
	r.Body = io.NopCloser(body)
	var in recipe.Recipe
	if err := r.decode(&in); err != nil {
		return nil, err
	}
	built, err := in.Build(r.Context(), c.reg.Store, c.MaxImport)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	if err := content.Put(r.Context(), c.reg.Store, in.Ref, built); err != nil {
		return nil, err
	}
	return created{recipe.Summarize(in.Ref, built)}, nil
}

// replaceContent serves PUT /v1/content: the content is that of the archive
// afterwards, or stays the same if the archive is not valid.
func (c *Control) replaceContent(r *call) (any, error) {
	store, err := c.memory()
	if err != nil {
		return nil, err
	}
	other := memstore.New()
	refs, err := c.load(r.Context(), other, bufio.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	store.Restore(other, nil)
	return map[string]any{"refs": refs}, nil
}

// memory returns the store of the registry if its content can be replaced.
func (c *Control) memory() (*memstore.Store, error) {
	if s, ok := c.reg.Store.(*memstore.Store); ok {
		return s, nil
	}
	if c.behind() {
		return nil, fail(http.StatusConflict, "the content is that of the registry behind this one, so it cannot be replaced; serve a registry in memory and POST the content to it")
	}
	return nil, fail(http.StatusConflict, "the content of this registry is on disk, so it cannot be replaced; serve a registry in memory and POST the content to it")
}

// behind reports whether another registry carries out the operations.
func (c *Control) behind() bool {
	_, ok := c.reg.Store.(interface {
		Operate(http.ResponseWriter, *registry.Request) error
	})
	return ok
}

// load copies the images of an archive into the store, and returns their
// references.
func (c *Control) load(ctx context.Context, to registry.Store, body *bufio.Reader) ([]string, error) {
	file, err := os.CreateTemp("", "control-*.tar")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var in io.Reader = body
	if start, _ := body.Peek(2); bytes.Equal(start, []byte("\x1f\x8b")) {
		if in, err = gzip.NewReader(body); err != nil {
			return nil, fail(http.StatusBadRequest, "reading the archive: %v", err)
		}
	}
	n, err := io.Copy(file, io.LimitReader(in, c.MaxImport+1))
	switch {
	case n > c.MaxImport:
		return nil, fail(http.StatusRequestEntityTooLarge, "the archive has more than %d bytes, uncompressed", c.MaxImport)
	case err != nil:
		return nil, fail(http.StatusBadRequest, "reading the archive: %v", err)
	case n == 0:
		return nil, fail(http.StatusBadRequest, "the body is empty; send a tar file of image layouts, or JSON")
	}
	refs, err := archive.Import(ctx, to, file.Name())
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	} else if err != nil {
		return nil, fail(http.StatusBadRequest, "%s", strings.ReplaceAll(err.Error(), file.Name(), "the archive"))
	}
	return append([]string{}, refs...), nil
}

// export serves GET /v1/content.
func (c *Control) export(r *call) (any, error) {
	var repos []string
	for repo, err := range c.reg.Store.Repositories(r.Context(), "") {
		if err != nil {
			return nil, err
		}
		if !r.query.Has("repo") || names.MatchAny(r.list("repo"), repo) {
			repos = append(repos, repo)
		}
	}
	if repos == nil && r.query.Has("repo") {
		return nil, fail(http.StatusNotFound, "no repository matches %.200q", r.query["repo"])
	}
	w := &headWriter{ResponseWriter: r.w}
	if err := archive.Export(r.Context(), w, c.reg.Store, repos...); err != nil && !w.begun {
		return nil, err
	} else if err != nil {
		// The client must not take a part of the archive for all of it.
		panic(http.ErrAbortHandler)
	}
	return written{}, nil
}

// A headWriter writes the header of an archive before its first byte.
type headWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *headWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Content-Disposition", `attachment; filename="content.tar"`)
	}
	return w.ResponseWriter.Write(p)
}

// A snapshot is the content of the registry at one time.
type snapshot struct {
	ID    string    `json:"id"`
	Name  string    `json:"name,omitempty"`
	Taken time.Time `json:"taken"`
	store *memstore.Store
}

func (c *Control) takeSnapshot(r *call) (any, error) {
	var in struct{ Name string }
	if err := r.decode(&in); err != nil {
		return nil, err
	}
	store, err := c.memory()
	if err != nil {
		return nil, err
	}
	s := &snapshot{ID: c.id("s"), Name: in.Name, Taken: c.now(), store: store.Clone()}
	c.snapshots.add(s)
	return created{s}, nil
}

func (c *Control) listSnapshots(*call) (any, error) {
	return map[string]any{"snapshots": append([]*snapshot{}, c.snapshots.get(func(*snapshot) bool { return true })...)}, nil
}

// named returns a function that reports whether a snapshot has the ID or the name
// in the path of the request.
func named(r *call) func(*snapshot) bool {
	id := r.PathValue("id")
	return func(s *snapshot) bool { return s.ID == id || s.Name == id }
}

func (c *Control) restoreSnapshot(r *call) (any, error) {
	found := c.snapshots.get(named(r))
	if len(found) == 0 {
		return nil, notFound("snapshot", r.PathValue("id"))
	}
	store, err := c.memory()
	if err != nil {
		return nil, err
	}
	s := found[len(found)-1]
	store.Restore(s.store, r.session.hasRepo)
	if r.session == (session{}) {
		c.reg.ForgetUploads()
	}
	return s, nil
}

func (c *Control) dropSnapshot(r *call) (any, error) {
	if c.snapshots.take(named(r)) == nil {
		return nil, notFound("snapshot", r.PathValue("id"))
	}
	return nil, nil
}
