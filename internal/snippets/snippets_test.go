package snippets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Go snippets compile, in a module that requires this one as the README says.
// Snippets that are whole tests or examples pass, too. Only the conformance tests
// of a reader's registry and store are not run, because they take long.
func TestGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", goMod(t))
	sums, err := os.ReadFile(filepath.Join(root(t), "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write("go.sum", string(sums))
	for name, source := range prelude {
		if name == "prelude_test.go" {
			source += clientCode(t)
		}
		write(name, source)
	}
	exported := types(t)
	count := 0
	var tests []string
	for i, s := range all(t) {
		if s.kind != "go" && !((s.kind == "comment" || s.kind == "inline") && isGo.MatchString(s.code)) {
			continue
		}
		source, runs := fileOf(t, s, i, exported)
		write(fmt.Sprintf("snippet%d_test.go", i), source)
		count++
		if !strings.Contains(source, "snippets/my") {
			tests = append(tests, runs...)
		}
	}
	t.Logf("%d snippets, %d of them tests", count, len(tests))
	if t.Failed() {
		return
	}
	cmd := exec.Command("go", "test", "-vet=off", "-gcflags=-e", "-v", "-run", "^("+strings.Join(tests, "|")+")$", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -trimpath", "GOPROXY=off", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go test: %v\n%s", err, out)
	}
	passed := regexp.MustCompile(`(?m)^--- PASS: `).FindAll(out, -1)
	if len(passed) != len(tests) {
		t.Errorf("%d tests and examples passed, want %d:\n%s", len(passed), len(tests), out)
	}
}

// goMod returns the text of a go.mod that requires this module from the checkout.
func goMod(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod := strings.Replace(string(content), "module "+module, "module snippets", 1)
	return mod + fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, root(t))
}
