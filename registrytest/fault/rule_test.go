package fault

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/inject"
)

// allRules has rules as Go and as text. Together they have every word of the language.
var allRules = []struct {
	rule Rule
	text string
}{
	{On(registry.GetBlob).Status(503), "get-blob status=503"},
	{On(registry.GetBlob, registry.HeadBlob).Status(503), "get-blob,head-blob status=503"},
	{On().Status(503), "any status=503"},
	{On(registry.UnknownOp).Close(), "unknown close"},

	{On().Repo("team/**").Tag("v?").Close(), "any repo=team/** tag=v? close"},
	{On().Repo("a/**", "b/**").Method("GET", "PUT").Close(), "any repo=a/**,b/** method=GET,PUT close"},
	{On().Digest("sha256:ab*").Method("HEAD").Close(), "any digest=sha256:ab* method=HEAD close"},
	{On().HasHeader("Range").HasHeader("Range", "bytes=0-*").Close(), "any has-header=Range has-header=Range:bytes=0-* close"},
	{On().HasHeader("Accept", "a, b", "c").Close(), `any has-header="Accept:a\\, b,c" close`},
	{On().HasHeader("?n", "1*").HasHeader("!?last").HasHeader("!Range").Close(), "any has-header=?n:1* has-header=!?last has-header=!Range close"},
	{On(registry.PutManifest).Where(RepoExists).Where(Not(Found)).Where(BodyOver(10)).Close(), "put-manifest where=repo-exists where=!found where=body>10 close"},
	{On(registry.DeleteManifest).Where(Not(Not(Tagged))).Where(Not(Referenced)).Close(), "delete-manifest where=tagged where=!referenced close"},
	{On(registry.PutManifest).Where(BodyHas(`"subject"`)).Where(Not(BodyHas("a b"))).Close(), `put-manifest where=body:"subject" where="!body:a b" close`},
	{On(registry.UnknownOp).Where(Path("/index/*")).Where(Not(Path("/index/static"))).Close(), "unknown where=path:/index/* where=!path:/index/static close"},
	{On().User("ci").Conn(2).Close(), "any user=ci conn=2 close"},
	{On().User("", `a\b,c`).Conn(2, 3).Close(), `any user=,a\\b\,c conn=2,3 close`},
	{On().User("").Close(), `any user="" close`},

	{On().Once().Close(), "any once close"},
	{On().Times(2).After(3).Every(4).Close(), "any times=2 after=3 every=4 close"},
	{On().FirstBytes(1 << 20).Close(), "any first-bytes=1048576 close"},
	{On().Probability(0.1).Seed(math.MaxUint64).Close(), "any probability=0.1 seed=18446744073709551615 close"},
	{On().Optional().Close(), "any optional close"},
	{
		On(registry.GetBlob).Times(2).Status(503).Then().Once().Status(429).RetryAfter(3 * time.Second),
		"get-blob times=2 status=503 then once status=429 retry-after=3",
	},

	{On().Status(404).Code(registry.CodeNameUnknown), "any status=404 code=NAME_UNKNOWN"},
	{On().Message(`not "now"`), `any message="not \"now\""`},
	{On().Status(307).Location("https://cdn.example.com"), "any status=307 location=https://cdn.example.com"},
	{On().Location("").Status(302), `any location="" status=302`},
	{On(registry.PutManifest).Repo("team/*").AfterCommit().Reset(), "put-manifest repo=team/* after-commit reset"},

	{On(registry.PatchUpload).AfterCommit().Status(201).Body(Own), "patch-upload after-commit status=201 body=own"},
	{On(registry.GetBlob).Ignore("Range").Status(206).Body(Own), "get-blob ignore=Range status=206 body=own"},

	{On().RetryAfter(1500 * time.Millisecond), "any retry-after=2"},
	{On().RetryAfter(0), "any retry-after=0"},
	{On().RetryAfter(time.Minute, AsDate), "any retry-after=date:60"},
	{On().SetHeader("Link", `</x>; rel="next"`), `any set-header="Link:</x>; rel=\"next\""`},
	{On().SetHeader("Docker-Content-Digest", "sha256:0"), "any set-header=Docker-Content-Digest:sha256:0"},
	{On().SetHeader("Warning", "one").AddHeader("Warning", "two"), "any set-header=Warning:one add-header=Warning:two"},
	{On().AddHeader("X", "1").AddHeader("X", "1"), "any add-header=X:1 add-header=X:1"},
	{On().DropHeader("Content-Type").DropHeader("Etag"), "any drop-header=Content-Type drop-header=Etag"},
	{On().DropHeader("Content-Type", "Etag"), "any drop-header=Content-Type,Etag"},
	{On().SetHeader("Range", "bytes={*}").AddHeader("Range", "{0-*}"), "any set-header=Range:bytes={*} add-header=Range:{0-*}"},
	{On().SetHeader("Content-Range", "{bytes *}"), `any set-header="Content-Range:{bytes *}"`},
	{On().Location("https://other"), "any location=https://other"},
	{On().Location("."), "any location=."},
	{On().Location("{origin}?n=5&last"), "any location={origin}?n=5&last"},
	{On().Location("https://other/{repo}:{tag}@{digest}"), "any location=https://other/{repo}:{tag}@{digest}"},
	{On().Location("https://other?_state={state}"), "any location=https://other?_state={state}"},
	{On().ContentLength(5), "any content-length=+5"},
	{On().ContentLength(-5), "any content-length=-5"},
	{On().Ignore("Range").Ignore("?n"), "any ignore=Range ignore=?n"},
	{On().Ignore("Range", "?n"), "any ignore=Range,?n"},
	{On().Ignore("Range=bytes=0-49", "?n=1"), "any ignore=Range=bytes=0-49,?n=1"},

	{On().Status(500).Body(HTML), "any status=500 body=html"},
	{On().Body(Text("\x00\xff")), `any body="text:\x00\xff"`},
	{On().Body(Text("")), `any body=text:`},
	{On().Body(Append("more\n")), `any body="append:more\n"`},
	{On().Body(Append("more"), Gzip, Deflate), "any body=append:more body=gzip body=deflate"},
	{On().Body(Gzip).Body(Gzip), "any body=gzip body=gzip"},
	{On().Body(RawDeflate), "any body=raw-deflate"},
	{On().Body(Errors(HTML)), "any body=errors:html"},
	{On().Corrupt(0).Corrupt(-1), "any corrupt=0 corrupt=-1"},

	{On().Delay(1500 * time.Millisecond), "any delay=1.5s"},
	{On().Delay(0, time.Minute), "any delay=0s..1m0s"},
	{On().Stall(7).Stall(9, time.Hour), "any stall=7 stall=9:1h0m0s"},
	{On().Throttle(1000), "any throttle=1000"},
	{On().Throttle(1, 0), "any throttle=1:0s"},

	{On().Close(), "any close"},
	{On().Close(AtByte(1)), "any close=1"},
	{On().Close(InHeader(1)), "any close=header:1"},
	{On().Reset(), "any reset"},
	{On().Reset(AtByte(-1)), "any reset=-1"},
	{On().Reset(InHeader(1)), "any reset=header:1"},
	{On().HalfClose(), "any half-close"},
	{On().HalfClose(AtByte(1)), "any half-close=1"},
	{On().HalfClose(InHeader(0)), "any half-close=header:0"},

	{On(registry.PatchUpload).Keep(1), "patch-upload keep=1"},
	{On(registry.PatchUpload).Acknowledge(1), "patch-upload acknowledge=1"},
	{On(registry.PatchUpload).LoseUpload(), "patch-upload lose-upload"},
	{On(registry.PatchUpload).Duplicate(), "patch-upload duplicate"},
}

