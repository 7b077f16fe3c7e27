// Released shows that a module outside of a checkout can use the modules that users
// see, as they will be once they are published: without the replace lines of their
// go.mod files.
//
//	cd internal/tools && go run ./released -version v0.1.0
//
// It packs the main module and the adapters into a module proxy, which is a
// directory, according to the rules for modules. With an empty module cache, a new
// module then requires them from the proxy. It installs ocireg, and runs its own
// test and the tests of the adapters.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const root = "github.com/ocireg/registry"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	checkout := flag.String("checkout", "../..", "the `DIR` of the main module")
	version := flag.String("version", "v0.1.0", "the `VERSION` of all modules")
	adapters := flag.String("adapters", "ggcr,oras,containerd", "the `NAMES` of the adapters to use")
	flag.Parse()
	if err := run(ctx, *checkout, *version, strings.Split(*adapters, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "released:", err)
		os.Exit(1)
	}
}

// run publishes the modules, uses them from a new module, and checks the version that
// ocireg prints.
func run(ctx context.Context, checkout, version string, adapters []string) (err error) {
	scratch, err := os.MkdirTemp("", "released-")
	if err != nil {
		return err
	}
	// Directories in a module cache are read-only, so their files cannot be removed.
	defer func() {
		err = errors.Join(err, makeWritable(scratch), os.RemoveAll(scratch))
	}()
	proxy := filepath.Join(scratch, "proxy")
	if err := publish(proxy, root, version, checkout); err != nil {
		return err
	}
	paths := []string{root}
	var sums []byte
	for _, name := range adapters {
		dir := filepath.Join(checkout, "adapters", name)
		if err := publish(proxy, root+"/adapters/"+name, version, dir); err != nil {
			return err
		}
		sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
		if err != nil {
			return err
		}
		paths, sums = append(paths, root+"/adapters/"+name), append(sums, sum...)
	}

	downloads, err := output(ctx, checkout, nil, "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return err
	}
	cache, upstream, _ := strings.Cut(strings.TrimSpace(downloads), "\n")
	env := []string{
		"GOMODCACHE=" + filepath.Join(scratch, "cache"),
		"GOBIN=" + filepath.Join(scratch, "bin"),
		"GOPROXY=file://" + filepath.ToSlash(proxy) + ",file://" + filepath.ToSlash(filepath.Join(cache, "cache", "download")) + "," + upstream,
		"GONOSUMDB=" + root,
		// With -trimpath, compiled packages do not contain the path of the scratch
		// directory, so the next run finds them in the build cache.
		"GOFLAGS=-mod=mod -trimpath", "CGO_ENABLED=0", "GOWORK=off",
	}
	consumer := filepath.Join(scratch, "consumer")
	if err := write(consumer, paths, version, sums); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"install", root + "/cmd/ocireg"},
		append([]string{"test", "."}, paths[1:]...),
		{"list", "-m", "-f", "{{.Path}} {{.Version}}{{with .Replace}} => {{.Path}}{{end}}", root + "/..."},
	} {
		out, err := output(ctx, consumer, env, args...)
		fmt.Printf("go %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(scratch, "bin", "ocireg"), "-version").Output()
	fmt.Printf("ocireg -version\n%s", out)
	if err == nil && !strings.HasPrefix(string(out), "ocireg "+version+" ") {
		err = fmt.Errorf("ocireg does not have the version %s", version)
	}
	return err
}

// publish adds a module to the proxy. It removes the replace lines from the go.mod.
func publish(proxy, path, version, dir string) error {
	name := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	mod, err := modfile.Parse(name, text, nil)
	if err != nil {
		return err
	}
	for _, r := range slices.Clone(mod.Replace) {
		if err := mod.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return err
		}
	}
	for _, r := range mod.Require {
		if strings.HasPrefix(r.Mod.Path, root) && r.Mod.Version != version {
			return fmt.Errorf("%s requires %s, not %s; go mod edit -require=%s@%s", name, r.Mod, version, r.Mod.Path, version)
		}
	}
	if text, err = mod.Format(); err != nil {
		return err
	}
	// The function zip.CreateFromDir packs all files of a directory, so it gets a copy
	// that has only the files of the module.
	copied, err := os.MkdirTemp(filepath.Dir(proxy), "module-")
	if err != nil {
		return err
	}
	if err := copyModule(copied, dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(copied, "go.mod"), text, 0o600); err != nil {
		return err
	}

	at := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	archive, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		return err
	}
	if err := errors.Join(zip.CreateFromDir(archive, module.Version{Path: path, Version: version}, copied), archive.Close()); err != nil {
		return fmt.Errorf("packing %s: %w", path, err)
	}
	info := fmt.Sprintf("{\"Version\": %q, \"Time\": %q}\n", version, time.Now().UTC().Format(time.RFC3339))
	for name, text := range map[string]string{"list": version + "\n", version + ".info": info, version + ".mod": string(text)} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// copyModule copies the files of a module, except those of Git and of nested modules.
func copyModule(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch _, nested := os.Stat(filepath.Join(path, "go.mod")); {
		case d.Name() == ".git" && d.IsDir(), d.IsDir() && name != "." && nested == nil:
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case d.Name() == ".git" || !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o600)
	})
}

// write writes a module that requires the given modules and imports a package of each.
func write(dir string, paths []string, version string, sums []byte) error {
	mod, source := "module example.com/consumer\n\ngo 1.26.6\n\n", "package consumer\n\nimport (\n"
	for _, path := range paths {
		mod += fmt.Sprintf("require %s %s\n", path, version)
		if path != root {
			source += fmt.Sprintf("\t_ %q\n", path)
		}
	}
	source += fmt.Sprintf("\t_ %q\n)\n", root)
	for name, text := range map[string]string{
		"go.mod": mod, "go.sum": string(sums), "consumer.go": source, "consumer_test.go": consumerTest,
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const consumerTest = `package consumer

import (
	"net/http"
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

func TestPull(t *testing.T) {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", content.Image())
	resp, err := http.Get(reg.URL + "/v2/team/app/manifests/v1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}
`

// output runs the go command in a directory and returns its output.
func output(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), err
}

// makeWritable makes a directory and all directories below it writable, which the
// removal of their files requires.
func makeWritable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
}
