package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the picture of imports in docs/architecture.md")

const module = "github.com/ocireg/registry"

// runsTests lists the packages that may import package testing.
var runsTests = []string{"registrytest/conformance", "registrytest/explore"}

// dependencies lists the modules that a program links if it imports this module.
// Only tests use testify.
var dependencies = []string{"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec"}

const maxFileLines = 400

// longFiles lists the files that may be longer than others, each with the reason.
var longFiles = map[string]string{}

// A pkg is a package in the output of go list.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// path returns the package's directory, relative to the root of the module.
func (p pkg) path() string { return rel(p.ImportPath) }

func rel(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

func internal(path string) bool { return strings.HasPrefix(path, "internal/") }

// root returns the absolute path of the module's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs the go command in the directory of the module.
func command(args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// listed returns the packages of the module and all packages that they import, by
// import path. The go command reads all of their files for that, so it runs once.
var listed = sync.OnceValues(func() (map[string]pkg, error) {
	out, err := command("list", "-deps", "-json=ImportPath,Dir,Name,Standard,Module,Imports,Deps,GoFiles", "./...")
	if err != nil {
		return nil, err
	}
	all := make(map[string]pkg)
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := decoder.Decode(&p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

// list returns the packages of the module, sorted, and all packages that they import.
func list(t *testing.T) (product []pkg, all map[string]pkg) {
	t.Helper()
	all, err := listed()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("the go command is not in PATH")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if ours(p.ImportPath) && p.path() != "internal/house" {
			product = append(product, p)
		}
	}
	slices.SortFunc(product, func(a, b pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return product, all
}

// Each package imports only the packages that rooms permits.
func TestArrows(t *testing.T) {
	may := make(map[string][]string)
	for _, room := range rooms {
		for _, path := range room.imports {
			if _, below := may[path]; !below {
				t.Errorf("%s may import %s, which is not below it", room.path, path)
			}
		}
		may[room.path] = room.imports
	}
	product, _ := list(t)
	for _, p := range product {
		allowed, known := may[p.path()]
		if !known && !internal(p.path()) {
			t.Errorf("%s: add the package to rooms, with the packages that it may import", p.path())
			continue
		}
		for _, path := range p.Imports {
			if ours(path) && !internal(rel(path)) && !slices.Contains(allowed, rel(path)) {
				t.Errorf("%s imports %s, which its room does not allow", p.path(), rel(path))
			}
		}
	}
}

// A program imports package testing only through the packages in runsTests.
func TestNoTesting(t *testing.T) {
	product, _ := list(t)
	for _, p := range product {
		if slices.Contains(runsTests, p.path()) || testOnly(p, product) {
			continue
		}
		for _, path := range p.Deps {
			if path == "testing" || strings.HasPrefix(path, "testing/") {
				t.Errorf("%s depends on package %s", p.path(), path)
			}
		}
	}
}

// testOnly reports whether the package is internal and only tests import it.
func testOnly(p pkg, product []pkg) bool {
	return internal(p.path()) && !slices.ContainsFunc(product, func(o pkg) bool {
		return slices.Contains(o.Imports, p.ImportPath)
	})
}

// The module, and its tests, depend only on a few other modules.
func TestDependencies(t *testing.T) {
	product, all := list(t)
	for _, p := range product {
		for _, path := range p.Deps {
			dep := all[path]
			if !dep.Standard && !ours(path) && (dep.Module == nil || !slices.Contains(dependencies, dep.Module.Path)) {
				t.Errorf("%s depends on package %s: move the code that imports it to a nested module", p.path(), path)
			}
		}
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	out, err := command("mod", "edit", "-json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	want := append(slices.Clone(dependencies), "github.com/stretchr/testify")
	slices.Sort(direct)
	slices.Sort(want)
	if !slices.Equal(direct, want) {
		t.Errorf("go.mod requires %v, want %v", direct, want)
	}
}

// No file of the checkout is so long that readers get lost in it, not even in
// tests and nested modules. Because the test reads all files, the go command runs
// this package's tests again when one changes.
func TestFilesAreShort(t *testing.T) {
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != dir && (strings.HasPrefix(name, ".") || name == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" && d.Name() != "go.mod" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		lines := bytes.Count(content, []byte("\n"))
		switch _, listed := longFiles[name]; {
		case lines > maxFileLines && !listed:
			t.Errorf("%s has %d lines, more than %d: divide it by its subjects", name, lines, maxFileLines)
		case lines <= maxFileLines && listed:
			t.Errorf("%s has %d lines: take it out of longFiles", name, lines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const (
	pictureBegin = "<!-- Generated by: go test ./internal/house -update -->\n```\n"
	pictureEnd   = "```\n<!-- end -->\n"
)

// The picture of imports in docs/architecture.md shows the imports of the code.
func TestPicture(t *testing.T) {
	product, _ := list(t)
	file := filepath.Join(root(t), "docs", "architecture.md")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(content), pictureBegin)
	_, after, ok2 := strings.Cut(rest, pictureEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the picture of imports, between %q and %q", file, pictureBegin, pictureEnd)
	}
	want := before + pictureBegin + picture(product) + pictureEnd + after
	if want == string(content) {
		return
	}
	if !*update {
		t.Fatal("the picture of imports in docs/architecture.md is out of date; run go test ./internal/house -update")
	}
	if err := os.WriteFile(file, []byte(want), 0o666); err != nil {
		t.Fatal(err)
	}
}

// picture returns the packages of the module, the highest first, each with the
// packages of the module that it imports.
func picture(product []pkg) string {
	byPath := make(map[string]pkg)
	for _, p := range product {
		byPath[p.path()] = p
	}
	var ordered []pkg
	for _, room := range slices.Backward(rooms) {
		if p, ok := byPath[room.path]; ok {
			ordered = append(ordered, p)
			delete(byPath, room.path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		ordered = append(ordered, byPath[path])
	}

	var b strings.Builder
	for _, p := range ordered {
		var users, shared []string
		for _, path := range p.Imports {
			switch {
			case !ours(path):
			case internal(rel(path)):
				shared = append(shared, strings.TrimPrefix(rel(path), "internal/"))
			default:
				users = append(users, name(rel(path)))
			}
		}
		fmt.Fprintln(&b, name(p.path()))
		if len(users) > 0 {
			fmt.Fprintf(&b, "    -> %s\n", strings.Join(users, ", "))
		}
		if len(shared) > 0 {
			fmt.Fprintf(&b, "    -> internal: %s\n", strings.Join(shared, ", "))
		}
	}
	return b.String()
}

// name returns the name of the package in the picture.
func name(path string) string {
	if path == "." {
		return "registry"
	}
	return path
}
