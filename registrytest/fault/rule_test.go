package fault

import (
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// allRules has every word of the language, as Go and as text.
var allRules = []struct {
	rule Rule
	text string
}{
	{On(registry.GetBlob).Status(503), "get-blob status=503"},
	{On(registry.GetBlob, registry.HeadBlob).Status(503), "get-blob,head-blob status=503"},
	{On().Status(503), "any status=503"},
	{On(registry.UnknownOp).Close(), "unknown close"},

	{On().Repo("team/**").Tag("v?").Close(), "any repo=team/** tag=v? close"},
	{On().Digest("sha256:ab*").Method("HEAD").Close(), "any digest=sha256:ab* method=HEAD close"},
	{On().HasHeader("Range", "bytes=0-*").Close(), "any has-header=Range:bytes=0-* close"},
	{On().User("ci").Conn(2).Close(), "any user=ci conn=2 close"},

	{On().Once().Close(), "any once close"},
	{On().Times(2).After(3).Every(4).Close(), "any times=2 after=3 every=4 close"},
	{On().FirstBytes(1 << 20).Close(), "any first-bytes=1048576 close"},
	{On().Probability(0.1).Seed(math.MaxUint64).Close(), "any probability=0.1 seed=18446744073709551615 close"},
	{
		On(registry.GetBlob).Times(2).Status(503).Then().Once().Status(429).RetryAfter(3 * time.Second),
		"get-blob times=2 status=503 then once status=429 retry-after=3",
	},

	{On().Status(404).Code(registry.CodeNameUnknown), "any status=404 code=NAME_UNKNOWN"},
	{On().Message(`not "now"`), `any message="not \"now\""`},
	{On().Status(500).Body(BodyHTML), "any status=500 body=html"},
	{On().Redirect("https://cdn.example.com"), "any redirect=https://cdn.example.com"},
	{On().Redirect("").Status(302), `any redirect="" status=302`},
	{On(registry.PutManifest).Repo("team/*").AfterCommit().Reset(), "put-manifest repo=team/* after-commit reset"},

	{On().RetryAfter(1500 * time.Millisecond), "any retry-after=2"},
	{On().RetryAt(time.Minute), "any retry-at=60"},
	{On().SetHeader("Link", `</x>; rel="next"`), `any set-header="Link:</x>; rel=\"next\""`},
	{On().SetHeader("Docker-Content-Digest", "sha256:0"), "any set-header=Docker-Content-Digest:sha256:0"},
	{On().DropHeader("Content-Type").DropHeader("Etag"), "any drop-header=Content-Type drop-header=Etag"},
	{On().Location("https://other"), "any location=https://other"},
	{On().ContentLength(5), "any content-length=+5"},
	{On().ContentLength(-5), "any content-length=-5"},
	{On().IgnoreHeader("Range").IgnoreQuery("n"), "any ignore-header=Range ignore-query=n"},

	{On().Content("\x00\xff"), `any content="\x00\xff"`},
	{On().Append("more\n"), `any append="more\n"`},
	{On().Corrupt(0).Corrupt(-1), "any corrupt=0 corrupt=-1"},
	{On().Encode("gzip").Encode("deflate"), "any encode=gzip encode=deflate"},

	{On().Delay(1500 * time.Millisecond).Jitter(time.Minute), "any delay=1.5s jitter=1m0s"},
	{On().Stall(7, 0).Stall(9, time.Hour), "any stall=7 stall=9:1h0m0s"},
	{On().Throttle(1000).Slice(1), "any throttle=1000 slice=1"},

	{On().CloseAt(1), "any close-at=1"},
	{On().CloseInHeader(1), "any close-in-header=1"},
	{On().Reset(), "any reset"},
	{On().ResetAt(-1), "any reset-at=-1"},
	{On().ResetInHeader(1), "any reset-in-header=1"},
	{On().HalfClose(), "any half-close"},
	{On().HalfCloseAt(1), "any half-close-at=1"},
	{On().GoAway(), "any go-away"},

	{On(registry.PatchUpload).Accept(1), "patch-upload accept=1"},
	{On(registry.PatchUpload).Acknowledge(1), "patch-upload acknowledge=1"},
	{On(registry.PatchUpload).LoseUpload(), "patch-upload lose-upload"},
}

func TestRulePrintsWhatIsParsed(t *testing.T) {
	t.Parallel()
	for _, test := range allRules {
		require.Equal(t, test.text, test.rule.String())
		parsed, err := Parse(test.text)
		require.NoError(t, err, test.text)
		require.Equal(t, test.rule, parsed, test.text)
		_, err = new(Rules).Add(test.rule)
		require.NoError(t, err, test.text)
	}
}

// The methods and the words are the same, but for Where.
func TestRuleWords(t *testing.T) {
	t.Parallel()
	words := map[string]bool{}
	for _, test := range allRules {
		for _, word := range strings.Fields(test.text) {
			name, _, _ := strings.Cut(word, "=")
			words[name] = true
		}
	}
	methods := reflect.TypeFor[Rule]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if name == "String" || name == "Where" {
			continue
		}
		var word strings.Builder
		for i, c := range name {
			if 'A' <= c && c <= 'Z' && i > 0 {
				word.WriteByte('-')
			}
			word.WriteString(strings.ToLower(string(c)))
		}
		require.True(t, words[word.String()], "no test of the language has %s", &word)
	}
}

