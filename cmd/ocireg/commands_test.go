package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/documents"
)

// The command accepts each command line that a document or its own help shows. Those of
// ocireg check and ocireg diff are left out: a test of the snippets compares their
// flags with the help.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	lines := make(map[string][]string) // the command lines, by document
	for _, m := range regexp.MustCompile(`(?m)^  (ocireg.*?)(?:   .*)?$`).FindAllStringSubmatch(usage, -1) {
		lines["ocireg -h"] = append(lines["ocireg -h"], m[1])
	}
	inline := regexp.MustCompile("`(ocireg [^`\n]+)`")
	block := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	for file, text := range documents.All(t, filepath.Join("..", "..")) {
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			lines[file] = append(lines[file], m[1])
		}
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(m[1]) {
				lines[file] = append(lines[file], strings.TrimPrefix(line, "go run ./cmd/"))
			}
		}
	}
	mention := regexp.MustCompile(`^ocireg( -[a-z-]+| [A-Z]+)+$`) // of flags, as in "ocireg -upstream URL"
	checked := 0
	for file, lines := range lines {
		for _, line := range lines {
			words := wordsOf(line)
			if len(words) < 2 || words[0] != "ocireg" {
				continue
			}
			switch words[1] {
			case "check", "diff":
				continue
			case "help", "profiles":
				require.Equal(t, 0, run(t.Context(), words[1:], new(strings.Builder), new(strings.Builder)), "%s: %s", file, line)
				continue
			}
			checked++
			_, err := parse(words[1:], new(strings.Builder))
			if mention.MatchString(line) && err != nil && !strings.Contains(err.Error(), "flag provided but not defined") || errors.Is(err, flag.ErrHelp) {
				continue
			}
			require.NoError(t, err, "%s: %s", file, line)
		}
	}
	require.Greater(t, checked, 40)
}

// Flags that the pages about the command name between backquotes exist, here or in
// ocireg check or diff. The page about options has each flag in the groups Features
// and Limits.
func TestDocumentedFlags(t *testing.T) {
	t.Parallel()
	var help strings.Builder
	for _, args := range [][]string{{"help", "flags"}, {"check", "-h"}, {"diff", "-h"}} {
		require.Equal(t, 0, run(t.Context(), args, &help, new(strings.Builder)))
	}
	flags := map[string]bool{"d": true, "h": true, "buildvcs": true, "seed": true} // of curl, go and other programs
	for _, m := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(help.String(), -1) {
		flags[m[1]] = true
	}
	named := regexp.MustCompile("`-([a-z][a-z-]*)[^`\n]*`")
	for _, page := range []string{"auth", "check", "control", "faults", "flatpak", "layouts", "ocireg", "profiles", "protocol", "reliability", "upstream"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", page+".md"))
		require.NoError(t, err)
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			require.True(t, flags[m[1]], "docs/%s.md: there is no flag -%s", page, m[1])
		}
	}
	options, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	require.NoError(t, err)
	for _, g := range groups {
		if g.title != "Features" && g.title != "Limits" {
			continue
		}
		for name := range strings.FieldsSeq(g.flags) {
			require.True(t, strings.Contains(string(options), "`-"+name+"`"), "docs/protocol.md lacks -%s", name)
		}
	}
}

// wordsOf returns the words of a command as a shell does, without comments, redirections
// and the & at the end.
func wordsOf(line string) (words []string) {
	pattern := regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
	for _, word := range pattern.FindAllString(line, -1) {
		if strings.HasPrefix(word, "#") || strings.HasPrefix(word, ">") || word == "&" {
			break
		}
		words = append(words, strings.Trim(word, `'"`))
	}
	return words
}
