package lint

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

// If a client sends a request before it has the response to an earlier one, the request
// breaks no rule about that response.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	start := time.Now()
	d := digest.FromString("a")
	path := &url.URL{Path: "/v2/app/blobs/" + string(d)}
	check := func(rule Rule, first journal.Record, second func(after time.Duration) journal.Record) {
		t.Helper()
		first.Start, first.Duration = start, 2*time.Second
		for after, found := range map[time.Duration]bool{time.Second: false, 2 * time.Second: true} {
			rules := []Rule{}
			for _, f := range (Linter{}).Lint(recorded(first, second(after))) {
				rules = append(rules, f.Rule)
			}
			require.Equal(t, found, slices.Contains(rules, rule), "%s, %v", rule, after)
		}
	}
	check(UploadAgain, journal.Record{Op: registry.HeadBlob, Repo: "app", Digest: d, Status: 200, URL: path}, func(after time.Duration) journal.Record {
		return journal.Record{Op: registry.PostBlob, Repo: "app", Digest: d, Status: 201, Start: start.Add(after)}
	})
	busy := journal.Record{Op: registry.HeadBlob, Status: 429, URL: path, ResponseHeader: http.Header{"Retry-After": {"9"}}}
	check(RetryAfter, busy, func(after time.Duration) journal.Record {
		return journal.Record{Op: registry.HeadBlob, Status: 200, URL: path, Start: start.Add(after)}
	})
	busy.Start, busy.Err = start, errors.New("cut in the header")
	again := journal.Record{Op: registry.HeadBlob, Status: 200, URL: path, Start: start.Add(time.Second)}
	require.Empty(t, Linter{Rules: []Rule{RetryAfter}}.Lint(recorded(busy, again)), "the client cannot know of the wait")
}

func TestRulesAreDocumented(t *testing.T) {
	t.Parallel()
	seen := make(map[Rule]bool)
	for _, c := range checks {
		require.False(t, seen[c.rule], "%s is in the list twice", c.rule)
		seen[c.rule] = true
		require.NotEmpty(t, c.rule.Source(), c.rule)
		require.True(t, strings.HasSuffix(c.rule.Text(), "."), "the text of %s is not a sentence", c.rule)
		require.NotNil(t, c.find, c.rule)
	}
	require.Empty(t, Rule("no such rule").Text())
}

// A strict linter has no findings about a client that keeps all rules.
func TestGoodClient(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.send("GET", "/v2/", "")
	app := content.Image(content.Layers(2))
	for b := range app.Blobs() {
		content := make([]byte, b.Size)
		_, err := b.Open().Read(content)
		require.NoError(t, err)
		s.send("HEAD", "/v2/app/blobs/"+string(b.Digest), "")
		s.finish(s.start(), string(content))
	}
	s.send("PUT", "/v2/app/manifests/v1", string(app.Manifest), "Content-Type", app.MediaType)
	s.send("GET", "/v2/app/manifests/v1", "", "Accept", app.MediaType)
	s.send("GET", "/v2/app/referrers/"+string(app.Digest), "")
	require.Empty(t, Strict().Lint(s.journal.Requests()))
	for _, r := range s.journal.Requests().Where((*journal.Record).Failed).Records() {
		require.Equal(t, "HEAD", r.Method)
	}
}

func TestFindingString(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.send("PUT", "/v2/app/manifests/v1", "{}")
	s.send("GET", "/v2/app/manifests/v1", "")
	findings := Linter{}.Lint(s.journal.Requests())
	require.Len(t, findings, 2)
	require.Equal(t, `request 2, GET /v2/app/manifests/v1 404 NAME_UNKNOWN
	breaks the rule accept: there is no Accept
	A request for a manifest lists the types that the client supports in Accept. (Pulling manifests)`, findings[1].String())
	require.True(t, slices.IsSortedFunc(findings, func(a, b Finding) int { return a.Record.Number - b.Record.Number }))
}

