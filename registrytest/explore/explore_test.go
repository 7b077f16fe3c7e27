package explore

import (
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

const repo = "team/app"

// image returns the image that the client pulls and pushes.
func image() content.Content { return content.Image(content.LayerSizes(6000)) }

// An operation is the setup and the run for EveryFault, such as a pull by the client.
type operation struct {
	setup func(t *T, reg *registrytest.Server)
	run   func(c client) func(t *T, reg *registrytest.Server) error
}

func (c client) at(reg *registrytest.Server) *client {
	c.http, c.base = reg.Client(), reg.URL
	return &c
}

var operations = map[string]operation{
	"pull": {
		setup: func(t *T, reg *registrytest.Server) { reg.Push(t, repo+":v1", image()) },
		run: func(c client) func(t *T, reg *registrytest.Server) error {
			return func(t *T, reg *registrytest.Server) error {
				got, err := c.at(reg).pull(t.Context(), repo, "v1")
				for _, name := range slices.Sorted(maps.Keys(got)) {
					t.Result(name, got[name])
				}
				return err
			}
		},
	},
	"push": {
		run: func(c client) func(t *T, reg *registrytest.Server) error {
			return func(t *T, reg *registrytest.Server) error {
				return pushImage(c, t, reg, image())
			}
		},
	},
	"tags": {
		setup: func(t *T, reg *registrytest.Server) {
			for _, tag := range []string{"a", "b", "c"} {
				reg.Push(t, repo+":"+tag, image())
			}
		},
		run: func(c client) func(t *T, reg *registrytest.Server) error {
			return func(t *T, reg *registrytest.Server) error {
				c.user = "ci"
				got, err := c.at(reg).tags(t.Context(), repo)
				t.Result("tags", got)
				return err
			}
		},
	},
}

// pushImage pushes an image with the tag v1.
func pushImage(c client, t *T, reg *registrytest.Server, img content.Content) error {
	var blobs [][]byte
	for _, b := range append(img.Layers, img.Config) {
		content, err := io.ReadAll(b.Open())
		require.NoError(t, err)
		blobs = append(blobs, content)
	}
	return c.at(reg).push(t.Context(), repo, "v1", img.MediaType, img.Manifest, blobs...)
}

// promises are the faults with which the correct client must succeed, by operation.
var promises = map[string][]string{
	"pull": append(always(), "closed in the middle, then Range ignored"),
	"push": append(always(), "lost response", "lost session", "half accepted", "half kept"),
	"tags": always(),
}

// always returns the promises about every operation.
func always() []string {
	return []string{"408 twice", "429 once, Retry-After", "503 once, Retry-After as a date", "503 once", "503 twice", "504 twice",
		"reset before the response", "closed in the middle", "reset at the last byte", "slow"}
}

// The correct client commits no violation, and its outcomes are those in the
// golden files.
func TestRightClient(t *testing.T) {
	t.Parallel()
	for name, o := range operations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := EveryFault(t, o.setup, o.run(client{}), MustSucceed(promises[name]...), Cancellations(), Golden("testdata/"+name+".md"))
			require.Empty(t, m.Violations)
			require.Equal(t, m.Runs, len(m.Cells)+1)
		})
	}
}

// mutants lists bugs of the client. Each has the operation that it affects and
// the kind of violation that reveals it, or "golden" if only a comparison with
// the golden file does.
var mutants = []struct{ bug, operation, kind string }{
	{"does not retry EOF", "pull", promise},
	{"does not retry 503", "pull", promise},
	{"resumes at the wrong offset", "pull", promise},
	{"adds a whole blob to its half", "pull", promise},
	{"checks no digest", "pull", wrongContent},
	{"trusts the length", "pull", wrongContent},
	{"retries for ever", "pull", storm},
	{"retries 502 for ever", "pull", late},
	{"begins uploads again for ever", "push", late},
	{"sends requests without a context", "pull", goesOn},
	{"ignores its context", "pull", hang},
	{"waits for ever", "pull", hang},
	{"retries at once without a context", "pull", hang},
	{"ignores Retry-After", "pull", early},
	{"ignores a date in Retry-After", "pull", early},
	{"leaves bodies open", "pull", leftOpen},
	{"leaves goroutines behind", "pull", leftRunning},
	{"panics when it fails", "pull", panics},
	{"hides its error", "pull", cancelled},
	{"ignores Range of 416", "push", "golden"},
	{"ignores how much was accepted", "push", "golden"},
	{"begins uploads again", "push", "golden"},
	{"leaves uploads open", "push", leftUpload},
	{"takes every response for success", "push", wrongContent},
	{"takes a part of a list for all", "tags", wrongContent},
	{"trusts every Link", "tags", credentials},
}

// EveryFault finds each bug in mutants.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, mutant := range mutants {
		t.Run(mutant.bug, func(t *testing.T) {
			t.Parallel()
			o := operations[mutant.operation]
			x := &explorer{t: t, setup: o.setup, run: o.run(client{bug: mutant.bug})}
			for _, opt := range []Option{MustSucceed(promises[mutant.operation]...), Cancellations(), Budget(1<<20, 0)} {
				opt.set(&x.config)
			}
			golden, err := os.ReadFile("testdata/" + mutant.operation + ".md")
			require.NoError(t, err)
			want := outcomes(string(golden))
			cells := x.begin(t)
			var found []string
			for n, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(cells)) {
				j := x.judge(x.attempt(cells[i].plan()), cells[i])
				for _, v := range j.violations {
					found = append(found, v.Kind)
				}
				if w := want.cells[place{j.cell.Fault, j.cell.Request}]; len(j.violations) == 0 && w != string(j.cell.Outcome) {
					found = append(found, "golden")
				}
				if slices.Contains(found, mutant.kind) {
					t.Logf("found by %s after %d runs: %s %s %v", mutant.kind, n+1, j.cell.Rule, j.cell.Outcome, j.violations)
					return
				}
			}
			t.Errorf("no violation of kind %q reveals the bug; the kinds found are %v", mutant.kind, slices.Compact(found))
		})
	}
}

// begin makes the undisturbed run and returns the plan of the other runs.
func (x *explorer) begin(t *testing.T) []cell {
	base := x.attempt(plan{name: "undisturbed"})
	require.NoError(t, x.establish(base))
	cells, err := x.cells()
	require.NoError(t, err)
	return cells
}