// values returns the rule without its functions, because these cannot be compared.
func values(r Rule) Rule {
	r = r.clone()
	r.conditions = slices.Clone(r.conditions)
	for i := range r.conditions {
		r.conditions[i].met, r.conditions[i].ops = nil, nil
	}
	r.parts = slices.Clone(r.parts)
	for i := range r.parts {
		p := &r.parts[i]
		p.effects = slices.Clone(p.effects)
		for j := range p.effects {
			p.effects[j].do = nil
		}
		p.needs = slices.Clone(p.needs)
		for j := range p.needs {
			p.needs[j].has = nil
		}
	}
	return r
}

func TestRulePrintsTextThatIsParsed(t *testing.T) {
	t.Parallel()
	for _, test := range allRules {
		require.Equal(t, test.text, test.rule.String())
		parsed, err := Parse(test.text)
		require.NoError(t, err, test.text)
		require.Equal(t, values(test.rule), values(parsed), test.text)
		_, err = new(inject.Rules).Add(test.rule)
		require.NoError(t, err, test.text)
	}
}

// Every method of Rule has a word, every word has a method, and allRules has them all.
func TestRuleWords(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{"where": true}
	for _, test := range allRules {
		for _, word := range strings.Fields(test.text) {
			name, _, _ := strings.Cut(word, "=")
			tried[name] = true
		}
	}
	methods := reflect.TypeFor[Rule]()
	var words []string
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if name == "String" || name == "Begin" {
			continue
		}
		var word strings.Builder
		for i, c := range name {
			if 'A' <= c && c <= 'Z' && i > 0 {
				word.WriteByte('-')
			}
			word.WriteString(strings.ToLower(string(c)))
		}
		words = append(words, word.String())
		require.True(t, tried[word.String()], "allRules lacks the word %s", &word)
	}
	_, all := find("")
	require.ElementsMatch(t, words, all)
	require.LessOrEqual(t, len(words), 40, "the language has too many words: leave out a word that others express together, or raise the limit and give the reason in the commit")
}