// A linter checks exactly the rules in its fields.
func TestRulesOfALinter(t *testing.T) {
	t.Parallel()
	s := newScript(t, challenge())
	s.send("GET", "/v2/app/manifests/v1", "", "Authorization", "Bearer abc")
	s.send("PATCH", "/v2/app/blobs/uploads/x", "")
	for _, c := range []struct {
		name   string
		lint   Linter
		want   []Rule
		params bool // whether the linter changes URLs
		reads  bool // whether the linter reads manifests
	}{
		{"zero", Linter{}, []Rule{Accept, UploadLocation}, true, true},
		{"strict", Strict(), []Rule{Accept, Credentials, UploadLocation}, true, true},
		{"one rule", Linter{Rules: []Rule{Accept}}, []Rule{Accept}, false, false},
		{"no rule", Linter{Rules: []Rule{}}, nil, false, false},
		{"except", Linter{Except: []Rule{Accept}}, []Rule{UploadLocation}, true, true},
		{"one rule and except", Linter{Rules: []Rule{Accept, Credentials}, Except: []Rule{Accept}}, []Rule{Credentials}, false, false},
		{"expect", Expect(registry.GetManifest), []Rule{Expected}, false, false},
		{"expect both", Expect(registry.GetManifest, registry.PatchUpload), nil, false, false},
		{"expect none", Expect(), []Rule{Expected, Expected}, false, false},
		{"no URLs", Linter{Except: []Rule{UploadLocation, LatestLocation, Link}}, []Rule{Accept}, false, true},
		{"no manifests", Linter{Except: []Rule{MediaType, ReferrersTag}}, []Rule{Accept, UploadLocation}, true, false},
	} {
		var found []Rule
		for _, f := range c.lint.Lint(s.journal.Requests()) {
			found = append(found, f.Rule)
		}
		slices.Sort(found)
		require.Equal(t, c.want, found, c.name)
		require.Equal(t, c.params, len(c.lint.Options()) > 0, c.name)

		var j journal.Journal
		c.lint.Observe(&j)
		h := j.Handler(registry.New(memstore.New(), registry.WithRecorder(&j)))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PUT", "/v2/app/manifests/v1", strings.NewReader(`{"mediaType":"a/b"}`)))
		require.Equal(t, c.reads, j.Requests().First().MediaType != "", c.name)
	}
}

// A test can call CheckRequests at any time, and several times with different rules.
func TestCheckRequests(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.send("GET", "/v2/app/manifests/v1", "")
	tb := faketb.New(t)
	Linter{Except: []Rule{Accept}}.CheckRequests(tb, s.journal.Requests())
	require.Empty(t, tb.Errors())
	Linter{LogOnly: true}.CheckRequests(tb, s.journal.Requests())
	require.Empty(t, tb.Errors())
	require.Len(t, tb.Lines(), 1)
	Linter{}.CheckRequests(tb, s.journal.Requests())
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "lint: request 1")
}

// Err reports a misspelt rule, because the linter would not check that rule.
func TestRulesThatDoNotExist(t *testing.T) {
	t.Parallel()
	require.NoError(t, Linter{}.Err())
	require.NoError(t, Strict().Err())
	require.EqualError(t, Linter{Rules: []Rule{"upload-strat"}}.Err(), `no rule of a Linter is called "upload-strat"; did you mean "upload-start"?`)
	wrong := Linter{Except: []Rule{"nope"}}
	require.EqualError(t, wrong.Err(), `no rule of a Linter is called "nope"; the constants of package lint are the rules`)
	tb := faketb.New(t)
	wrong.CheckRequests(tb, journal.Requests{})
	require.Equal(t, []string{"lint: " + wrong.Err().Error()}, tb.Errors())
}

// FuzzLint checks that a linter does not panic, whatever the records have.
func FuzzLint(f *testing.F) {
	f.Add(uint8(registry.PatchUpload), "/v2/a/blobs/uploads/x?_state=1", "0-1", "/v2/a/blobs/uploads/x?_state=2", 202, "x")
	f.Add(uint8(registry.ListTags), "/v2/a/tags/list?last=b", "", `<?last=b>; rel="next"`, 200, "")
	f.Add(uint8(registry.Ping), "/v2/", "10", "%zz", 429, "")
	f.Fuzz(func(t *testing.T, op uint8, target, field, link string, status int, session string) {
		u, err := url.Parse(target)
		if err != nil {
			t.Skip()
		}
		var records []journal.Record
		for range 3 {
			records = append(records, journal.Record{
				Op: registry.Op(op), URL: u, Status: status, Session: session, Repo: "a",
				RequestHeader:  http.Header{"Content-Range": {field}, "Content-Type": {field}},
				ResponseHeader: http.Header{"Location": {link}, "Link": {link}, "Range": {field}, "Retry-After": {field}, "Oci-Chunk-Min-Length": {field}},
			})
		}
		for _, finding := range (Linter{Rules: Rules(), Expect: []registry.Op{}}).Lint(recorded(records...)) {
			_ = finding.String()
		}
	})
}
