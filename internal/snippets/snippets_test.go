package snippets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Go snippets compile, in a module that requires this one as the README says, and
// run there. Snippets that are whole tests or examples pass. The others may fail
// only because no client sends the requests that they expect.
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
	clients, err := os.ReadFile(filepath.Join("testdata", "clients_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	write("clients_test.go", string(clients))
	if err := os.MkdirAll(filepath.Join(dir, "testdata", "images"), 0o777); err != nil { // Some snippets open it.
		t.Fatal(err)
	}
	exported := types(t)
	count := 0
	tests := []string{"TestRules"}
	for i, s := range all(t) {
		if s.kind != "go" && !((s.kind == "comment" || s.kind == "inline") && isGo.MatchString(s.code)) {
			continue
		}
		source, runs := fileOf(t, s, i, exported)
		write(fmt.Sprintf("snippet%d_test.go", i), source)
		count++
		if !slices.ContainsFunc(notRun, func(code string) bool { return strings.Contains(source, code) }) {
			tests = append(tests, runs...)
		}
	}
	t.Logf("%d snippets, %d of them tests", count, len(tests))
	if t.Failed() {
		return
	}
	cmd := exec.Command("go", "test", "-vet=off", "-gcflags=-e", "-timeout", "5m", "-v", "-run", "^("+strings.Join(tests, "|")+")$", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -trimpath", "GOPROXY=off", "GOWORK=off")
	out, _ := cmd.CombinedOutput()
	if ended := check(t, string(out)); ended != len(tests) {
		t.Errorf("%d tests and examples ended, want %d:\n%s", ended, len(tests), out)
	}
}

// notRun lists code in snippets that are only compiled: it takes long, or waits for a
// request that no client sends.
var notRun = []string{"snippets/my", "conformance.", "explore.Hostile(", "hold.", "hold :=", "Gate(", "http.Serve(", "LayerSizes(", "reg.CA()"}

var (
	line = regexp.MustCompile(`^    [\w.-]+:\d+: (.*)`)
	end  = regexp.MustCompile(`^--- (PASS|FAIL): (\w+)`)

	// unmet matches the failures and log lines of tests without the requests that they
	// expect.
	unmet = regexp.MustCompile(`did not happen as it says:|no client connected to|refused 0 connections|was silent on 0 connections|` +
		`no request met the change|not the expected sequence of operations|golden file|^registrytest: the requests to|^profile: of the quirks of|^explore: \d+ runs`)
)

// check reports the failures in the output of go test, except those that unmet
// matches. It returns the number of tests and examples that ended.
func check(t *testing.T, output string) (ended int) {
	t.Helper()
	failures, unexpected := "", false
	for text := range strings.Lines(output) {
		if m := end.FindStringSubmatch(text); m != nil {
			ended++
			if m[1] == "FAIL" && (unexpected || !strings.HasPrefix(m[2], "TestSnippet_")) {
				t.Errorf("%s fails:\n%s", m[2], failures)
			}
			failures, unexpected = "", false
			continue
		}
		failures += text
		if m := line.FindStringSubmatch(text); m != nil {
			unexpected = unexpected || !unmet.MatchString(m[1])
		}
	}
	return ended
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
