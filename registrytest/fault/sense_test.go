package fault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/inject"
)

// Parse refuses a rule that makes no sense, with a sentence that says why.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		// In these rules, the operation is missing or a word is wrong.
		"":                                "it names no requests: begin it with operations, or with any",
		" ":                               "it names no requests: begin it with operations, or with any",
		"fetch status=503":                `no operation is called "fetch"`,
		"get-blbo status=503":             `no operation is called "get-blbo"; did you mean "get-blob"?`,
		"GetBlob status=503":              `no operation is called "GetBlob"; did you mean "get-blob"?`,
		"Any status=503":                  `no operation is called "Any"; did you mean "any"?`,
		"get-blob, status=503":            `no operation is called ""`,
		"status=503":                      "it begins with status=503, not with an operation",
		"get-blob explode":                `no fault is called "explode"`,
		"get-blob stauts=503":             `no fault is called "stauts"; did you mean "status"?`,
		"get-blob RetryAfter=3":           `no fault is called "RetryAfter"; did you mean "retry-after"?`,
		"get-blob get-blob":               `no fault is called "get-blob"`,
		"get-blob =1":                     `no fault is called ""`,
		"get-blob status":                 "status needs an argument",
		"get-blob conn close":             "conn needs an argument",
		"get-blob seed close":             "seed needs an argument",
		"get-blob retry-after":            "retry-after needs an argument",
		"get-blob set-header":             "set-header needs an argument",
		"get-blob delay":                  "delay needs an argument",
		"get-blob once=1 close":           "once has no argument",
		"get-blob where":                  "where: want a condition, such as where=found; a Go function has no text",
		"get-blob where=fond":             `where=fond: no condition is called "fond"; did you mean "found"?`,
		"get-blob where=!repo":            `no condition is called "repo"`,
		"put-manifest where=body>x close": `where=body>x: "x" is not a number of bytes`,
		"get-blob has-header=? close":     "it needs the name of a parameter after the ?",
		"get-blob has-header=!a/b close":  `"a/b" is not the name of a header`,
		`get-blob message="x`:             "the argument of message is not a string in quotes",
		`get-blob message="x"y`:           `there is no space after "x"`,
		"get-blob status=abc":             "status=abc: not a number",
		"get-blob status=500\x00":         `status="500\x00": not a number`,

		// No request meets the conditions of these rules.
		"get-blob tag=v1 close":                       "tag=v1: no get-blob request has a tag",
		"get-blob,head-blob tag=v1 close":             "tag=v1: no get-blob,head-blob request has a tag",
		"delete-manifest tag=* close":                 "tag=*: no delete-manifest request has a tag",
		"ping repo=** close":                          "repo=**: no ping request has a repository",
		"list-tags digest=sha256:* close":             "digest=sha256:*: no list-tags request has a digest",
		"get-manifest tag=v1 digest=sha256:ab* close": "no request names both a tag and a digest",
		"any digest=sha256:abc close":                 `digest=sha256:abc: "sha256:abc" is not a digest: invalid checksum digest length`,
		"any digest=abc close":                        `"abc" is not a digest: invalid checksum digest format`,
		"any digest=sha256:AB* close":                 `no digest has the character 'A'`,
		"any digest=ab? close":                        `a digest begins with its algorithm, such as sha256:ab?`,
		"get-blob method=HEAD close":                  "method=HEAD: no get-blob request has such a method",
		"any method=get close":                        "method=get: write the method in capital letters",
		"any conn=0 close":                            "conn=0: connections are counted from 1",
		"any conn=1,x close":                          "conn=1,x: not a number",
		"any conn=1 conn=2 close":                     "conn is given twice",
		"get-blob where=path:/index/static close":     "where=path:/index/static: no get-blob request has a path outside the API",
		"unknown where=path:index/static close":       "where=path:index/static: a path begins with a slash",
		"any where=path:/* tag=v1 close":              "no request meets all of where=path:/* tag=v1",
		"get-blob has-header=:b close":                `"" is not the name of a header`,

		// In these rules, a number of requests, a probability or a seed is wrong.
		"get-blob times=0 close":                    "times=0: less than 1",
		"get-blob after=-1 close":                   "after=-1: less than 0",
		"get-blob every=0 close":                    "every=0: less than 1",
		"get-blob first-bytes=0 close":              "first-bytes=0: less than 1",
		"get-blob times=99999999999999999999 close": "not a number",
		"get-blob times=1 times=2 close":            "times is given twice",
		"get-blob once times=2 close":               "times=2: the number of times is set already",
		"get-blob times=2 then once once close":     "once is given twice",
		"any first-bytes=10 then once close":        "first-bytes counts the bytes of requests on which its part has an effect",
		"get-blob probability=0 close":              "want a number above 0",
		"get-blob probability=1.1 close":            "want a number above 0",
		"get-blob probability=NaN close":            "want a number above 0",
		"get-blob probability=x close":              "not a number",
		"get-blob seed=-1 close":                    "seed=-1: not a whole number from 0",
		"get-blob times=1 seed=1 then seed=2 close": "seed=2: the seed is set already",
		"get-blob status=500 then once status=501":  `the part before "then" has no end: add once, times or first-bytes`,
		"get-blob once status=500 then":             `the part after the last "then" has no effect`,

		// These rules cannot respond as they say.
		"get-blob status=99":                     "status=99: less than 200",
		"get-blob status=600":                    "status=600: more than 599",
		"get-blob status=500 status=501":         "status is given twice",
		`get-blob code=""`:                       "the code is empty",
		`get-blob message=""`:                    "the message is empty",
		"get-blob status=500 reset":              "a rule cannot respond to a request and also end its connection in place of a response",
		"get-blob close body=html":               "a rule cannot respond to a request and also end its connection in place of a response",
		"get-blob after-commit":                  "after-commit has no effect: it needs a response, an end of the connection or a delay",
		"get-blob body=htlm":                     `no body is called "htlm"; did you mean "html"?`,
		"get-blob body=br":                       `no body is called "br"`,
		"get-blob body=tetx:x":                   `no body is called "tetx:x"; did you mean "text:"?`,
		"get-blob body=html body=plain":          "a response has only one body",
		"get-blob body=text:a body=text:b":       "a response has only one body",
		"get-blob body=html body=text:b":         "a response has only one body",
		"get-blob body=text:b body=html":         "a response has only one body",
		"get-blob body=append:":                  "there is nothing to append",
		"get-blob retry-after=x":                 "retry-after=x: not a number",
		"get-blob retry-after=3s":                "retry-after=3s: not a number of seconds, such as 3",
		"get-blob retry-after=-1":                "less than 0",
		"get-blob retry-after=dat:1":             `no form is called "dat"; did you mean "date"?`,
		"get-blob retry-after=date:":             "not a number",
		"get-blob retry-after=9999999999999":     "too large",
		"get-blob location=%zz":                  "not a URL",
		"any location=?a={stat}":                 `no part of a URL is called {stat}; did you mean "{state}"?`,
		"any location={host}":                    "no part of a URL is called {host}",
		"any location=https://a/{origin}":        "{origin} must be at the beginning of the URL",
		"any location=/{state}":                  "{state} must be the value of one parameter, as in ?_state={state}",
		"any location=?a=x{state}":               "{state} must be the value of one parameter",
		"any location=?a={state}&b={state}":      "{state} must be the value of one parameter",
		"get-blob set-header=Etag:{*}":           "{*} alone leaves the header as it is",
		"get-blob set-header=X":                  "want a name, a colon and a value, such as X-Test:1",
		"get-blob set-header=:x":                 `"" is not the name of a header`,
		"get-blob add-header=:x":                 `"" is not the name of a header`,
		`get-blob set-header="a b:x"`:            `"a b" is not the name of a header`,
		`get-blob set-header="a:b\nc"`:           "not the value of a header",
		"get-blob set-header=X:1 set-header=x:2": "X is set already; add-header gives it a second value",
		"get-blob drop-header=a:b":               `"a:b" is not the name of a header`,
		"get-blob content-length=0":              "this is the right length",

		// These rules cannot change the request as they say.
		"get-blob ignore=a:b":              `"a:b" is not the name of a header`,
		"get-blob ignore=Range status=500": "ignore=Range has no effect: the rule responds in place of the operation",
		"patch-upload keep=1 close":        "keep=1 has no effect: the rule responds in place of the operation",
		"get-blob keep=1":                  "keep=1: no get-blob request has the body of a request",
		"patch-upload keep=-1":             "less than 0",
		"put-upload acknowledge=1":         "acknowledge=1: no put-upload request has a chunk of an upload",
		"get-blob lose-upload":             "lose-upload: no get-blob request has an upload session",
		"get-blob duplicate":               "duplicate: no get-blob request has an effect on the content",

		// In these rules, a byte, a duration or an end of the connection is wrong.
		"get-blob corrupt=x":           "corrupt=x: not a number",
		"get-blob corrupt=1 corrupt=1": "corrupting a byte twice restores it",
		"get-blob delay=1":             "not a duration, such as 1.5s",
		"get-blob delay=-1s":           "want a duration above 0",
		"get-blob delay=0s..0s":        "0s is not less than 0s",
		"get-blob delay=2s..1s":        "2s is not less than 1s",
		"get-blob delay=-1s..1s":       "less than 0",
		"get-blob delay=1s..x":         "not a duration",
		"get-blob stall=1:":            "not a duration",
		"get-blob stall=1:0s":          "want a duration above 0",
		"get-blob stall=x:1s":          "not a number",
		"get-blob throttle=0":          "less than 1",
		"get-blob throttle=1:-1s":      "the duration is less than 0",
		"get-blob close reset":         "a connection ends only once",
		"get-blob close=1 reset=2":     "a connection ends only once",
		"get-blob close=headr:1":       "not a place: want the number of a byte, or header: and a number of bytes",
		"get-blob close=header:-1":     "a place in the header cannot count from its end",
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, want, "%q", text)
		require.ErrorContains(t, err, "fault rule ", "%q", text)
	}
}

