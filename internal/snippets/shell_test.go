package snippets

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var variable = regexp.MustCompile(`^[A-Z_]+=\S*$`)

// Each command, flag and file in a shell snippet exists.
func TestShell(t *testing.T) {
	t.Parallel()
	help := helper(t)
	for _, s := range all(t) {
		if s.kind != "sh" && !(s.kind == "inline" && strings.HasPrefix(s.code, "go ") && strings.Contains(s.code, " ./")) {
			continue
		}
		dir := root(t)
		for line := range strings.Lines(s.code) {
			line, _, _ = strings.Cut(line, " #")
			for command := range strings.SplitSeq(line, "&&") {
				words := strings.Fields(command)
				for len(words) > 0 && variable.MatchString(words[0]) {
					words = words[1:]
				}
				switch {
				case len(words) == 0:
				case words[0] == "cd":
					dir = filepath.Join(dir, words[1])
				case words[0] == "go":
					checkGo(t, s, dir, words[1:], help)
				case words[0] == "ocireg" && len(words) > 1 && (words[1] == "check" || words[1] == "diff"):
					own, _, _ := strings.Cut(strings.Join(words[2:], " "), "-- ") // The flags end before "--", which a command may follow.
					checkFlags(t, s, strings.Fields(own), flagsOf(t, "ocireg "+words[1]))
				case words[0] == "ocireg":
					checkFlags(t, s, words[1:], flagsOf(t, "Flags"))
				case strings.Contains(words[0], "/"):
					if _, err := os.Stat(filepath.Join(dir, words[0])); err != nil {
						t.Errorf("%s:%d: %v", s.file, s.line, err)
					}
				}
			}
		}
	}
}

// flagsOf returns the section of docs/ocireg.md with the title, which describes
// flags. A test of the command compares the section with its help, so this
// package need not link the command.
func flagsOf(t *testing.T, title string) string {
	t.Helper()
	document, err := os.ReadFile(filepath.Join(root(t), "docs", "ocireg.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(document), "\n## "+title+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !ok || !strings.Contains(section, "\n  -") {
		t.Fatalf("docs/ocireg.md has no section %q that describes flags", title)
	}
	return section
}

// helper returns a function that returns the output of a go command, and runs
// each command only once.
func helper(t *testing.T) func(args ...string) string {
	outputs := make(map[string]string)
	return func(args ...string) string {
		t.Helper()
		key := strings.Join(args, " ")
		if _, ok := outputs[key]; !ok {
			cmd := exec.Command("go", args...)
			cmd.Dir = root(t)
			out, _ := cmd.CombinedOutput() // With -h, commands end with an error.
			outputs[key] = string(out)
		}
		return outputs[key]
	}
}

// checkGo checks the arguments of a go command that a snippet runs in a directory.
func checkGo(t *testing.T, s snippet, dir string, args []string, help func(...string) string) {
	t.Helper()
	command, args := args[0], args[1:]
	topics := []string{command}
	switch command {
	case "mod":
		topics, args = []string{"mod " + args[0]}, args[1:]
	case "test":
		topics = []string{"test", "testflag", "build"}
	case "run", "vet", "install":
		topics = append(topics, "build")
	}
	var text strings.Builder
	for _, topic := range topics {
		text.WriteString(help(append([]string{"help"}, strings.Fields(topic)...)...))
	}
	for i, arg := range args {
		path, ok := strings.CutSuffix(arg, "/...")
		if !ok && !strings.HasPrefix(arg, "./") {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Errorf("%s:%d: %v", s.file, s.line, err)
		}
		checkFlags(t, s, args[:i], text.String())
		switch rest := args[i+1:]; {
		case command == "run" && path == "./cmd/ocireg":
			checkFlags(t, s, rest, flagsOf(t, "Flags"))
		case command == "test":
			checkFlags(t, s, rest, text.String()+declaredFlags(t, dir, path, "*_test.go"))
		case command == "run":
			checkFlags(t, s, rest, declaredFlags(t, dir, path, "*.go"))
		}
		return
	}
	checkFlags(t, s, args, text.String())
}

var flagPattern = regexp.MustCompile(`\b(?:flag|flags|fs|set)\.\w+\((?:&[\w.]+, )?"([\w-]+)"`)

// declaredFlags returns the flags that files of a package declare, as a help text.
func declaredFlags(t *testing.T, dir, path, names string) (text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, path, names))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range flagPattern.FindAllStringSubmatch(string(content), -1) {
			text += "\n\t-" + match[1] + "\n"
		}
	}
	return text
}

// checkFlags fails the test unless the help text describes each flag in args.
func checkFlags(t *testing.T, s snippet, args []string, help string) {
	t.Helper()
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "-") {
			continue
		}
		if !regexp.MustCompile(`(^|[\s,[])` + regexp.QuoteMeta(name) + `($|[\s=,.\]])`).MatchString(help) {
			t.Errorf("%s:%d: there is no flag %s", s.file, s.line, name)
		}
	}
}
