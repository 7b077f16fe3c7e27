package fault

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ocireg/registry"
)

// A Rule describes a fault: which requests it hits, when, and how. It begins
// with [On]. Each method returns a copy with one more word, so that rules can
// share a beginning.
//
//	fault.On(registry.GetBlob).Times(2).Status(503).RetryAfter(time.Second)
//	fault.On(registry.PutManifest).Repo("team/*").AfterCommit().Reset()
//	fault.On(registry.GetBlob).Times(2).Status(503).Then().Once().Status(429)
//
// A rule has a text form, which String returns and [Parse] reads. Its words are the
// methods, in lower case and with dashes:
//
//	get-blob times=2 status=503 retry-after=1
//	put-manifest repo=team/* after-commit reset
//	get-blob times=2 status=503 then once status=429
//
// The effects of a rule combine: one rule can have a delay, a status, a header
// and a body that ends early. A rule that makes no sense, such as one that
// responds and closes the connection instead, is refused where it is set.
//
// A byte n is counted from 0 in the body that the operation transfers. For PutManifest,
// PostBlob, PatchUpload and PutUpload, this is the body of the request, unless the rule
// responds instead of the operation. For all others, it is the body of the response.
// A negative n counts from the end of a body of known length: -1 is the last byte.
//
// docs/faults.md shows the effect of each fault under HTTP/1.1 and HTTP/2.
type Rule struct {
	*rule // nil in the zero Rule; methods change a clone
}

// A rule holds the words of a Rule. Each method of Rule copies its receiver
// and its result. If Rule were this struct instead of a pointer to it, the package's
// machine code would be larger by 80 KB.
type rule struct {
	on         string // the operations as text, such as "get-blob,head-blob"; "" without On
	ops        []registry.Op
	words      []string // the words as text, such as "times=2"
	conditions []condition
	parts      []part // the parts between calls of Then
	seed       uint64
	seeded     bool
	optional   bool
	err        error // the first error in the words of the rule
}

// A part has the words of a rule between two calls of Then, and the meaning of these
// words.
type part struct {
	words []string // the words as text, such as "times=2"
	names []string // the names of the words, such as "times"

	times, after, every int // the arguments of Times, After and Every, or 0
	firstBytes          int64
	probability         float64 // the argument of Probability, or 1
	drawsRandom         bool    // whether the seed affects the part: which requests it hits, or its delays
	takesSeed           bool    // whether Seed is permitted: there is a Probability or a range of delays

	responds    bool // whether the part gives a response, or ends the connection instead of one
	response    response
	endInstead  registry.ConnectionEnd // how the connection ends instead of a response, or 0
	endsConn    bool                   // whether the part ends the connection: instead of a response, or at a place in one
	afterCommit bool
	waits       bool // whether the part has a Delay
	needs       []need
	bodyWord    string // the last word that has no effect on an empty body, or ""
	requestWord string // the last word that changes the request, or ""
	effects     []effect
}

// An effect is one thing that a rule does to each request that it hits.
type effect struct {
	word string // the word to report if the effect never changes anything, or ""
	do   func(p *plan, h *hit)
}

// do adds an effect that need not be checked.
func (p *part) do(f func(p *plan, h *hit)) { p.add(effect{do: f}) }

// try adds an effect that has to call h.met when it changes anything. If it never does,
// the test fails.
func (p *part) try(f func(p *plan, h *hit)) { p.add(effect{p.word(), f}) }

func (p *part) add(e effect) { p.effects = append(slices.Clip(p.effects), e) }

// word returns the last word of the part as text.
func (p *part) word() string { return p.words[len(p.words)-1] }

// limited reports whether the part ends by itself, after requests or bytes.
func (p *part) limited() bool { return p.times > 0 || p.firstBytes > 0 }

// does reports whether the part has any effect on requests.
func (p *part) does() bool { return len(p.effects) > 0 || p.responds }

// replaces reports whether the rule sends its own response in place of the
// operation's.
func (p *part) replaces() bool { return p.responds && p.response.shape != Own }

// anyOp is the word for all operations.
const anyOp = "any"

// On begins a rule for requests for any of the operations. Without operations, the
// rule is for all requests.
func On(ops ...registry.Op) Rule {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = op.String()
	}
	return on(names)
}

