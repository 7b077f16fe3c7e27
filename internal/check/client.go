package check

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/hint"
)

// A Client describes a client: its name and its command for each task.
type Client struct {
	// Name is the name of the client in the report.
	Name string

	// Version is the command that prints the version of the client, or nil.
	Version []string

	// Setup holds commands that run before the command of a task, in each run.
	Setup [][]string

	// Env holds environment variables for the commands, as NAME=VALUE.
	Env []string

	Tasks []Task
}

// A Task is a task of a client, such as a pull, and the command for it. The words
// of the command may contain [Placeholders].
type Task struct {
	Name string
	Args []string
}

// String returns the command as a line for a shell, with its placeholders.
func (t Task) String() string { return commandLine(t.Args) }

// A Placeholder is a word in braces that each run replaces by a value, such as {ref}.
type Placeholder struct{ Name, Meaning string }

// Placeholders returns the placeholders that commands may contain.
func Placeholders() []Placeholder { return slices.Clone(placeholders) }

var placeholders = []Placeholder{
	{"registry", "the host and port of the registry"},
	{"url", "its URL, such as http://127.0.0.1:43121"},
	{"ref", "an image in the registry, with its tag, such as 127.0.0.1:43121/team/app:v1"},
	{"repo", "the repository of this image, with the registry"},
	{"name", "the repository without the registry"},
	{"tag", "the tag of the image"},
	{"digest", "the digest of the image"},
	{"layer", "the digest of its first layer"},
	{"referrer", "the digest of a manifest whose subject is the image"},
	{"to", "a reference with a tag, in another repository, which does not exist"},
	{"layout", "a directory with another image, as an OCI image layout, with the tag v1"},
	{"file", "a text file"},
	{"chart", "a file with a Helm chart, which the registry has as charts/app:1.2.3"},
	{"dir", "an empty directory for output"},
	{"home", "the directory that HOME names"},
}

var braces = regexp.MustCompile(`\{[a-zA-Z]+\}`)

// checkWords returns an error if a word contains an unknown placeholder.
func checkWords(words []string) error {
	for _, word := range words {
		for _, found := range braces.FindAllString(word, -1) {
			var known []string
			for _, p := range placeholders {
				known = append(known, "{"+p.Name+"}")
			}
			if slices.Contains(known, found) {
				continue
			}
			if nearest := hint.Nearest(found, known...); nearest != "" {
				return fmt.Errorf("no placeholder is called %s; did you mean %s?", found, nearest)
			}
			return fmt.Errorf("no placeholder is called %s; want one of %s", found, strings.Join(known, ", "))
		}
	}
	return nil
}

// expand returns the words with each placeholder replaced by its value.
func expand(words []string, values map[string]string) []string {
	expanded := make([]string, len(words))
	for i, word := range words {
		expanded[i] = braces.ReplaceAllStringFunc(word, func(found string) string {
			if value, ok := values[found[1:len(found)-1]]; ok {
				return value
			}
			return found
		})
	}
	return expanded
}

// One returns a client with a single command. The name of its task is the subcommand
// of the client, such as pull, or the name of the program if there is no subcommand.
func One(args []string) (Client, error) {
	if len(args) == 0 || args[0] == "" {
		return Client{}, errors.New("there is no command")
	}
	if err := checkWords(args); err != nil {
		return Client{}, err
	}
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	task := name
	for _, arg := range args[1:] {
		if taskName.MatchString(arg) {
			task = arg // the subcommand of the client, such as pull
			break
		}
	}
	return Client{Name: name, Tasks: []Task{{task, args}}}, nil
}

// taskName matches a valid first word in a line of a file for [Parse].
var taskName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// Parse parses the text of a file that describes a client:
//
//	# Comments begin with a number sign.
//	name     crane
//	version  crane version
//	setup    a command to run before each of the others
//	env      NAME=VALUE
//	pull     crane pull {ref} {dir}/image.tar
//	list     crane ls {repo}
//
// The first word of a line is name, version, setup, env or the name of a task.
// After the name of a task, the rest of the line is its command. Words with
// spaces are in single or double quotes; there is no shell.
func Parse(text string) (Client, error) {
	var c Client
	number := 0
	for line := range strings.Lines(text) {
		number++
		if err := c.add(strings.TrimSpace(line)); err != nil {
			return Client{}, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if c.Name == "" {
		return Client{}, errors.New("there is no line with the name of the client")
	}
	if len(c.Tasks) == 0 {
		return Client{}, errors.New("there is no line with a task and its command")
	}
	return c, nil
}

// add parses a line of a file for [Parse] and adds its value to the client.
func (c *Client) add(line string) error {
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	words, err := split(line)
	if err != nil {
		return err
	}
	key, words := words[0], words[1:]
	switch {
	case !taskName.MatchString(key):
		return fmt.Errorf("%q is not the name of a task: want lower-case letters, digits and dashes", key)
	case len(words) == 0 || words[0] == "":
		return fmt.Errorf("%s has no value", key)
	}
	if err := checkWords(words); err != nil {
		return err
	}
	switch key {
	case "name":
		if c.Name != "" {
			return errors.New("name is given twice")
		}
		c.Name = strings.Join(words, " ")
	case "version":
		if c.Version != nil {
			return errors.New("version is given twice")
		}
		c.Version = words
	case "setup":
		c.Setup = append(c.Setup, words)
	case "env":
		for _, word := range words {
			if name, _, ok := strings.Cut(word, "="); !ok || name == "" {
				return fmt.Errorf("env has %q, want NAME=VALUE", word)
			}
			c.Env = append(c.Env, word)
		}
	default:
		if slices.ContainsFunc(c.Tasks, func(t Task) bool { return t.Name == key }) {
			return fmt.Errorf("the task %s is given twice; give the second another name, such as %s-2", key, key)
		}
		c.Tasks = append(c.Tasks, Task{key, words})
	}
	return nil
}

// split splits a line into words, which may be quoted. It returns an error
// if there are none.
func split(line string) (words []string, err error) {
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range line {
		switch {
		case r == 0:
			return nil, errors.New("there is a NUL character")
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote (%c) is not closed", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("there are no words")
	}
	return words, nil
}