// Add refuses a rule that makes no sense, with a sentence that says why.
func TestAddRefuses(t *testing.T) {
	t.Parallel()
	anything := func(*registry.Request) bool { return true }
	for _, test := range []struct {
		rule Rule
		want string
	}{
		{Rule{}, "it names no requests; begin it with On"},
		{Rule{}.Status(500), "it names no requests; begin it with On"},
		{Rule{}.Once().Then().Status(500), "it names no requests; begin it with On"},
		{Rule{}.Repo("a").Digest("*"), "it names no requests; begin it with On"},
		{Rule{}.Keep(1), "it names no requests; begin it with On"},
		{Rule{}.Optional(), "it names no requests; begin it with On"},
		{Rule{}.Conn(1), "it names no requests; begin it with On"},
		{Rule{}.Seed(1), "it names no requests; begin it with On"},
		{Rule{}.Then(), "it names no requests; begin it with On"},
		{On(registry.GetBlob), "it has no effect: add an action, such as status=503 or close"},
		{On(registry.GetBlob).Times(2), "it has no effect: add an action, such as status=503 or close"},
		{On(registry.GetBlob).AfterCommit(), "after-commit has no effect"},
		{On(registry.GetBlob).AfterCommit().SetHeader("X", "y"), "after-commit has no effect"},
		{On(registry.Op(200)).Close(), `no operation is called "op(200)"`},
		{On().Where("large", nil).Close(), "where=large: its function is nil"},
		{On().Where("large", anything, anything).Close(), "where=large: it has more than one function"},
		{On().Where("large").Close(), `where=large: no condition is called "large"`},
		{On().Where("", anything).Close(), "the function needs a name"},
		{On().Where(Found, anything).Close(), "found is a condition without a function; choose another name"},
		{On().Where(Not(BodyOver(5)), anything).Close(), "body>5 is a condition without a function"},
		{On().Where(BodyHas("")).Close(), "where=body:: it needs a text"},
		{On().Body(Errors("")), "no other shape of errors is called"},
		{On().Where(BodyOver(-1)).Close(), `where=body>-1: "-1" is not a number of bytes`},
		{On().Delay(0), "want a duration above 0"},
		{On().Delay(3), "3ns is less than a microsecond: for 3 seconds, write 3*time.Second"},
		{On().Delay(1, 2, 3), "it has more than two durations"},
		{On().Stall(0, 1, 2), "it has more than one duration"},
		{On().Throttle(1, 2, 3), "it has more than one duration"},
		{On().RetryAfter(3), "retry-after=3ns: 3ns is less than a millisecond: for 3 seconds, write 3*time.Second"},
		{On().RetryAfter(-time.Second), "less than 0"},
		{On().RetryAfter(0, AsDate, AsDate), "it has only one form"},
		{On().RetryAfter(0, "Date"), `no form is called "Date"; did you mean "date"?`},
		{On().Status(0), "status=0: less than 200"},
		{On().Body(), "it needs a value"},
		{On().Body("HTML"), `no body is called "HTML"`},
		{On().Repo().Close(), "it needs a pattern"},
		{On().Conn().Close(), "it needs the number of a connection"},
		{On().DropHeader(), "it needs the name of a header"},
		{On().Ignore(), "it needs the name of a header"},
		{On().Close(AtByte(1), AtByte(2)), "it has more than one place"},
		{On().Times(0).Status(99).Close(), "times=0: less than 1"}, // the first of two errors
	} {
		_, err := new(inject.Rules).Add(test.rule)
		require.ErrorContains(t, err, test.want, test.rule.String())
		require.ErrorContains(t, err, "fault rule ", test.rule.String())
	}
}

