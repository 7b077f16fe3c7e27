package fault

import (
	"errors"
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
// A rule prints itself in a language that [Parse] reads. Its words are the
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
// A byte n is counted from 0 in the body that the operation transfers: the body
// of the request for PutManifest, PostBlob, PatchUpload and PutUpload, unless
// the rule responds in their place, and the body of the response for all
// others. A negative n counts from the end of a body of known length: -1 is the
// last byte.
//
// docs/faults.md shows the effect of each fault under HTTP/1.1 and HTTP/2.
type Rule struct {
	*rule // nil in the zero Rule; methods change a clone
}

// A rule holds the words of a Rule. Each of the 40 methods of Rule copies its
// receiver and its result, so a Rule of 18 words made the package's machine code
// larger by 80 KB.
type rule struct {
	on         string // the operations as they are printed, "" before On
	ops        []registry.Op
	words      []string // as they are printed, without the operations
	conditions []condition
	parts      []part // the words between Then
	seed       uint64
	seeded     bool
	optional   bool
	err        error // the first contradiction in the rule
}

// A part is the words of a rule up to Then.
type part struct {
	words []string // as they are printed
	names []string // of the words

	times, after, every int // 0 if not set
	firstBytes          int64
	probability         float64 // 1 if not set
	random              bool    // something is decided by the seed

	responds    bool // in place of the operation, unless the response is Own
	response    response
	end         registry.ConnectionEnd // of the connection in place of a response
	ends        bool                   // the connection is ended, there or elsewhere
	inHeader    bool                   // it is ended in the header
	afterCommit bool
	waits       bool
	needs       []need
	bytes       string // a word that has no effect without a byte of a body, or ""
	chance      bool   // something may be decided by the seed
	changes     string // a word that changes the request for the operation
	effects     []effect
}

// An effect is done to each request that a rule hits.
type effect struct {
	word string // that may turn out to have no effect, or ""
	do   func(p *plan, h *hit)
}

// do adds an effect.
func (p *part) do(f func(p *plan, h *hit)) { p.add(effect{do: f}) }

// try adds an effect that calls h.met once it has changed anything. If it never
// does, the test fails.
func (p *part) try(f func(p *plan, h *hit)) { p.add(effect{p.word(), f}) }

func (p *part) add(e effect) { p.effects = append(slices.Clip(p.effects), e) }

// word returns the last word, as it is printed.
func (p *part) word() string { return p.words[len(p.words)-1] }

// limited reports whether the part ends.
func (p *part) limited() bool { return p.times > 0 || p.firstBytes > 0 }

// does reports whether the part does anything.
func (p *part) does() bool { return len(p.effects) > 0 || p.responds }

// replaces reports whether the rule sends its own response in place of the
// operation's.
func (p *part) replaces() bool { return p.responds && p.response.shape != Own }

// anyOp stands for all operations.
const anyOp = "any"

// On begins a rule for requests for any of the operations or, without any, for
// all requests.
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

// clone returns a copy of the rule, whose slices it shares.
func (r Rule) clone() Rule {
	var c rule
	if r.rule != nil {
		c = *r.rule
	}
	return Rule{&c}
}

// begun reports whether the rule begins with On.
func (r Rule) begun() bool { return r.rule != nil && r.on != "" }

// flag returns the rule with one more word, which has no argument, and its part.
func (r Rule) flag(name string) (Rule, *part) { return r.addOnce(name, name) }

// say returns the rule with one more word, which a part has at most once, and its
// part.
func (r Rule) say(name string, arg any) (Rule, *part) {
	return r.addOnce(name, withArgument(name, arg))
}

// repeat returns the rule with one more word, which a part may have several times,
// and its part.
func (r Rule) repeat(name string, arg any) (Rule, *part) {
	return r.add(name, withArgument(name, arg))
}

// withArgument returns a word as it is printed.
func withArgument(name string, arg any) string { return name + "=" + quoted(fmt.Sprint(arg)) }

// addOnce is add for a word that a part has at most once.
func (r Rule) addOnce(name, text string) (Rule, *part) {
	next, p := r.add(name, text)
	if next.err == nil && slices.Contains(p.names[:len(p.names)-1], name) {
		next.err = fmt.Errorf("%s is said twice", name)
	}
	return next, p
}

// add returns the rule with one more word, and the last part, to which the caller
// adds its meaning. Rules that begin alike share no slice that either of them
// changes.
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

// refuse returns the rule, which is a new clone, with the error of its last word,
// unless that is nil.
func (r Rule) refuse(err error) Rule {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%s: %w", r.words[len(r.words)-1], err)
	}
	return r
}

// check returns an error if the rule makes no sense. Held says that it is for a
// [Gate].
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

func (r Rule) checkParts(held bool) error {
	if r.on == "" {
		return errors.New("it names no requests; begin it with On")
	}
	for i, p := range r.parts {
		last := i == len(r.parts)-1
		switch {
		case !last && !p.limited():
			return errors.New("the part before then has no end: it needs once, times or first-bytes")
		case last && i > 0 && !p.does() && !held:
			return errors.New("nothing happens after the last then")
		case p.end != 0 && p.response != (response{}):
			return errors.New("a rule cannot respond to a request and also end its connection in place of a response")
		case p.afterCommit && !p.responds && !p.waits && !held:
			return errors.New("after-commit has no effect: it needs a response, an end of the connection or a delay")
		case p.response.shape == Own && p.response.status == 0:
			return errors.New("body=own has no effect: it needs a status, which the response gets")
		case p.response.shape == Own && p.response.code+registry.Code(p.response.message) != "":
			return errors.New("body=own keeps the body, so code and message have no effect")
		case p.changes != "" && p.replaces() && !p.afterCommit:
			return fmt.Errorf("%s has no effect: the rule responds in place of the operation", p.changes)
		}
	}
	return r.checkPossible()
}

// does reports whether the rule does anything.
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

// quoted returns an argument as it is printed, in quotes if it needs them.
func quoted(arg string) string {
	if arg == "" || arg[0] == '"' || !utf8.ValidString(arg) ||
		strings.ContainsFunc(arg, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }) {
		return strconv.Quote(arg)
	}
	return arg
}
