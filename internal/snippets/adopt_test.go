package snippets

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A user's module that follows the README gets this module and the two modules
// that it depends on. Nothing else in its go.mod changes. This test type-checks
// the README's test, and TestGo runs it.
func TestAdoption(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	user := filepath.Join(dir, "user")
	if err := os.Symlink(root(t), filepath.Join(dir, "registry")); err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(user, 0o777); err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(user, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(user, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(content), "\n")
	}
	command := func(args ...string) (string, error) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = user
		cmd.Env = append(os.Environ(), "GOFLAGS=-trimpath", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}

	write("go.mod", "module example.com/user\n\ngo 1.25\n\nrequire github.com/stretchr/testify v1.9.0\n")
	write("user_test.go", `package user

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUser(t *testing.T) { require.True(t, true) }
`)
	if out, err := command("go", "mod", "tidy"); err != nil {
		t.Skipf("the modules of a user cannot be downloaded: %s", out)
	}
	mod, sum := read("go.mod"), read("go.sum")

	recipe, test := readme(t)
	for line := range strings.Lines(recipe) {
		if out, err := command(strings.Fields(line)...); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	if err := os.Mkdir(filepath.Join(user, "client"), 0o777); err != nil {
		t.Fatal(err)
	}
	write("client/client_test.go", test)

	// The build cache has nothing for the path of the symbolic link, so go vet
	// uses the path of the checkout.
	const there = "-replace=github.com/ocireg/registry="
	for _, args := range [][]string{
		{"go", "mod", "edit", there + root(t)},
		{"go", "vet", "./..."},
		{"go", "mod", "edit", there + "../registry"},
	} {
		if out, err := command(args...); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	if out, err := command("go", "mod", "tidy"); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}

	compare(t, "go.mod", mod, read("go.mod"),
		"require (", ")",
		"github.com/ocireg/registry v0.0.0",
		"github.com/opencontainers/go-digest v1.0.0 // indirect",
		"github.com/opencontainers/image-spec v1.1.1 // indirect",
		"replace github.com/ocireg/registry => ../registry")
	compare(t, "go.sum", sum, read("go.sum"),
		"github.com/opencontainers/go-digest v1.0.0", "github.com/opencontainers/go-digest v1.0.0/go.mod",
		"github.com/opencontainers/image-spec v1.1.1", "github.com/opencontainers/image-spec v1.1.1/go.mod")
}

// readme returns the commands and the test at the beginning of the README.
func readme(t *testing.T) (recipe, test string) {
	t.Helper()
	for _, s := range all(t) {
		switch {
		case s.file != "README.md":
		case s.kind == "sh" && strings.Contains(s.code, "-replace"):
			recipe = s.code
		case s.kind == "go" && test == "":
			test = s.code
		}
	}
	if recipe == "" || !strings.HasPrefix(test, "package ") {
		t.Fatal("the README has no commands with -replace, or its first Go snippet is not a file")
	}
	return recipe, test
}

// compare fails the test unless the lines after are the lines before plus one line
// for each prefix in added. White space and the order of lines do not matter.
func compare(t *testing.T, file string, before, after []string, added ...string) {
	t.Helper()
	left := slices.Clone(added)
	for _, line := range after {
		text := strings.TrimSpace(line)
		matches := func(s string) bool { return strings.Join(strings.Fields(s), " ") == text }
		if text == "" {
			continue
		}
		if i := slices.IndexFunc(before, func(s string) bool {
			return strings.TrimPrefix(strings.TrimSpace(s), "require ") == strings.TrimPrefix(text, "require ")
		}); i >= 0 {
			before = slices.Delete(slices.Clone(before), i, i+1)
			continue
		}
		i := slices.IndexFunc(left, func(s string) bool {
			return matches(s) || file == "go.sum" && strings.HasPrefix(text, s+" h1:")
		})
		if i < 0 {
			t.Errorf("%s has an unexpected line: %s", file, line)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, line := range before {
		if text := strings.TrimSpace(line); text != "" && text != "require (" && text != ")" {
			t.Errorf("%s lacks the line: %s", file, line)
		}
	}
	if len(left) > 0 {
		t.Errorf("%s lacks the lines: %q", file, left)
	}
}
