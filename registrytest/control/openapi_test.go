package control_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/control"
)

// A document is the decoded openapi.json.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Schemas map[string]*schema }
}

// An operation describes a path and a method in openapi.json.
type operation struct {
	Summary    string
	Parameters []struct{ Name, In string }
	Responses  map[string]struct {
		Content map[string]struct{ Schema *schema }
	}
}

// A schema has the parts of JSON Schema that openapi.json uses.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Properties           map[string]*schema
	Required             []string
	AdditionalProperties json.RawMessage
	Items                *schema
	OneOf                []*schema
	Enum                 []string
}

var readDocument = sync.OnceValues(func() (d document, err error) {
	text, err := os.ReadFile("openapi.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	return d, err
})

// operation returns the description of a path and method in openapi.json.
func (d document) operation(t testing.TB, path, method string) (op operation) {
	t.Helper()
	raw, ok := d.Paths[path][strings.ToLower(method)]
	require.True(t, ok, "openapi.json lacks %s %s", method, path)
	require.NoError(t, json.Unmarshal(raw, &op))
	return op
}

// openapi.json describes exactly the paths, methods and parameters of the
// handler.
func TestDocumentHasAllRoutes(t *testing.T) {
	t.Parallel()
	d, err := readDocument()
	require.NoError(t, err)
	require.Equal(t, "3.1.0", d.OpenAPI)
	routes := control.Routes()
	for pattern, parameters := range routes {
		method, path, _ := strings.Cut(pattern, " ")
		op := d.operation(t, path, method)
		require.NotEmpty(t, op.Summary, pattern)
		if status := control.Statuses()[pattern]; status != "0" {
			require.Contains(t, op.Responses, status, pattern)
		}
		require.Len(t, op.Responses, 2, "an operation has one response without an error, and default: %s", pattern)
		var names []string
		for _, p := range op.Parameters {
			require.Equal(t, "query", p.In)
			names = append(names, p.Name)
		}
		if slices.Equal(parameters, []string{"*"}) {
			continue
		}
		require.ElementsMatch(t, parameters, names, pattern)
	}
	for path, methods := range d.Paths {
		for method := range methods {
			if method != "parameters" {
				require.Contains(t, routes, strings.ToUpper(method)+" "+path)
			}
		}
	}
	a := newAPI(t, control.Config{})
	text, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.JSONEq(t, string(text), a.text(t, 200, "GET", "/v1/openapi.json", ""))

	// The page docs/control.md names every other endpoint and every parameter, too.
	page, err := os.ReadFile("../../docs/control.md")
	require.NoError(t, err)
	for pattern, parameters := range routes {
		for _, name := range parameters {
			if name != "*" {
				require.True(t, regexp.MustCompile("[`?&]"+name+"\\b").Match(page), "%s: docs/control.md has no parameter %s", pattern, name)
			}
		}
		_, path, _ := strings.Cut(pattern, " ")
		path = strings.NewReplacer("{id}", "ID", "{name}", "NAME", "{action}", "ACTION", "{path}", "v2/").Replace(path)
		if path != "/v1/openapi.json" {
			require.Contains(t, string(page), path)
		}
	}
}

// The examples of JSON in docs/control.md have the members that openapi.json describes,
// with values of the right types.
func TestExamplesOfJSON(t *testing.T) {
	t.Parallel()
	d, err := readDocument()
	require.NoError(t, err)
	page, err := os.ReadFile("../../docs/control.md")
	require.NoError(t, err)
	var examples []string
	for _, m := range regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		examples = append(examples, m[1])
	}
	schemas := []string{"About", "Fault", "Hold", "Record", "Findings", "Recipe", "Summary"} // in the order of the page
	require.Len(t, examples, len(schemas))
	for i, name := range schemas {
		d.check(t, name, &schema{Ref: "#/components/schemas/" + name}, decoded(t, examples[i]))
	}
}

// checkShape fails the test unless openapi.json describes the response.
func checkShape(t testing.TB, method, target string, w *httptest.ResponseRecorder) {
	t.Helper()
	d, err := readDocument()
	require.NoError(t, err)
	path, _, _ := strings.Cut(target, "?")
	var op operation
	for template := range d.Paths {
		if regexp.MustCompile("^" + regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(template, "[^/]+") + "$").MatchString(path) {
			if _, ok := d.Paths[template][strings.ToLower(method)]; ok {
				op = d.operation(t, template, method)
			}
		}
	}
	response, ok := op.Responses[fmt.Sprint(w.Code)]
	if method == "GET" && strings.HasPrefix(path, "/v1/registry/") {
		return // A response of the registry itself is not described.
	}
	if !ok && w.Code >= 400 {
		d.check(t, "error", &schema{Ref: "#/components/schemas/Error"}, decoded(t, w.Body.String()))
		return
	}
	require.True(t, ok, "openapi.json lacks %d of %s %s", w.Code, method, target)
	mediaType, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, ok := response.Content[mediaType]
	if _, any := response.Content["*/*"]; any {
		return
	}
	require.True(t, ok || w.Body.Len() == 0, "%s %s: openapi.json lacks %q", method, target, mediaType)
	switch mediaType {
	case "application/json":
		d.check(t, "body", content.Schema, decoded(t, w.Body.String()))
	case "application/x-ndjson":
		for _, line := range lines(t, w.Body.String()) {
			d.check(t, "line", content.Schema, line)
		}
	}
}

func decoded(t testing.TB, text string) (v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// check fails the test unless the JSON value v matches the schema: it compares
// names of members and types of values.
func (d document) check(t testing.TB, name string, s *schema, v any) {
	t.Helper()
	if problem := d.differ(name, s, v); problem != "" {
		t.Fatalf("openapi.json: %s", problem)
	}
}

func (d document) differ(name string, s *schema, v any) string {
	if s == nil {
		return ""
	}
	if ref, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		if d.Components.Schemas[ref] == nil {
			return "there is no schema " + ref
		}
		return d.differ(name, d.Components.Schemas[ref], v)
	}
	if s.OneOf != nil {
		var problems []string
		for _, one := range s.OneOf {
			problem := d.differ(name, one, v)
			if problem == "" {
				return ""
			}
			problems = append(problems, problem)
		}
		return strings.Join(problems, " and ")
	}
	kind := map[string]string{"map[string]interface {}": "object", "[]interface {}": "array", "string": "string", "bool": "boolean", "float64": "number"}[fmt.Sprintf("%T", v)]
	if kind != s.Type && !(s.Type == "integer" && kind == "number") {
		return fmt.Sprintf("%s is %v, not of type %s", name, v, s.Type)
	}
	switch v := v.(type) {
	case string:
		if s.Enum != nil && !slices.Contains(s.Enum, v) {
			return fmt.Sprintf("%s is %q, not one of %v", name, v, s.Enum)
		}
	case []any:
		for _, item := range v {
			if problem := d.differ(name+"[]", s.Items, item); problem != "" {
				return problem
			}
		}
	case map[string]any:
		for _, required := range s.Required {
			if _, ok := v[required]; !ok {
				return fmt.Sprintf("%s lacks the member %s", name, required)
			}
		}
		for member, value := range v {
			of, ok := s.Properties[member]
			if !ok && string(s.AdditionalProperties) == "false" {
				return fmt.Sprintf("%s has the member %s", name, member)
			}
			if problem := d.differ(name+"."+member, of, value); problem != "" {
				return problem
			}
		}
	}
	return ""
}
