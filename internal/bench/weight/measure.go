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

// A subject is a test that starts the server of one registry and pings it.
type subject struct {
	name    string
	imports []string
	server  string // the statements that start the server and declare url and client
}

// subjects has the tests to measure. Binary sizes are compared with the first, CPU
// times with the second.
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

// A workspace is a temporary module with a test package for each subject. Its
// requirements are those of the module of the benchmarks.
type workspace struct {
	dir    string
	primed string // the directory of a build cache that holds the standard library
}

// newWorkspace makes a workspace that uses the registry in the directory checkout,
// or the registry of this repository if checkout is empty.
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

// write writes a test package to the workspace.
func (w *workspace) write(name, source string) error {
	if err := os.Mkdir(filepath.Join(w.dir, name), 0o777); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, name, "ping_test.go"), []byte(source), 0o666)
}

func (w *workspace) remove() { os.RemoveAll(w.dir) }

// run runs the go command in the workspace with the given build cache, or with
// the cache of the user if cache is empty. It returns the output.
func (w *workspace) run(cache string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = w.dir
	// Let the go command change the copied go.mod, which requires more than the
	// subjects need.
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

// prime compiles and vets the packages of the standard library that the subjects
// import, and keeps the results in w.primed.
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

// A result is the result of building one subject once.
type result struct {
	cpu      map[string]time.Duration // by the kind of work: build, vet or link
	packages map[string]time.Duration // the CPU time to compile each package
	wall     time.Duration
	size     int64
}

func (r result) compile() time.Duration { return r.cpu["build"] }

func (w *workspace) binary(s subject) string { return filepath.Join(w.dir, s.name+".test") }

// measure builds the subject's test with a copy of the primed build cache, and
// returns the times and the size of the binary.
func (w *workspace) measure(s subject) (result, error) {
	cache, graph := filepath.Join(w.dir, "cache"), filepath.Join(w.dir, "graph.json")
	defer os.RemoveAll(cache)
	os.Remove(w.binary(s)) // Without the binary, the go command links it again.
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

// add adds the CPU times in the action graph that the go command wrote.
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

// symbols returns the total size of the symbols in the subject's test binary, by
// package.
func (w *workspace) symbols(s subject) (map[string]int64, error) {
	out, err := w.run("", "tool", "nm", "-size", w.binary(s))
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for line := range strings.Lines(string(out)) {
		// A line has the address, size, kind and name of a symbol. Undefined symbols
		// have no address.
		fields := strings.Fields(line)
		if len(fields) < 4 || strings.EqualFold(fields[2], "b") {
			continue // zeroed data, which takes no space in the file
		}
		if size, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			sizes[packageOf(fields[3])] += size
		}
	}
	return sizes, nil
}

// packageOf returns the import path of the package that a symbol belongs to, or
// a name in parentheses for other symbols.
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
