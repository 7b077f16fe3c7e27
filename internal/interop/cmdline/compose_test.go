package cmdline

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The Compose file and the workflow in docs/image.md have known fields of the right
// types, and the flags and variables there are those of ocireg.
func TestContainerConfigurations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "image.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 2)
	flags := run(t, ocireg, "help", "flags")
	isFlag := func(name string) {
		require.Regexp(t, `(?m)^  `+name+`( |$)`, flags)
	}
	var variables []map[string]string

	var compose struct {
		Services map[string]struct {
			Image          string
			Command        []string
			Environment    map[string]string
			Ports, Volumes []string
		}
	}
	decode(t, blocks[0][1], &compose)
	registry := compose.Services["registry"]
	require.NotEmpty(t, registry.Image)
	require.Len(t, registry.Ports, 2)
	for _, word := range registry.Command {
		if strings.HasPrefix(word, "-") {
			isFlag(word)
		}
	}
	variables = append(variables, registry.Environment)

	var workflow struct {
		Jobs map[string]struct {
			RunsOn   string `yaml:"runs-on"`
			Services map[string]struct {
				Image string
				Env   map[string]string
				Ports []string
			}
			Steps []struct {
				Uses, Run string
				Env       map[string]string
			}
		}
	}
	decode(t, blocks[1][1], &workflow)
	job := workflow.Jobs["test"]
	require.Len(t, job.Services["registry"].Ports, 2)
	require.NotEmpty(t, job.Steps)
	variables = append(variables, job.Services["registry"].Env)
	for _, env := range variables {
		require.Contains(t, env, "OCIREG_CONTROL_TOKEN")
		delete(env, "OCIREG_CONTROL_TOKEN")
		for name := range env {
			isFlag("-" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "OCIREG_")), "_", "-"))
		}
	}
}

// decode decodes YAML, and fails if it has a field that v does not have.
func decode(t *testing.T, text string, v any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(v))
	require.ErrorIs(t, decoder.Decode(v), io.EOF)
}
