package client

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// everyFault explores an operation, and writes the matrix to the file that the
// environment names.
func everyFault(t *testing.T, setup, run func(*explore.T, *registrytest.Server) error, opts ...explore.Option) {
	opts = append(opts, explore.ReportOnly(), explore.Announce(os.Stderr))
	if must := os.Getenv("EXPLORE_MUST"); must != "" {
		opts = append(opts, explore.MustSucceed(strings.Split(must, ";")...))
	}
	m := explore.EveryFault(t, func(t *explore.T, reg *registrytest.Server) {
		if err := setup(t, reg); err != nil {
			t.Fatalf("%v", err)
		}
	}, run, opts...)
	text, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(os.Getenv("EXPLORE_OUT"), text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hostile runs an operation against hostile registries, and writes the report to
// the file that the environment names.
func hostile(t *testing.T, setup, run func(*explore.T, *registrytest.Server) error, opts ...explore.Option) {
	z := explore.Hostile(t, func(t *explore.T, reg *registrytest.Server) {
		if err := setup(t, reg); err != nil {
			t.Fatalf("%v", err)
		}
	}, run, append(opts, explore.ReportOnly())...)
	t.Log(z.Markdown())
	text, err := json.Marshal(z)
	if err == nil {
		err = os.WriteFile(os.Getenv("EXPLORE_OUT"), text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// seed puts an image into the registry.
func seed(t *explore.T, reg *registrytest.Server) error {
	reg.Push(t, "team/app:v1", image())
	return nil
}

func nothing(*explore.T, *registrytest.Server) error { return nil }

func image() content.Content { return content.Image(content.LayerSizes(5000)) }