func TestRuleText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rule{
		"  get-blob\tstatus=503\n":           On(registry.GetBlob).Status(503),
		`any set-header="X: y"`:              On().SetHeader("X", " y"),
		`any set-header=Etag:"x"`:            On().SetHeader("Etag", `"x"`),
		`any message="a\tb\u00e9" close=1`:   On().Message("a\tb\u00e9").Close(AtByte(1)),
		"any message=it's":                   On().Message("it's"),
		"get-blob":                           On(registry.GetBlob),
		"get-blob user=":                     On(registry.GetBlob).User(""),
		`any user=a\b\,c,d`:                  On().User(`a\b,c`, "d"),
		"any content-length=5":               On().ContentLength(5),
		"any delay=90s stall=0:1h":           On().Delay(90*time.Second).Stall(0, time.Hour),
		"any retry-after=+3 close=header:+3": On().RetryAfter(3 * time.Second).Close(InHeader(3)),
	} {
		got, err := Parse(text)
		require.NoError(t, err)
		require.Equal(t, values(want), values(got))
	}
}

// Adding words to a rule makes a new rule, and does not change the first one.
func TestRuleIsAValue(t *testing.T) {
	t.Parallel()
	base := On(registry.GetBlob).Repo("app").Times(1)
	one, other := base.Status(500), base.Reset()
	require.Equal(t, "get-blob repo=app times=1", base.String())
	require.Equal(t, "get-blob repo=app times=1 status=500", one.String())
	require.Equal(t, "get-blob repo=app times=1 reset", other.String())
}

// kinds has different requests for FuzzParse: with and without a body, a range, a
// digest and an upload session.
var kinds = []struct{ method, target, body, header string }{
	{"GET", "/v2/", "", ""},
	{"HEAD", "/v2/", "", ""},
	{"GET", "/v2/app/blobs/sha256:" + strings.Repeat("a", 64), "", "Range:bytes=1-2"},
	{"PUT", "/v2/app/manifests/v1", "{}", ""},
	{"POST", "/v2/app/blobs/uploads/?digest=" + string(dgst([]byte("0123456789"))), "0123456789", ""},
	{"PATCH", "/v2/app/blobs/uploads/x", "0123456789", "Content-Range:5-14"},
}

// If Parse accepts a text, it also parses the String of the rule, to the same rule. The
// rule can be applied to all kinds of requests.
func FuzzParse(f *testing.F) {
	for _, test := range allRules {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := Parse(text)
		if err != nil || len(text) > 200 { // A longer text might compress a body a hundred times.
			return
		}
		again, err := Parse(rule.String())
		require.NoError(t, err)
		require.Equal(t, values(rule), values(again))
		require.Equal(t, rule.String(), again.String())
		var rules inject.Rules
		if _, err := rules.Add(rule); err != nil {
			return
		}
		// The client has gone away already, so that no fault waits.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, kind := range kinds {
			for proto := 1; proto <= 2; proto++ {
				r := httptest.NewRequestWithContext(ctx, kind.method, kind.target, strings.NewReader(kind.body))
				name, value, _ := strings.Cut(kind.header, ":")
				r.Header.Set(name, value)
				r.ProtoMajor = proto
				callAll(&rules, r)
				served(registry.New(memstore.New(), registry.WithFaults(rules.Inject)), r)
			}
		}
	})
}

// callAll calls all functions of the fault for the request.
func callAll(rules *inject.Rules, hr *http.Request) {
	r, _ := registry.ParseRequest(hr)
	f := rules.Inject(r)
	if f == nil {
		return
	}
	if f.Before != nil {
		f.Before(r)
		io.Copy(io.Discard, r.Body)
	}
	header := http.Header{"Content-Length": {"10"}, "Location": {"/x"}}
	if f.Header != nil {
		f.Header(202, header)
	}
	if f.LastHeader != nil {
		f.LastHeader(header)
	}
	for _, size := range []int64{-1, 0, 10} {
		var w io.Writer = new(bytes.Buffer)
		if f.Wire != nil {
			w = f.Wire(w)
			w.Write([]byte("HTTP/1.1 202 Accepted\r\n"))
		}
		if f.Body != nil {
			w = f.Body(w, size)
		}
		w.Write([]byte("01234"))
		w.Write([]byte("56789"))
		closeWriter(w)
	}
}