// on begins a rule for operations with these names.
func on(names []string) Rule {
	if len(names) == 0 {
		names = []string{anyOp}
	}
	r := Rule{&rule{on: strings.Join(names, ","), parts: []part{{probability: 1}}}}
	r.parts[0].words = []string{r.on}
	if r.on == anyOp {
		return r
	}
	for _, name := range names {
		op, err := registry.ParseOp(name)
		if err != nil {
			if hint := didYouMean(name, []string{anyOp}); hint != "" {
				err = fmt.Errorf("no operation is called %q%s", name, hint)
			}
			r.err = err
			return r
		}
		r.ops = append(r.ops, op)
	}
	ops := r.ops
	r.conditions = []condition{{
		word: r.on,
		met:  func(q *registry.Request) bool { return slices.Contains(ops, q.Op) },
		ops:  func(op registry.Op) bool { return slices.Contains(ops, op) },
	}}
	return r
}

// clone returns a copy of the rule. The two share their slices.
func (r Rule) clone() Rule {
	var c rule
	if r.rule != nil {
		c = *r.rule
	}
	return Rule{&c}
}

// begun reports whether the rule was made by On.
func (r Rule) begun() bool { return r.rule != nil && r.on != "" }

// addFlag returns the rule with one more word that has no argument, and the part that
// the word belongs to. A part may have the word only once.
func (r Rule) addFlag(name string) (Rule, *part) { return r.addOnce(name, name) }

// addArg returns the rule with one more word that has an argument, and the part that
// the word belongs to. A part may have the word only once.
func (r Rule) addArg(name string, arg any) (Rule, *part) {
	return r.addOnce(name, withArgument(name, arg))
}

// addAgain returns the rule with one more word that has an argument, and the part that
// the word belongs to. A part may have the word several times.
func (r Rule) addAgain(name string, arg any) (Rule, *part) {
	return r.add(name, withArgument(name, arg))
}

// withArgument returns a word with its argument as text, such as "times=2".
func withArgument(name string, arg any) string { return name + "=" + quoted(fmt.Sprint(arg)) }

// addOnce is add for a word that a part may have only once.
func (r Rule) addOnce(name, text string) (Rule, *part) {
	next, p := r.add(name, text)
	if next.err == nil && slices.Contains(p.names[:len(p.names)-1], name) {
		next.err = fmt.Errorf("%s is given twice", name)
	}
	return next, p
}

// add returns a clone of the rule with one more word, and its last part, in which the
// caller sets the meaning of the word. The receiver does not change, because add
// copies the slices that it changes.
func (r Rule) add(name, text string) (Rule, *part) {
	r = r.clone()
	r.words = append(slices.Clip(r.words), text)
	r.parts = slices.Clone(r.parts)
	if len(r.parts) == 0 {
		r.parts = []part{{probability: 1}}
	}
	p := &r.parts[len(r.parts)-1]
	p.names = append(slices.Clip(p.names), name)
	p.words = append(slices.Clip(p.words), text)
	return r, p
}

// refuse notes the error err of the last word, unless err is nil, and returns the
// rule. The rule must be a clone that add returned.
func (r Rule) refuse(err error) Rule {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%s: %w", r.words[len(r.words)-1], err)
	}
	return r
}

// check returns an error if the rule makes no sense. The parameter held is set if the
// rule is for a gate, and so needs no effect.
func (r Rule) check(held bool) error {
	r = r.clone()
	err := r.err
	if err == nil {
		err = r.checkParts(held)
	}
	if err != nil {
		return fmt.Errorf("fault rule %q: %w", r, err)
	}
	return nil
}

// does reports whether the rule has any effect on requests.
func (r Rule) does() bool {
	for i := range r.parts {
		if r.parts[i].does() {
			return true
		}
	}
	return false
}

// String returns the rule in the language that [Parse] reads.
func (r Rule) String() string {
	switch {
	case r.rule == nil:
		return ""
	case r.on == "":
		return strings.Join(r.words, " ")
	}
	return strings.Join(append([]string{r.on}, r.words...), " ")
}

// quoted returns an argument as text, in quotes if Parse requires them.
func quoted(arg string) string {
	if arg == "" || arg[0] == '"' || !utf8.ValidString(arg) ||
		strings.ContainsFunc(arg, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }) {
		return strconv.Quote(arg)
	}
	return arg
}