func TestRuleText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rule{
		"  get-blob\tstatus=503\n":            On(registry.GetBlob).Status(503),
		`any set-header="X: y"`:               On().SetHeader("X", " y"),
		`any set-header=Etag:"x"`:             On().SetHeader("Etag", `"x"`),
		`any message="a\tb\u00e9" close-at=1`: On().Message("a\tb\u00e9").CloseAt(1),
		"any message=it's":                    On().Message("it's"),
		"get-blob":                            On(registry.GetBlob),
	} {
		got, err := Parse(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestRuleMakesNoSense(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "does not say with which requests",
		" ":                       "does not say with which requests",
		"fetch status=503":        `no operation is called "fetch"`,
		"get-blob, status=503":    `no operation is called ""`,
		"status=503":              "begins with status=503, not with an operation",
		"get-blob explode":        `no fault is called "explode"`,
		"get-blob get-blob":       `no fault is called "get-blob"`,
		"get-blob =1":             `no fault is called ""`,
		"get-blob status":         "status needs an argument",
		"get-blob once=1 close":   "once has no argument",
		"get-blob status=abc":     "status=abc: not a number",
		"get-blob status=99":      "less than 200",
		"get-blob status=600":     "more than 599",
		"get-blob times=0 close":  "times=0: less than 1",
		"get-blob after=-1 close": "after=-1: less than 0",
		"get-blob times=99999999999999999999 close": "not a number",
		"get-blob times=1 times=2 close":            "times is said twice",
		"get-blob status=500 status=501":            "status is said twice",
		"get-blob close reset":                      "a connection ends but once",
		"get-blob status=500 reset":                 "cannot be answered and have its connection ended",
		"get-blob after-commit":                     "after-commit says nothing of the answer",
		"get-blob status=500 then once status=501":  "has no end",
		"get-blob once status=500 then":             "nothing happens after the last then",
		"get-blob probability=0 close":              "not above 0",
		"get-blob probability=1.1 close":            "not above 0",
		"get-blob probability=NaN close":            "not above 0",
		"get-blob seed=-1 close":                    "not a number from 0",
		"get-blob body=xml":                         "not one of",
		"get-blob redirect=%zz":                     "not a URL",
		"get-blob location=%zz":                     "not a URL",
		"get-blob set-header=X":                     "no colon",
		"get-blob set-header=:x":                    `"" is not the name of a header`,
		`get-blob set-header="a b:x"`:               `"a b" is not the name of a header`,
		`get-blob set-header="a:b\nc"`:              "not the value of a header",
		"get-blob drop-header=a:b":                  `"a:b" is not the name of a header`,
		"get-blob has-header=:b close":              `"" is not the name of a header`,
		"get-blob ignore-header=a:b":                `"a:b" is not the name of a header`,
		"get-blob content-length=0":                 "not a lie",
		"get-blob encode=br":                        "none of gzip, deflate and zstd",
		"get-blob delay=1":                          "not a duration",
		"get-blob delay=-1s":                        "not longer than nothing",
		"get-blob jitter=0s":                        "not longer than nothing",
		"get-blob stall=1:":                         "not a duration",
		"get-blob stall=x:1s":                       "not a number",
		"get-blob throttle=0":                       "less than 1",
		"get-blob where":                            "a function, which cannot be written",
		`get-blob message="x`:                       "not a string in quotes",
		`get-blob message="x"y`:                     `no space after "x"`,
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, want, "%q", text)
		require.ErrorContains(t, err, "fault rule ", "%q", text)
	}
	for _, rule := range []Rule{
		{},
		On(registry.GetBlob),
		On(registry.GetBlob).Times(2),
		On(registry.GetBlob).AfterCommit(),
		On(registry.GetBlob).AfterCommit().SetHeader("X", "y"),
		On(registry.Op(200)).Close(),
		On().Where(nil).Close(),
		On().Delay(0),
		On().Status(0),
	} {
		_, err := new(Rules).Add(rule)
		require.Error(t, err, rule.String())
	}
}

// A rule that others are made of does not change.
func TestRuleIsAValue(t *testing.T) {
	t.Parallel()
	base := On(registry.GetBlob).Repo("app").Times(1)
	one, other := base.Status(500), base.Reset()
	require.Equal(t, "get-blob repo=app times=1", base.String())
	require.Equal(t, "get-blob repo=app times=1 status=500", one.String())
	require.Equal(t, "get-blob repo=app times=1 reset", other.String())
}

func FuzzParse(f *testing.F) {
	for _, test := range allRules {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(rule.String())
		require.NoError(t, err)
		require.Equal(t, rule, again)
		require.Equal(t, rule.String(), again.String())
		// What parses does not break the handler either.
		var faults Rules
		if _, err := faults.Add(rule); err != nil || strings.Contains(text, "stall") || strings.Contains(text, "delay") ||
			strings.Contains(text, "jitter") || strings.Contains(text, "throttle") {
			return
		}
		serve(registry.WithFaults(faults.Inject), "GET", "/v2/", http.NoBody)
	})
}
