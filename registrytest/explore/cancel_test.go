package explore

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
)

// A client has to return when its context is cancelled. The only requests that it
// may send afterwards are those that cancel upload sessions.
func TestCancellations(t *testing.T) {
	t.Parallel()
	never := context.Background()
	for name, c := range map[string]struct {
		run  func(ctx context.Context, c *client) error
		want string // part of the violation's text, or "" if the run has none
	}{
		"heeds its context": {func(ctx context.Context, c *client) error { return c.ask(ctx, "GET") }, ""},
		"does not, and succeeds": {func(_ context.Context, c *client) error { return c.ask(never, "GET") },
			"context ignored: cancel at get-manifest once: the operation succeeded although its context was cancelled"},
		"sends two more requests": {func(ctx context.Context, c *client) error {
			return errors.Join(c.ask(never, "GET"), c.ask(never, "HEAD"), c.ask(never, "GET"), ctx.Err())
		}, "context ignored: cancel at get-manifest once: the client sent 2 requests after its context was cancelled"},
		"cancels an upload": {func(ctx context.Context, c *client) error {
			err := c.ask(ctx, "GET")
			if err != nil {
				resp, _ := c.do(never, "DELETE", "/v2/"+repo+"/blobs/uploads/00000000-0000-0000-0000-000000000000", nil, nil, 404)
				resp.Body.Close()
			}
			return err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := EveryFault(t, getting, func(t *T, reg *registrytest.Server) error { return c.run(t.Context(), client{}.at(reg)) },
				Try("cancel at get-manifest once"), ReportOnly())
			if c.want == "" {
				require.Empty(t, m.Violations)
				require.Equal(t, Failed, m.Cells[0].Outcome)
				return
			}
			require.Len(t, m.Violations, 1)
			require.Contains(t, m.Violations[0].String(), c.want)
		})
	}
}

// ask sends a request with the method for the manifest of tag v1.
func (c *client) ask(ctx context.Context, method string) error {
	resp, err := c.do(ctx, method, "/v2/"+repo+"/manifests/v1", nil, nil, 200)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}
