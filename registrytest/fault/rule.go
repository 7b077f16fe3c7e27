package fault

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// A Rule says what goes wrong: with which requests, when, and how. It
// begins with [On], and each method returns a rule that says one thing more.
//
//	On(registry.GetBlob).Times(2).Status(503).RetryAfter(time.Second)
//	On(registry.PutManifest).Repo("team/*").AfterCommit().Reset()
//	On(registry.GetBlob).Times(2).Status(503).Then().Once().Status(429)
//
// A rule prints itself in a language that [Parse] reads. Its words are
// the methods, in lower case and with dashes:
//
//	get-blob times=2 status=503 retry-after=1
//	put-manifest repo=team/* after-commit reset
//	get-blob times=2 status=503 then once status=429
//
// Whatever a rule does to a request combines: a delay, a status, a header and
// a body that is cut can all be in one. A rule that makes no sense is refused
// where it is set.
//
// A byte n is counted from 0, in what the operation transfers: the body of the
// request for PutManifest, PostBlob, PatchUpload and PutUpload, unless the rule
// answers in their place, and the body of the answer for all others. If n is
// negative it counts from the end, where the length is known before: -1 is the
// last byte.
//
// What each fault does under HTTP/1.1 and under HTTP/2 is in docs/faults.md.
type Rule struct {
	words []ruleWord
}

// A ruleWord is one thing that a rule says.
type ruleWord struct {
	name   string
	arg    string
	hasArg bool
	where  func(*registry.Request) bool
}

// On begins a rule for requests of any of the operations or, without any, for
// all requests.
func On(ops ...registry.Op) Rule {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = op.String()
	}
	if len(ops) == 0 {
		names = []string{anyOp}
	}
	return Rule{}.say(strings.Join(names, ","))
}

// anyOp stands for all operations.
const anyOp = "any"

// say returns the rule with one more word that has no argument.
func (r Rule) say(name string) Rule {
	return r.with(ruleWord{name: name})
}

// set returns the rule with one more word that has an argument.
func (r Rule) set(name, arg string) Rule {
	return r.with(ruleWord{name: name, arg: arg, hasArg: true})
}

func (r Rule) with(w ruleWord) Rule {
	// Rules that begin alike do not share what follows.
	return Rule{append(r.words[:len(r.words):len(r.words)], w)}
}

