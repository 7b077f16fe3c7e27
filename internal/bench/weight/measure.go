package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A subject is a test that starts one server and pings it.
type subject struct {
	name    string
	imports []string
	server  string // statements that declare url and client
}

// The first subject is the base of sizes, the second that of CPU times.
var subjects = []subject{
	{"httptest", []string{"net/http", "net/http/httptest"}, `
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	url, client := server.URL, server.Client()`},
	{"ggcr", []string{"net/http/httptest", "github.com/google/go-containerregistry/pkg/registry"}, `
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	url, client := server.URL, server.Client()`},
	{"ocireg", []string{"github.com/ocireg/registry/registrytest"}, `
	reg := registrytest.NewServer(t)
	url, client := reg.URL, reg.Client()`},
}

func (s subject) source() string {
	var b strings.Builder
	b.WriteString("package weight\n\nimport (\n\t\"testing\"\n")
	for _, path := range s.imports {
		fmt.Fprintf(&b, "\t%q\n", path)
	}
	fmt.Fprintf(&b, ")\n\nfunc TestPing(t *testing.T) {%s\n", s.server)
	b.WriteString("\tresp, err := client.Get(url + \"/v2/\")\n\tif err != nil {\n\t\tt.Fatal(err)\n\t}\n\tresp.Body.Close()\n}\n")
	return b.String()
}

// A workspace is a module with a test package for each subject. It has the
// requirements of the benchmarks' module.
type workspace struct {
	dir    string
	primed string // a build cache with the standard library
}

// newWorkspace makes a workspace for the registry in the directory checkout,
// or for that of this repository if checkout is empty.
func newWorkspace(checkout string) (w *workspace, err error) {
	gomod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("looking for the module of the benchmarks: %w", err)
	}
	module := filepath.Dir(strings.TrimSpace(string(gomod)))
	if checkout == "" {
		checkout = filepath.Join(module, "..", "..")
	}
	if checkout, err = filepath.Abs(checkout); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "weight")
	if err != nil {
		return nil, err
	}
	w = &workspace{dir: dir, primed: filepath.Join(dir, "primed")}
	defer func() {
		if err != nil {
			w.remove()
		}
	}()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return nil, fmt.Errorf("reading the module of the benchmarks, in which this program has to run: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			return nil, err
		}
	}
	if _, err := w.run("", "mod", "edit", "-module=weight", "-replace=github.com/ocireg/registry="+checkout); err != nil {
		return nil, err
	}
	for _, s := range subjects {
		if err := w.write(s.name, s.source()); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// write makes a test package.
func (w *workspace) write(name, source string) error {
	if err := os.Mkdir(filepath.Join(w.dir, name), 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, name, "ping_test.go"), []byte(source), 0o666)
}

func (w *workspace) remove() { os.RemoveAll(w.dir) }

// run runs the go command with a build cache, or with the user's own one if
// cache is empty.
func (w *workspace) run(cache string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = w.dir
	// The copied go.mod has requirements that the subjects do not need, which
	// must not be an error.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if cache != "" {
		cmd.Env = append(cmd.Env, "GOCACHE="+cache)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// prime fills a build cache with those packages of the standard library that
// the subjects import, compiled and vetted.
func (w *workspace) prime() error {
	out, err := w.run("", "list", "-deps", "-test", "-f", "{{if .Standard}}{{.ImportPath}}{{end}}", "./...")
	if err != nil {
		return err
	}
	var source strings.Builder
	source.WriteString("package weight\n\nimport (\n")
	seen := make(map[string]bool)
	for _, path := range strings.Fields(string(out)) {
		internal := strings.HasPrefix(path, "vendor/") || strings.Contains("/"+path+"/", "/internal/")
		if !internal && !seen[path] {
			seen[path] = true
			fmt.Fprintf(&source, "\t_ %q\n", path)
		}
	}
	source.WriteString(")\n")
	if err := w.write("standard", source.String()); err != nil {
		return err
	}
	_, err = w.run(w.primed, "test", "-c", "-o", os.DevNull, "./standard")
	return err
}

// A result is the result of one run.
type result struct {
	cpu      map[string]time.Duration // by the kind of the work: build, vet, link
	packages map[string]time.Duration // CPU time to compile each package
	wall     time.Duration
	size     int64
}

// compile returns the CPU time to compile all packages.
func (r result) compile() time.Duration { return r.cpu["build"] }

// binary returns the file name of the subject's test binary.
func (w *workspace) binary(s subject) string { return filepath.Join(w.dir, s.name+".test") }

// measure builds the subject's test with a copy of the primed cache.
func (w *workspace) measure(s subject) (result, error) {
	cache, graph := filepath.Join(w.dir, "cache"), filepath.Join(w.dir, "graph.json")
	defer os.RemoveAll(cache)
	os.Remove(w.binary(s)) // Otherwise the go command would not link it again.
	if err := os.CopyFS(cache, os.DirFS(w.primed)); err != nil {
		return result{}, fmt.Errorf("copying the build cache: %w", err)
	}
	start := time.Now()
	if _, err := w.run(cache, "test", "-c", "-o", w.binary(s), "-debug-actiongraph="+graph, "./"+s.name); err != nil {
		return result{}, err
	}
	r := result{wall: time.Since(start), cpu: make(map[string]time.Duration), packages: make(map[string]time.Duration)}
	info, err := os.Stat(w.binary(s))
	if err != nil {
		return result{}, err
	}
	r.size = info.Size()
	content, err := os.ReadFile(graph)
	if err != nil {
		return result{}, err
	}
	return r, r.add(content)
}

// add adds the times in the log of the go command's actions.
func (r result) add(graph []byte) error {
	var actions []struct {
		Mode, Package   string
		CmdUser, CmdSys time.Duration
	}
	if err := json.Unmarshal(graph, &actions); err != nil {
		return fmt.Errorf("reading the actions of the go command: %w", err)
	}
	for _, a := range actions {
		cpu := a.CmdUser + a.CmdSys
		r.cpu[a.Mode] += cpu
		if a.Mode == "build" && cpu > 0 {
			r.packages[a.Package] += cpu
		}
	}
	return nil
}

// symbols returns the size of the symbols of the subject's test, by package.
func (w *workspace) symbols(s subject) (map[string]int64, error) {
	out, err := w.run("", "tool", "nm", "-size", w.binary(s))
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for line := range strings.Lines(string(out)) {
		// address, size, kind, name; undefined symbols have no address
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.EqualFold(fields[2], "b") {
			continue // zero data takes no space in the file
		}
		if size, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			sizes[packageOf(fields[3])] += size
		}
	}
	return sizes, nil
}

// packageOf returns the package that a symbol belongs to, or "(other)".
func packageOf(symbol string) string {
	if strings.HasPrefix(symbol, "go:") || strings.HasPrefix(symbol, "type:") {
		return "(types and tables)"
	}
	if i := strings.IndexAny(symbol, "[("); i >= 0 {
		symbol = symbol[:i]
	}
	slash := strings.LastIndexByte(symbol, '/') + 1
	dot := strings.IndexByte(symbol[slash:], '.')
	if dot < 0 {
		return "(other)"
	}
	return strings.ReplaceAll(symbol[:slash+dot], "%2e", ".")
}