// Add accepts rules whose words seem to contradict each other and do not.
func TestRulesThatMakeSense(t *testing.T) {
	t.Parallel()
	for _, rule := range []Rule{
		On(registry.GetBlob, registry.GetManifest).Tag("v1").Close(),
		On(registry.GetBlob).Tag("", "v1").Close(),
		On(registry.Ping).User("").Repo("").Close(),
		On(registry.UnknownOp).Method("PURGE").Close(),
		On().Digest("sha256:ab*", "*", "", "sha???:*").Close(),
		On().Repo("a/**").Repo("**/b").Close(),
		On().Tag("v1").Digest("").Close(),
		On(registry.PatchUpload).LoseUpload().Status(500),
		On(registry.PatchUpload).Keep(1).AfterCommit().Status(500),
		On().Status(500).Close(AtByte(1)),
		On().Once().Corrupt(0).SetHeader("X", "1").Then().Once().Corrupt(0).SetHeader("X", "2"),
	} {
		_, err := new(inject.Rules).Add(rule)
		require.NoError(t, err, rule.String())
	}
}

// A rule that makes no sense is an error. A similar rule that makes sense is not.
func TestSense(t *testing.T) {
	t.Parallel()
	hex := strings.Repeat("0", 64)
	for _, test := range []struct{ refused, want, accepted string }{
		// The conditions of these rules exclude each other, all requests for the
		// operation, or all requests on which the rule can have its effect.
		{"any tag=v1 tag=v2 close", "no request meets both tag=v1 and tag=v2", "any tag=v1 tag=v* close"},
		{"any tag=v1* tag=v2* close", "no request meets both", "any tag=v1* tag=v?2 close"},
		{"any tag=a,b tag=c,d close", "no request meets both", "any tag=a,b tag=b,c close"},
		{"any tag=v1 tag=* tag=v2 close", "no request meets both tag=v1 and tag=v2", "any tag=v1 tag=* tag=v? close"},
		{`any tag=v1 tag="" close`, `no request meets both tag=v1 and tag=""`, "any tag=v1 tag=,v1 close"},
		{`any tag=* tag="" close`, "no request meets both", `any tag=,v1 tag=,v2 close`},
		{"any digest=sha256:a* digest=sha256:b* close", "no request meets both", "any digest=sha256:a* digest=sha256:*b close"},
		{"any method=GET method=HEAD close", "no request meets both method=GET and method=HEAD", "any method=GET,HEAD method=HEAD close"},
		{"any repo=a repo=b close", "no request meets both repo=a and repo=b", "any repo=a/** repo=**/b close"},
		{"any repo=a/* repo=a/*/c close", "no request meets both", "any repo=a/** repo=a/*/c close"},
		{"any user=a user=b close", "no request meets both user=a and user=b", "any user=a* user=*b close"},
		{"get-blob,put-manifest tag=v1 method=GET close", "no request meets all of get-blob,put-manifest tag=v1 method=GET", "get-blob,put-manifest tag=v1 method=PUT close"},
		{"any tag=v1 method=PATCH close", "no request meets all of tag=v1 method=PATCH", "any tag=v1 method=DELETE close"},
		{"any digest=sha256:* method=PATCH close", "no request meets all of", "any digest=sha256:* method=POST close"},
		{`any method="" close`, `method="": every request has a method`, "any method=,PURGE close"},
		{"any method=GET keep=1", "keep=1: no request that meets method=GET has the body of a request", "any method=PUT keep=1"},
		{"any tag=v1 lose-upload", "lose-upload: no request that meets tag=v1 has an upload session", "any tag= lose-upload"},
		{"get-manifest,patch-upload tag=v1 once acknowledge=1", "no request that meets get-manifest,patch-upload tag=v1 has a chunk", "get-manifest,patch-upload repo=a once acknowledge=1"},

		// These rules have patterns that match no valid name.
		{"any repo=Team/app close", `repo=Team/app: no repository can have the name "Team/app"`, "any repo=team/app close"},
		{"any repo=/team/* close", `no repository can have the name "/team/*"`, "any repo=team/* close"},
		{"any repo=team/ close", "no repository can have the name", "any repo=team/** close"},
		{"any repo=localhost:5000/app close", "no repository can have the name", "any repo=localhost/app close"},
		{"any repo=a//* close", "no repository can have the name", "any repo=a/*/* close"},
		{"any repo=app,App close", `no repository can have the name "App"`, "any repo=app,?app,*_b close"},
		{"any repo=" + strings.Repeat("a", 256) + " close", "no repository can have the name", "any repo=" + strings.Repeat("a", 255) + "* close"},
		{"any tag=a/b close", `tag=a/b: no manifest can have the tag "a/b"`, "any tag=a*b close"},
		{"any tag=-1 close", "no manifest can have the tag", "any tag=?-1 close"},
		{"any tag=.* close", "no manifest can have the tag", "any tag=_* close"},
		{"get-manifest tag=sha256:" + hex + " close", "no manifest can have the tag", "get-manifest tag=sha256-" + hex + " close"},

		// These rules have patterns that match no digest.
		{"any digest=sha256:" + hex + "0 close", "invalid checksum digest length", "any digest=sha256:" + hex + " close"},
		{"any digest=sha265:" + hex + " close", `no algorithm of digests is called "sha265"; did you mean "sha256"?`, "any digest=md5:" + hex + " close"},
		{"any digest=sha-256:* close", `did you mean "sha256"?`, "any digest=sha224:* close"},
		{"any digest=sha3_256:* close", `did you mean "sha256"?`, "any digest=sha3-256:* close"},
		{"any digest=SHA256:* close", `did you mean "sha256"?`, "any digest=sha*:* close"},
		{"any digest=blake3:ab close", "blake3 has 64 characters, not 2", "any digest=blake3:" + hex + " close"},
		{"any digest=sha256:xy* close", `no digest has the character 'x'`, "any digest=other:xy* close"},
		{"any digest=sha512:AB* close", `no digest has the character 'A'`, "any digest=other:AB=* close"},
		{"any digest=sha256:ab?? close", "a digest of sha256 has 64 characters after the colon, not 4", "any digest=sha256:ab??* close"},
		{"any digest=sha256:*" + hex + "? close", "a digest of sha256 has 64 characters after the colon, not 65", "any digest=sha256:*" + hex[1:] + "? close"},
		{"any digest=other: close", `"other:" is not a digest`, "any digest=other:* close"},
		{"any digest=a:b:* close", `"a:b:*" is not a digest`, "any digest=a+b.c:* close"},
		{"any digest=ab/* close", `"ab/*" is not a digest`, "any digest=ab* close"},

		// A response to HEAD has only a header, and no bytes to cut.
		{"head-blob corrupt=0", "corrupt=0 has no effect: a response to HEAD has no bytes in its body", "get-blob,head-blob corrupt=0"},
		{"head-blob,head-manifest close=1", "close=1 has no effect", "head-blob,head-manifest close=0"},
		{"head-blob reset=-1", "reset=-1 has no effect", "head-blob reset=header:20"},
		{"head-manifest stall=1:1s", "stall=1:1s has no effect", "head-manifest stall=0:1s"},
		{"head-manifest throttle=10", "throttle=10 has no effect", "head-manifest delay=10s"},
		{"head-blob first-bytes=10 status=503", "first-bytes=10 has no effect", "head-blob times=10 status=503"},
		{"any method=HEAD half-close=5", "half-close=5 has no effect", "any method=HEAD,GET half-close=5"},
		{"get-upload method=HEAD corrupt=1", "corrupt=1 has no effect", "get-upload corrupt=1"},
		{"head-blob once status=503 body=html corrupt=3", "corrupt=3 has no effect", "head-blob once status=503 body=html"},

		// These rules have a condition and its negation.
		{"any has-header=Range has-header=!Range close", "no request meets both has-header=Range and has-header=!Range", "any has-header=Range has-header=!Accept close"},
		{"any has-header=!?n has-header=?n:5 close", "no request meets both has-header=!?n and has-header=?n:5", "any has-header=!?n:6 has-header=?n:5 close"},
		{"any where=found where=!found close", "no request meets both where=found and where=!found", "any where=found where=!tagged close"},
		{"any where=body>10 where=!body>10 close", "no request meets both where=body>10 and where=!body>10", "any where=body>10 where=!body>11 close"},
		{"any where=!body>10 where=body>20 close", "no request meets both", "any where=!body>20 where=body>10 close"},
		{"put-manifest where=body:a where=!body:a close", "no request meets both", "put-manifest where=body:a where=!body:b close"},

		// These rules have conditions or effects on things that the requests do not have.
		{"ping where=repo-exists close", "where=repo-exists: no ping request has a repository", "list-tags where=repo-exists close"},
		{"patch-upload where=!found close", "where=!found: no patch-upload request has a blob or a manifest", "put-upload where=!found close"},
		{"get-blob where=tagged close", "where=tagged: no get-blob request has a manifest", "delete-manifest where=tagged close"},
		{"get-blob where=body>5 close", "where=body>5: no get-blob request has the body of a request", "post-blob where=body>5 close"},
		{"patch-upload where=body:x close", "where=body:x: no patch-upload request has a manifest or a form in its body", "token where=body:x close"},
		{"any where=tagged method=PATCH close", "no request meets all of where=tagged method=PATCH", "any where=tagged method=DELETE close"},
		{"start-upload location=?a={state}", "location=?a={state}: no start-upload request has an upload session", "start-upload,patch-upload location=?a={state}"},
		{"any method=POST location=?a={state}", "no request that meets method=POST has an upload session", "any method=POST,PATCH location=?a={state}"},

		// In these rules, body=own needs a status, and permits no other body.
		{"get-blob body=own", "body=own alone has no effect: add the status to send", "get-blob body=own status=206"},
		{"get-blob status=500 code=DENIED body=own", "body=own keeps the body, so code and message have no effect", "get-blob status=500 code=DENIED body=spec"},
		{"get-blob status=500 body=own message=x", "body=own keeps the body", "get-blob status=500 body=own body=append:x"},
		{"get-blob status=500 body=own body=html", "a response has only one body", "get-blob status=500 body=own body=gzip"},
		{"get-blob body=errors:own", `no other shape of errors is called "own"`, "get-blob body=errors:empty"},
		{"get-blob body=errors:spec", `no other shape of errors is called "spec"`, "get-blob body=errors:bare body=gzip"},
		{"get-blob body=errors:htlm", `did you mean "html"?`, "get-blob body=errors:html body=append:x"},
		{"get-blob ignore=Range status=206", "ignore=Range has no effect", "get-blob ignore=Range status=206 body=own"},

		// In these rules, the seed needs a word that leaves something to chance.
		{"any seed=1 close", "seed has no effect: it needs a word that takes a seed, such as probability=0.5 or delay=1s..2s", "any seed=1 probability=1 close"},
		{"any seed=1 delay=1s", "seed has no effect", "any seed=1 delay=1s..2s"},
		{"any seed=1 times=2 status=503 then close", "seed has no effect", "any seed=1 times=2 status=503 then probability=0.5 close"},
	} {
		_, err := Parse(test.refused)
		require.ErrorContains(t, err, test.want, test.refused)
		rule, err := Parse(test.accepted)
		require.NoError(t, err, test.accepted)
		_, err = new(inject.Rules).Add(rule)
		require.NoError(t, err, test.accepted)
	}
	_, err := new(inject.Rules).Gate(On(registry.HeadBlob).Tag("v1"))
	require.ErrorContains(t, err, "tag=v1: no head-blob request has a tag")
	_, err = new(inject.Rules).Gate(On().Tag("v1").Tag("v2"))
	require.ErrorContains(t, err, "no request meets both tag=v1 and tag=v2")
}

// A response to HEAD has no body. In a rule for HEAD, words about the body, if they are
// permitted, change the header of the response or take effect before byte 0.
func TestWordsForHEADTakeEffect(t *testing.T) {
	t.Parallel()
	head := func(rules *inject.Rules) (header string) {
		w := serve(registry.WithFaults(rules.Inject), "HEAD", "/v2/app/blobs/"+string(dgst(nil)), nil)
		if w == nil {
			return "cut"
		}
		require.Empty(t, w.Body.Bytes())
		return fmt.Sprint(w.Code, w.Header())
	}
	plain := head(new(inject.Rules))
	for _, text := range []string{
		"head-blob close=0", "head-blob reset=0", "head-blob half-close=0", "head-blob content-length=+1", "head-blob body=text:x",
		"head-blob body=append:x", "head-blob body=gzip", "head-blob body=html", "head-blob body=empty", "head-blob stall=0:1ms",
	} {
		rule, err := Parse(text)
		require.NoError(t, err)
		var rules inject.Rules
		in, err := rules.Add(rule)
		require.NoError(t, err)
		if got := head(&rules); !strings.Contains(text, "stall") {
			require.NotEqual(t, plain, got, text)
		}
		require.Empty(t, Problem(t, in), text)
	}
}