func number[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// On what: the conditions below hold for the whole rule, wherever they stand,
// and a request has to meet all of them.

// Repo is for requests on repositories with a name that matches the pattern. In
// patterns * stands for any characters but /, ? for one of them, and ** for any
// characters: team/** is team and all below it.
func (r Rule) Repo(pattern string) Rule { return r.set("repo", pattern) }

// Tag is for requests on a manifest by a tag that matches the pattern.
func (r Rule) Tag(pattern string) Rule { return r.set("tag", pattern) }

// Digest is for requests that name a digest, or one that matches the pattern.
func (r Rule) Digest(d digest.Digest) Rule { return r.set("digest", string(d)) }

// Method is for requests with the HTTP method.
func (r Rule) Method(method string) Rule { return r.set("method", method) }

// HasHeader is for requests with a header of that name and a value that
// matches the pattern, which for any is "**".
func (r Rule) HasHeader(name, pattern string) Rule {
	return r.set("has-header", name+":"+pattern)
}

// User is for requests of users with a name that matches the pattern: the name
// in Basic credentials, the subject of a token, or else the common name in the
// client's certificate. Whether these are valid is not looked at. The name is ""
// if there is none.
func (r Rule) User(pattern string) Rule { return r.set("user", pattern) }

// Conn is for requests on the n-th connection to the [Server], from 1.
func (r Rule) Conn(n int) Rule { return r.set("conn", number(n)) }

// Where is for requests that f is true for. It is called concurrently. A rule
// with it cannot be parsed from what it prints.
func (r Rule) Where(f func(*registry.Request) bool) Rule {
	return r.with(ruleWord{name: "where", where: f})
}

// When: without any of these, every request is hit until the rule is removed.
// Requests are counted that meet the conditions and that no rule before has
// answered.

// Once is Times(1).
func (r Rule) Once() Rule { return r.say("once") }

// Times hits n requests.
func (r Rule) Times(n int) Rule { return r.set("times", number(n)) }

// After lets n requests pass first.
func (r Rule) After(n int) Rule { return r.set("after", number(n)) }

// Every hits every n-th request only, beginning with the n-th.
func (r Rule) Every(n int) Rule { return r.set("every", number(n)) }

// FirstBytes hits requests until the bodies of those that were hit and of their
// answers amount to n bytes.
func (r Rule) FirstBytes(n int64) Rule { return r.set("first-bytes", number(n)) }

// Probability hits a request with probability p. Whether it does is decided by
// the seed of the rule, by what the request asks for and by how often that was
// asked for before: it is the same whenever the test runs, also if the client
// sends its requests concurrently.
func (r Rule) Probability(p float64) Rule {
	return r.set("probability", strconv.FormatFloat(p, 'g', -1, 64))
}

// Seed sets what chance is made of, for the whole rule. It is 0 if it is not
// set. If the test fails, it is logged.
func (r Rule) Seed(seed uint64) Rule {
	return r.set("seed", strconv.FormatUint(seed, 10))
}

// Then begins another rule for the same requests, for the time when the one
// before has hit as many as it should. If that does nothing, it lets as many
// pass.
func (r Rule) Then() Rule { return r.say("then") }

// Answers: the operation is not carried out, unless the rule says AfterCommit.

// Status answers with the status, from 200. Errors, from 400 on, have the code
// that suits it and a message that names the rule.
func (r Rule) Status(status int) Rule { return r.set("status", number(status)) }

// Code answers with the error code and, if there is no Status, its status.
func (r Rule) Code(code registry.Code) Rule { return r.set("code", string(code)) }

// Message answers with an error that has the message, 500 if there is neither
// Status nor Code.
func (r Rule) Message(text string) Rule { return r.set("message", text) }

// Body answers with an error whose body has the shape.
func (r Rule) Body(shape ErrorBody) Rule { return r.set("body", string(shape)) }

// Redirect answers with a redirect, 307 if there is no Status. A URL without a
// path, such as "https://cdn.example.com", leads to the same path there; an
// empty one leads back to where the request came to, in a loop; any other is
// sent as it is.
func (r Rule) Redirect(url string) Rule { return r.set("redirect", url) }

// AfterCommit has the operation carried out before its answer, be it the one
// that the rule gives or its own, is answered, reset, closed, delayed or held
// as the rule says. If the operation fails, it answers that itself.
func (r Rule) AfterCommit() Rule { return r.say("after-commit") }

// The header of the answer, whoever gives it.

// RetryAfter sets Retry-After to whole seconds, rounded up.
func (r Rule) RetryAfter(d time.Duration) Rule {
	return r.set("retry-after", number(int64(math.Ceil(d.Seconds()))))
}

// RetryAt sets Retry-After to the date that is d away, in whole seconds
// rounded up.
func (r Rule) RetryAt(d time.Duration) Rule {
	return r.set("retry-at", number(int64(math.Ceil(d.Seconds()))))
}

// SetHeader sets a header.
func (r Rule) SetHeader(name, value string) Rule {
	return r.set("set-header", name+":"+value)
}

// DropHeader leaves out a header.
func (r Rule) DropHeader(name string) Rule { return r.set("drop-header", name) }

// Location leads elsewhere: a URL without a path, such as "https://example.com"
// is put before the path of the Location; any other replaces it.
func (r Rule) Location(url string) Rule { return r.set("location", url) }

// ContentLength has Content-Length lie: it says delta bytes more than there are
// or, if delta is negative, fewer.
func (r Rule) ContentLength(delta int64) Rule {
	arg := number(delta)
	if delta > 0 {
		arg = "+" + arg
	}
	return r.set("content-length", arg)
}

// The request, as the operation sees it.

// IgnoreHeader serves the request as if it had not the header: without Range,
// the whole blob is sent.
func (r Rule) IgnoreHeader(name string) Rule { return r.set("ignore-header", name) }

// IgnoreQuery serves the request as if its URL had not the parameter, such as
// n, last or artifactType of the lists.
func (r Rule) IgnoreQuery(name string) Rule { return r.set("ignore-query", name) }

// Bytes.

// Content sends other bytes in place of the body, with a Content-Length that
// is true and all other headers as they were.
func (r Rule) Content(text string) Rule { return r.set("content", text) }

// Append sends more bytes after the body, with a Content-Length that is true.
// With ContentLength(-n), n of them come after the end of the answer.
func (r Rule) Append(text string) Rule { return r.set("append", text) }

// Corrupt changes byte n.
func (r Rule) Corrupt(n int64) Rule { return r.set("corrupt", number(n)) }

// Encode sends the body with a Content-Encoding that nobody has asked for:
// "gzip", "deflate" or "zstd". Said more than once, the first is the innermost.
func (r Rule) Encode(coding string) Rule { return r.set("encode", coding) }

// Time: all that waits ends at once when the client goes away or the server is
// closed, and waits on the clock of the bubble under testing/synctest.
//
// Over HTTP/1.1, net/http finds that a client went away only if it has sent all
// of its request. So what waits reads up to 1 MiB of the body ahead, if the
// client does not expect 100-continue, and may wait longer for a client that
// itself does not go on.

// Delay waits before the request is served or, with AfterCommit, before it is
// answered.
func (r Rule) Delay(d time.Duration) Rule { return r.set("delay", d.String()) }

// Jitter is like Delay, for a time from 0 to d by the seed of the rule.
func (r Rule) Jitter(d time.Duration) Rule { return r.set("jitter", d.String()) }

// Stall waits before byte n, or stops there for good if d is 0. Before byte 0,
// the header of an answer is sent.
func (r Rule) Stall(n int64, d time.Duration) Rule {
	if d == 0 {
		return r.set("stall", number(n))
	}
	return r.set("stall", number(n)+":"+d.String())
}

// Throttle transfers no more than so many bytes a second.
func (r Rule) Throttle(bytes int64) Rule { return r.set("throttle", number(bytes)) }

// Slice transfers n bytes at a time, each sent at once.
func (r Rule) Slice(n int) Rule { return r.set("slice", number(n)) }

// The connection. With HTTP/2 it is the stream that is reset, not the
// connection.

// Close closes the connection in place of an answer.
func (r Rule) Close() Rule { return r.say("close") }

// CloseAt closes the connection before byte n.
func (r Rule) CloseAt(n int64) Rule { return r.set("close-at", number(n)) }

// CloseInHeader closes the connection after n bytes of the status line and
// header of the answer.
func (r Rule) CloseInHeader(n int64) Rule { return r.set("close-in-header", number(n)) }

// Reset resets the connection in place of an answer, with a TCP RST.
func (r Rule) Reset() Rule { return r.say("reset") }

// ResetAt resets the connection before byte n. How many of the bytes before the
// client gets to see is up to its operating system.
func (r Rule) ResetAt(n int64) Rule { return r.set("reset-at", number(n)) }

// ResetInHeader resets the connection after n bytes of the status line and
// header of the answer.
func (r Rule) ResetInHeader(n int64) Rule { return r.set("reset-in-header", number(n)) }

// HalfClose closes the connection for writing in place of an answer, and goes
// on reading until the client closes it.
func (r Rule) HalfClose() Rule { return r.say("half-close") }

// HalfCloseAt closes the connection for writing before byte n, and goes on
// reading until the client closes it.
func (r Rule) HalfCloseAt(n int64) Rule { return r.set("half-close-at", number(n)) }

// GoAway has the answer be the last on its connection: the connection is closed
// after it or, with HTTP/2, after a GOAWAY.
func (r Rule) GoAway() Rule { return r.say("go-away") }

// Uploads.

// Accept keeps n bytes of the body of a request, as if the client had gone
// away, and reads the others: a chunk is answered with 416 and what is there.
func (r Rule) Accept(n int64) Rule { return r.set("accept", number(n)) }

// Acknowledge takes n bytes of a chunk or stream and answers 202 as if it had
// not more, which its Range tells.
func (r Rule) Acknowledge(n int64) Rule { return r.set("acknowledge", number(n)) }

// LoseUpload forgets the upload session that the request names, as if it had
// expired at that moment.
func (r Rule) LoseUpload() Rule { return r.say("lose-upload") }
