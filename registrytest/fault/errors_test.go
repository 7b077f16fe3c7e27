package fault

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/inject"
)

func TestErrorsOfTheOperation(t *testing.T) {
	t.Parallel()
	tell := func(rule Rule, method, target string) (contentType, body string, in *inject.Fault) {
		var rules inject.Rules
		in, err := rules.Add(rule)
		require.NoError(t, err)
		response := serve(registry.WithFaults(rules.Inject), method, target, nil)
		return response.Header().Get("Content-Type"), response.Body.String(), in
	}
	const missing = "/v2/app/manifests/v1"
	for shape, want := range map[Body][2]string{
		NoCode: {"application/json", `{"errors":[{"status":404,"message":"`},
		Bare:   {"application/json", `{"code":"NAME_UNKNOWN","message":"`},
		Plain:  {"text/plain; charset=utf-8", "404 "},
		HTML:   {"text/html", "<html>\n<head><title>404 Not Found</title>"},
		Broken: {"application/json", `{"errors":[{"code":"NAME_UNKNOWN","mess`},
		Empty:  {"", ""},
	} {
		contentType, body, in := tell(On().Body(Errors(shape)), "GET", missing)
		require.Equal(t, want[0], contentType, shape)
		require.True(t, strings.HasPrefix(body, want[1]), body)
		require.Equal(t, want[1] == "", body == "", body)
		require.Empty(t, Problem(t, in))

		contentType, body, in = tell(On().Body(Errors(shape)), "HEAD", missing)
		require.Equal(t, want[0], contentType, shape)
		require.Empty(t, body)
		require.Empty(t, Problem(t, in))

		contentType, body, in = tell(On().Body(Errors(shape)), "GET", "/v2/")
		require.Equal(t, []string{"application/json", "{}"}, []string{contentType, body})
		require.Contains(t, Problem(t, in), "body=errors:"+string(shape)+" had no effect")
	}
	// Errors also changes an error that the rule itself gives, even if its shape is not
	// that of the spec.
	_, body, _ := tell(On().Code(registry.CodeDenied).Message("no").Body(Errors(Bare)), "GET", "/v2/")
	require.Equal(t, `{"code":"DENIED","message":"no"}`, body)
	_, body, _ = tell(On().Status(503).Body(HTML, Errors(Bare)), "GET", "/v2/")
	require.Equal(t, `{"code":"UNKNOWN","message":"Service Unavailable"}`, body)
	_, body, _ = tell(On().Body(Errors(Plain), Append("more")), "GET", missing)
	require.True(t, strings.HasSuffix(body, "\nmore"), body)
}
