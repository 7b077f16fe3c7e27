package check

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// The repository and tag of the image in the registry of a run, and a reference
// that does not exist.
const (
	repoName = "team/app"
	tagName  = "v1"
	newRef   = "team/copy:v1"
)

// tags are the tags of the image in the registry, in lexical order.
var tags = []string{"base-20.04", "nightly", "release-1.9", "stable", tagName}

// image returns the image that the registry of each run has.
func image() content.Content {
	return content.Image(platform(), content.LayerSizes(20_000), content.Layers(1))
}

// localImage returns the image in the OCI image layout that {layout} names.
func localImage() content.Content {
	return content.Image(platform(), content.Seed(2), content.LayerSizes(150_000), content.Layers(1))
}

func platform() content.Part { return content.Platform("linux/" + runtime.GOARCH) }

// referrers returns the manifests in the registry whose subject is the image.
func referrers() []content.Content {
	return []content.Content{
		content.Artifact("application/vnd.example.first", content.Subject(image()), content.Annotation("org.example.number", "1")),
		content.Artifact("application/vnd.example.second", content.Subject(image()), content.Annotation("org.example.number", "2")),
	}
}

// referrersTag returns the tag for the image's referrers in a registry without
// the referrers API (distribution-spec, Referrers Tag Schema).
func referrersTag() string { return strings.Replace(string(image().Digest), ":", "-", 1) }

// referrersIndex returns the index that lists the image's referrers, for
// the referrers tag.
func referrersIndex() content.Content {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	index.SchemaVersion = 2
	for _, r := range referrers() {
		d := r.Descriptor()
		d.ArtifactType, d.Annotations = r.ArtifactType, r.Annotations
		index.Manifests = append(index.Manifests, d)
	}
	text, _ := json.Marshal(index) // Encoding cannot fail: the index has no raw JSON.
	return content.Raw(ocispec.MediaTypeImageIndex, text)
}

// A world is the registry and the files of one run. A scenario changes it before
// the registry starts.
type world struct {
	ctx     context.Context
	store   registry.Store
	options []registrytest.Option
	faults  inject.Rules
	login   auth.Credentials // the credentials for the client's config.json, if any
	err     error

	second *registrytest.Server // the other host, or nil
	home   string
}

func (w *world) with(opts ...registry.Option) {
	for _, o := range opts {
		w.options = append(w.options, o)
	}
}

// fault adds a fault rule for the registry. If the rule is not valid, the run fails.
func (w *world) fault(r fault.Rule) {
	_, err := w.faults.Add(r)
	w.fail(err)
}

func (w *world) put(ref string, c content.Content) {
	w.fail(content.Put(w.ctx, w.store, ref, c))
}

func (w *world) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// withoutReferrers disables the referrers API of the registry, and puts the
// content at the referrers tag of the image.
func (w *world) withoutReferrers(tagged content.Content) {
	w.with(registry.Without(registry.ListReferrers))
	w.put(repoName+":"+referrersTag(), tagged)
}

// other returns the URL of a second registry, with the same content, on another host.
// It starts the registry at the first call. The registry asks for no credentials.
func (w *world) other() string {
	if w.second == nil {
		var err error
		if w.second, err = registrytest.StartServer(registrytest.WithStore(w.store)); err != nil {
			w.fail(err)
			return "http://localhost:1"
		}
	}
	return strings.Replace(w.second.URL, "127.0.0.1", "localhost", 1)
}

// requireLogin makes the registry ask for credentials, which the client finds in
// Docker's config.json. It changes nothing if an imitated registry asks for
// credentials already.
func (w *world) requireLogin() {
	if w.login.Username == "" {
		basic := auth.Basic()
		w.login = basic.User("check")
		w.options = append(w.options, basic)
	}
}

// imitate adds the options and credentials of an imitated registry.
func (w *world) imitate(like Imitation) {
	w.options = append(w.options, like)
	if like.Auth() != nil {
		w.login = like.Credentials()
	}
}

// A contradictionError reports a scenario that the imitated registry cannot play.
type contradictionError struct {
	like string
	err  error
}

func (e *contradictionError) Error() string {
	return e.like + " cannot play this scenario: " + e.err.Error()
}

// watch is an option that makes the journal and the responses fit for package
// lint, but does not check any rules.
type watch struct{}

func (watch) Options() []registry.Option { return lint.Linter{}.Options() }
func (watch) Observe(j *journal.Journal) { lint.Linter{}.Observe(j) }

// A run is a command that ran, with the requests that it sent.
type run struct {
	task    Task
	command string
	execution
	requests  journal.Requests
	elsewhere journal.Requests // the requests at the second host
	store     registry.Store
}

// ok reports whether the command exited with 0 before its timeout.
func (r *run) ok() bool { return r.exit == 0 && !r.late }

