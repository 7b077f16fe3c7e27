package differential

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/overlay"
)

// A Config is a kind of store and the model to compare it with.
type Config struct {
	Name string

	repos   []string
	stores  int  // the number of stores that have the directory open at once
	layout  bool // whether the store is one layout, and not a tree
	memory  bool // whether the model is a memstore, and not the type model
	overlay bool // whether to put an overlay with a memstore above the store instead of opening it again
	overlap bool // whether some content is pushed as a manifest and as a blob
	sparse  bool
}

// Configs returns all kinds of stores to compare.
func Configs() []Config {
	one, two := []string{"app"}, []string{"app", "team/app"}
	return []Config{
		{Name: "tree and memory", repos: two, stores: 1, memory: true},
		{Name: "tree and memory, sparse", repos: two, stores: 1, memory: true, sparse: true},
		{Name: "overlays and memory", repos: two, stores: 1, memory: true, overlay: true},
		{Name: "overlays and memory, sparse", repos: two, stores: 1, memory: true, overlay: true, sparse: true},
		{Name: "tree", repos: two, stores: 1, overlap: true},
		{Name: "tree, sparse", repos: two, stores: 1, overlap: true, sparse: true},
		{Name: "tree, two processes", repos: two, stores: 2},
		{Name: "layout of one repository", repos: one, stores: 1, layout: true, overlap: true},
		{Name: "layout of one repository, sparse", repos: one, stores: 1, layout: true, overlap: true, sparse: true},
		{Name: "layout of two repositories", repos: two, stores: 1, layout: true, overlap: true},
		{Name: "layout of two repositories, sparse", repos: two, stores: 1, layout: true, overlap: true, sparse: true},
		{Name: "layout of two repositories, two processes", repos: two, stores: 2, layout: true, sparse: true},
	}
}

// sequenceLength is the number of steps in a sequence.
const sequenceLength = 40

// Run runs the sequence with the seed, with stores in new directories below dir.
// If a response differs from the response of the model, it returns an error that
// describes the shortest sequence that it found with a difference.
func (c Config) Run(dir string, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	u := newUniverse(rng, c.repos, c.overlap)
	steps := u.steps(rng, sequenceLength, c.overlay || seed%2 == 0)
	difference, at, err := c.compare(dir, u, steps, seed)
	if err != nil || difference == "" {
		return err
	}
	steps = steps[:at+1]
	for i := at - 1; i >= 0; i-- {
		shorter := slices.Delete(slices.Clone(steps), i, i+1)
		if d, at, err := c.compare(dir, u, shorter, seed); err != nil {
			return err
		} else if d != "" {
			difference, steps = d, shorter[:at+1]
			i = min(i, at)
		}
	}
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	text := u.shorten(b.String() + difference)
	return fmt.Errorf("%s, seed %d: after %d steps\n%s%s", c.Name, seed, len(steps), text, u.mentioned(text))
}

// compare runs the steps with the stores and the model. It returns the first
// difference and the index of the step that showed it. The difference is "" if
// all responses are equal.
func (c Config) compare(dir string, u *universe, steps []step, seed uint64) (difference string, at int, err error) {
	r := &runner{Config: c}
	if r.dir, err = os.MkdirTemp(dir, "differential-"); err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(r.dir)
	defer func() {
		if closeErr := r.close(); err == nil {
			err = closeErr
		}
	}()
	if err := r.begin(); err != nil {
		return "", 0, err
	}
	for i, s := range steps {
		switch {
		case s.reopen:
			err = r.reopen()
		case s.sweep:
			for i, read := range u.read(rand.New(rand.NewPCG(s.chance, 0))) {
				read.chance = uint64(i)
				if difference, err = r.step(read); difference != "" || err != nil {
					break
				}
			}
		default:
			difference, err = r.step(s)
		}
		if err != nil {
			return "", i, fmt.Errorf("%s, seed %d: %s: %w", c.Name, seed, s, err)
		}
		if difference != "" {
			return difference, i, nil
		}
	}
	return "", 0, nil
}

// A runner has the stores and the model of one comparison.
type runner struct {
	Config
	dir      string
	stores   []*layout.Store
	above    registry.Store // the topmost overlay, or nil
	model    registry.Store
	handlers []http.Handler // the registries on the stores
	want     http.Handler   // the registry on the model
}

func (r *runner) begin() error {
	switch {
	case r.memory:
		r.model = memstore.New()
	case r.layout:
		r.model = newLayout(r.repos[0])
	default:
		r.model = newTree()
	}
	if r.layout {
		marker := []byte(`{"imageLayoutVersion":"1.0.0"}`)
		if err := os.WriteFile(r.dir+"/oci-layout", marker, 0o644); err != nil {
			return err
		}
	}
	return r.open()
}

func (r *runner) open() error {
	r.want = r.serve(r.model)
	for range r.Config.stores {
		s, err := layout.Open(r.dir, layout.Repository(r.repos[0]))
		if err != nil {
			return err
		}
		r.stores = append(r.stores, s)
		r.handlers = append(r.handlers, r.serve(s))
	}
	return nil
}

// serve returns a registry on a store, or on the model, with the options of the
// kind.
func (r *runner) serve(s registry.Store) http.Handler {
	if r.sparse {
		return registry.New(s, registry.WithSparseManifests())
	}
	return registry.New(s)
}

func (r *runner) close() error {
	for _, s := range r.stores {
		if err := s.Close(); err != nil {
			return err
		}
	}
	r.stores, r.handlers = nil, nil
	return nil
}

func (r *runner) reopen() error {
	if r.overlay {
		if r.above == nil {
			r.above = r.stores[0]
		}
		r.above = overlay.New(r.above, memstore.New())
		r.handlers = []http.Handler{r.serve(r.above)}
		return nil
	}
	if err := r.close(); err != nil {
		return err
	}
	if m, ok := r.model.(*model); ok {
		m.Reopen()
	}
	return r.open()
}

// step sends the requests of a step to the model and to one of the stores. It
// returns the difference of the responses, or "" if they are equal.
func (r *runner) step(s step) (string, error) {
	want, err := s.run(r.want)
	if err != nil {
		return "", err
	}
	got, err := s.run(r.handlers[s.chance%uint64(len(r.handlers))])
	if err != nil || got == want {
		return "", err
	}
	return fmt.Sprintf("%s\nwant %sgot  %s", s, want, got), nil
}

// shorten replaces each digest in a text by the short name of the blob or
// manifest.
func (u *universe) shorten(text string) string {
	var names []string
	for i, b := range u.blobs {
		names = append(names, string(b.digest), fmt.Sprintf("blob-%d", i))
	}
	for i, m := range u.manifests {
		names = append([]string{string(m.digest), fmt.Sprintf("manifest-%d", i)}, names...)
	}
	return strings.NewReplacer(names...).Replace(text)
}

// mentioned describes the manifests that a text names, and the manifests that
// those name.
func (u *universe) mentioned(text string) string {
	list := ""
	for i := len(u.manifests) - 1; i >= 0; i-- {
		if name := fmt.Sprintf("manifest-%d", i); strings.Contains(text+list, name) {
			m := u.manifests[i]
			list += u.shorten(fmt.Sprintf("%s is %s:\n  %s\n", name, m.mediaType, m.content))
		}
	}
	return list
}
