package lint_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/lint"
)

func get(t *testing.T, s *registrytest.Server, path string, header ...string) (http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+path, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.Header, string(body)
}

func TestLinterOfAServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		opts           []registrytest.Option
		errors, logged int
	}{
		{"off", nil, 0, 0},
		{"log", []registrytest.Option{lint.Linter{LogOnly: true}}, 0, 1},
		{"fail", []registrytest.Option{lint.Linter{}}, 1, 0},
		{"except", []registrytest.Option{lint.Linter{Except: []lint.Rule{lint.Accept}}}, 0, 0},
		{"expected", []registrytest.Option{lint.Linter{Except: []lint.Rule{lint.Accept}, Expect: []registry.Op{registry.GetManifest}}}, 0, 0},
		{"not expected", []registrytest.Option{lint.Linter{Expect: []registry.Op{registry.Ping}}}, 2, 0},
		{"in a group", []registrytest.Option{registrytest.Options(lint.Linter{})}, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tb := faketb.New(t)
			s := registrytest.NewServer(tb, c.opts...)
			get(t, s, "/v2/app/manifests/v1")
			require.Empty(t, tb.Errors(), "the findings come at the end")
			tb.End()
			require.Len(t, tb.Errors(), c.errors)
			logged := 0
			for _, line := range tb.Lines() {
				if strings.Contains(line, "breaks the rule") {
					logged++
				}
			}
			require.Equal(t, c.logged, logged)
			if c.errors == 1 {
				require.Contains(t, tb.Errors()[0], "breaks the rule accept")
			}
		})
	}
}

// A client that uses the URLs to which a linter adds a parameter gets the same responses
// as without a linter, because the registry ignores the parameter.
func TestStateOfAServer(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t, lint.Linter{}, registry.WithPageSize(1))
	for _, tag := range []string{"a", "b", "c"} {
		s.Push(t, "app:"+tag, content.Image())
	}
	var tags, states []string
	for next := "/v2/app/tags/list?n=1"; next != ""; {
		header, body := get(t, s, next)
		tags = append(tags, body)
		next, _, _ = strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
		if next != "" {
			u, err := url.Parse(next)
			require.NoError(t, err)
			require.Len(t, u.Query()[field.StateParam], 1, next)
			states = append(states, u.Query().Get(field.StateParam))
		}
	}
	require.Len(t, tags, 3)
	require.Contains(t, tags[2], `["c"]`)
	require.Equal(t, []string{"1/+=", "2/+="}, states, "each URL has a state of its own")

	content := "content"
	post, err := s.Client().Post(s.URL+"/v2/app/blobs/uploads/", "", nil)
	require.NoError(t, err)
	post.Body.Close()
	at, err := post.Location()
	require.NoError(t, err)
	require.Equal(t, "3/+=", at.Query().Get(field.StateParam))
	at.RawQuery += "&digest=" + string(digest.FromString(content))
	put, err := http.NewRequest("PUT", at.String(), strings.NewReader(content))
	require.NoError(t, err)
	put.Header.Set("Content-Type", "application/octet-stream")
	done, err := s.Client().Do(put)
	require.NoError(t, err)
	done.Body.Close()
	require.Equal(t, http.StatusCreated, done.StatusCode)
	require.NotContains(t, done.Header.Get("Location"), field.StateParam, "a blob has no state")
	require.Equal(t, "PUT /v2/app/blobs/uploads/<session>?digest="+string(digest.FromString(content))+" 201",
		s.Requests().Last().String(), "a golden file leaves out the parameter")
}

// A linter makes the journal of a server read the manifests that clients push.
func TestServerWithALinterReadsManifests(t *testing.T) {
	t.Parallel()
	tb := faketb.New(t)
	s := registrytest.NewServer(tb, lint.Linter{})
	r, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL+"/v2/app/manifests/v1", strings.NewReader(`{"mediaType": "a/b"}`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "c/d")
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	resp.Body.Close()
	require.Nil(t, s.Requests().First().RequestBody, "the journal keeps no bodies")
	tb.End()
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "breaks the rule media-type")
}

func TestServerKeepsAJournal(t *testing.T) {
	t.Parallel()
	tb := faketb.New(t)
	s := registrytest.NewServer(tb, registrytest.WithBodies(3))
	s.Push(t, "app:v1", content.Image())
	_, body := get(t, s, "/v2/app/manifests/v1", "Accept", "*/*")
	s.Requests().CheckSequence(t, registry.GetManifest)
	require.Equal(t, body[:3], string(s.Requests().First().ResponseBody))
	require.Equal(t, 1, s.Requests().First().Conn)
	tb.End()
	require.Empty(t, tb.Lines(), "nothing is logged if the test passes")

	s = registrytest.NewServer(t, registrytest.WithTLS())
	get(t, s, "/v2/")
	require.Equal(t, s.URL+"/v2/", s.Requests().First().URL.String(), "the URL begins with https")

	tb = faketb.New(t)
	s = registrytest.NewServer(tb)
	get(t, s, "/v2/app/manifests/v1")
	tb.Errorf("the test has failed")
	tb.End()
	require.Contains(t, strings.Join(tb.Lines(), "\n"), "GET /v2/app/manifests/v1")
}