// end describes how the command ended.
func (r *run) end() string {
	switch {
	case r.crash != "":
		return "it crashed: " + r.crash
	case r.late:
		return "it did not end in time"
	case r.exit == 0:
		return "it succeeded"
	}
	return fmt.Sprintf("its exit code is %d", r.exit)
}

// has reports whether a request for one of the operations succeeded. If the function
// about is not nil, it must return true for that request.
func (r *run) has(about func(*journal.Record) bool, ops ...registry.Op) bool {
	return slices.ContainsFunc(r.requests.Op(ops...).Records(), func(rec *journal.Record) bool {
		return !rec.Failed() && (about == nil || about(rec))
	})
}

// run runs the command of the task against a new registry. The function arrange
// changes the world of the run before the registry starts.
func (k *checker) run(ctx context.Context, task Task, arrange func(*world)) (_ *run, err error) {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	home, remove, err := makeHome()
	if err != nil {
		return nil, err
	}
	defer remove()
	w := &world{ctx: ctx, store: memstore.New(), home: home}
	for _, tag := range tags {
		w.put(repoName+":"+tag, image())
	}
	for _, r := range referrers() {
		w.put(repoName, r)
	}
	w.put("charts/app:"+chartVersion, Chart())
	if k.cfg.Imitate != nil {
		w.imitate(k.cfg.Imitate())
	}
	before := len(w.options)
	arrange(w)
	arranged := len(w.options) > before
	w.with(registry.WithFaults(w.faults.Inject))
	reg, err := registrytest.StartServer(append(w.options, registrytest.WithStore(w.store), watch{})...)
	if err != nil && arranged && k.cfg.Imitate != nil && w.err == nil {
		return nil, &contradictionError{k.cfg.Like, err}
	}
	if err != nil {
		return nil, errors.Join(w.err, err)
	}
	defer func() {
		err = errors.Join(err, reg.Close())
		if w.second != nil {
			err = errors.Join(err, w.second.Close())
		}
	}()
	values, err := w.files(reg)
	if err = errors.Join(w.err, err); err != nil {
		return nil, err
	}
	env := environment(home, expand(k.client.Env, values))
	for _, setup := range k.client.Setup {
		e, err := k.cfg.run(ctx, k.cfg.Timeout, env, expand(setup, values))
		if err != nil {
			return nil, fmt.Errorf("setup: %w", err)
		}
		if e.exit != 0 {
			return nil, fmt.Errorf("setup %q has exit code %d: %s", strings.Join(setup, " "), e.exit, e.output)
		}
	}
	args := expand(task.Args, values)
	e, err := k.cfg.run(ctx, k.cfg.Timeout, env, args)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.runs++
	k.mu.Unlock()
	r := &run{task: task, command: commandLine(args), execution: e, requests: reg.Requests(), store: w.store}
	if w.second != nil {
		r.elsewhere = w.second.Requests()
	}
	return r, nil
}

// files writes the files for the command, and returns the values of the placeholders.
func (w *world) files(reg *registrytest.Server) (map[string]string, error) {
	dir, layoutDir, file := filepath.Join(w.home, "out"), filepath.Join(w.home, "layout"), filepath.Join(w.home, "file.txt")
	config := `{"auths":{}}` // Podman fails if config.json does not exist.
	if w.login.Username != "" {
		both := base64.StdEncoding.EncodeToString([]byte(w.login.Username + ":" + w.login.Password))
		config = fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Host(), both)
	}
	if err := os.WriteFile(filepath.Join(dockerConfig(w.home), "config.json"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte("a file\n"), 0o600); err != nil {
		return nil, err
	}
	chartFile := filepath.Join(w.home, "app-"+chartVersion+".tgz")
	if err := os.WriteFile(chartFile, ChartFile(), 0o600); err != nil {
		return nil, err
	}
	if err := writeLayout(w.ctx, layoutDir); err != nil {
		return nil, fmt.Errorf("writing a layout: %w", err)
	}
	return map[string]string{
		"registry": reg.Host(),
		"url":      reg.URL,
		"ref":      reg.Ref(repoName + ":" + tagName),
		"repo":     reg.Ref(repoName),
		"name":     repoName,
		"tag":      tagName,
		"digest":   string(image().Digest),
		"layer":    string(image().Layers[0].Digest),
		"referrer": string(referrers()[0].Digest),
		"to":       reg.Ref(newRef),
		"layout":   layoutDir,
		"file":     file,
		"chart":    chartFile,
		"dir":      dir,
		"home":     w.home,
	}, nil
}

// writeLayout writes localImage to an OCI image layout in the directory.
func writeLayout(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"schemaVersion":2,"manifests":[]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	store, err := layout.Open(dir, layout.Repository("app"))
	if err != nil {
		return err
	}
	return errors.Join(content.Put(ctx, store, "app:"+tagName, localImage()), store.Close())
}
