package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
)

// helpAbout returns the output of ocireg help about a topic. It fails the test if a
// line has more than 100 characters.
func helpAbout(t *testing.T, topic ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(t.Context(), append([]string{"help"}, topic...), &stdout, &stderr), stderr.String())
	for line := range strings.Lines(stdout.String()) {
		require.LessOrEqual(t, len([]rune(line)), 100, line)
	}
	return stdout.String()
}

func TestHelpTopics(t *testing.T) {
	t.Parallel()
	require.Equal(t, usage, helpAbout(t)[:len(usage)])
	require.Contains(t, helpAbout(t, "profiles"), "ghcr")
	for _, topic := range []string{"faults", "control"} {
		require.LessOrEqual(t, strings.Count(helpAbout(t, topic), "\n"), 45)
	}
	var stdout, stderr bytes.Buffer
	for _, command := range []string{"check", "diff"} {
		require.Equal(t, 0, run(t.Context(), []string{"help", command}, &stdout, &stderr))
		require.Contains(t, stdout.String(), "Usage: ocireg "+command+" ")
	}
	stdout.Reset()
	require.Equal(t, 2, run(t.Context(), []string{"help", "fault"}, &stdout, &stderr))
	require.Equal(t, "ocireg: there is no help about \"fault\"; did you mean \"faults\"?; the topics are flags, faults, profiles and control\n", stderr.String())
	stderr.Reset()
	require.Equal(t, 2, run(t.Context(), []string{"help", "faults", "flags"}, &stdout, &stderr))
	require.Equal(t, "ocireg: want one topic, got 2; ocireg -h lists them\n", stderr.String())
	require.Empty(t, stdout.String())
}

// The help about faults has all operations and all words of the language, and the
// rules in it are valid.
func TestHelpAboutFaults(t *testing.T) {
	t.Parallel()
	text := helpAbout(t, "faults")
	words := make(map[string]bool)
	for _, word := range regexp.MustCompile(`[a-z-]+`).FindAllString(text, -1) {
		words[word] = true
	}
	for op := registry.UnknownOp; op <= registry.GetToken; op++ {
		require.True(t, words[op.String()], "helpFaults lacks the operation %s", op)
	}
	rule := reflect.TypeFor[fault.Rule]()
	for i := range rule.NumMethod() {
		name := rule.Method(i).Name
		word := strings.ToLower(regexp.MustCompile(`[a-z][A-Z]`).ReplaceAllStringFunc(name, func(s string) string { return s[:1] + "-" + s[1:] }))
		require.True(t, words[word] || name == "String" || name == "Begin", "helpFaults lacks the word %s", word)
	}
	for _, m := range regexp.MustCompile(`-fault '([^']+)'`).FindAllStringSubmatch(text+usage, -1) {
		_, err := fault.Parse(m[1])
		require.NoError(t, err)
	}
}

// The help about the control API has the first part of each path, except two that
// are only for clients of the API.
func TestHelpAboutControl(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join("..", "..", "registrytest", "control", "openapi.json"))
	require.NoError(t, err)
	var api struct{ Paths map[string]map[string]any }
	require.NoError(t, json.Unmarshal(source, &api))
	require.NotEmpty(t, api.Paths)
	text := helpAbout(t, "control")
	for path := range api.Paths {
		parts := strings.Split(path, "/")
		require.GreaterOrEqual(t, len(parts), 3, path)
		if parts[2] != "openapi.json" && parts[2] != "registry" {
			require.Contains(t, text, "/v1/"+parts[2], path)
		}
	}
}
