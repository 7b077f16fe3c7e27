package fault

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// The functions in this file check whether a rule makes sense. A rule whose conditions
// no request can meet, or with a word that has no effect, is refused where it is set.

// A need is a thing that a word requires the operation to have, such as a body.
type need struct {
	word, noun string
	has        func(registry.Op) bool
}

// only notes that the last word of the part requires the operation to have a thing,
// such as a body. It refuses the rule if none of the rule's operations has the thing.
// The parameter has is a function that reports whether an operation has the thing, and
// noun is the thing's name.
func (r Rule) only(p *part, has func(registry.Op) bool, noun string) Rule {
	p.needs = append(slices.Clip(p.needs), need{p.word(), noun, has})
	if r.lacks(has) {
		return r.refuse(fmt.Errorf("no %s request has %s", r.on, noun))
	}
	return r
}

// lacks reports whether the rule names operations and has returns false for all of them.
func (r Rule) lacks(has func(registry.Op) bool) bool {
	return r.begun() && len(r.ops) > 0 && !slices.ContainsFunc(r.ops, has)
}

// needsBytes notes that the last word has no effect on an empty body.
func (p *part) needsBytes() { p.bodyWord = p.word() }

// checkParts returns an error if the words of a part contradict each other, if one of
// them has no effect, or if no request can meet the rule's conditions. The parameter
// held is set if the rule is for a gate.
func (r Rule) checkParts(held bool) error {
	if r.on == "" {
		return errors.New("it names no requests; begin it with On")
	}
	for i, p := range r.parts {
		last := i == len(r.parts)-1
		switch {
		case !last && !p.limited():
			return errors.New("the part before \"then\" has no end: add once, times or first-bytes")
		case p.firstBytes > 0 && !p.does() && !held:
			return errors.New("first-bytes counts the bytes of requests on which its part has an effect: add an effect, or use times to let requests pass")
		case last && i > 0 && !p.does() && !held:
			return errors.New("the part after the last \"then\" has no effect: add an action, such as status=503, or leave \"then\" out")
		case p.endInstead != 0 && p.response != (response{}):
			return errors.New("a rule cannot respond to a request and also end its connection in place of a response")
		case p.afterCommit && !p.responds && !p.waits && !held:
			return errors.New("after-commit has no effect: it needs a response, an end of the connection or a delay")
		case p.response.shape == Own && p.response.status == 0:
			return errors.New("body=own alone has no effect: add the status to send, such as status=206")
		case p.response.shape == Own && p.response.code+registry.Code(p.response.message) != "":
			return errors.New("body=own keeps the body, so code and message have no effect")
		case p.requestWord != "" && p.replaces() && !p.afterCommit:
			return fmt.Errorf("%s has no effect: the rule responds in place of the operation", p.requestWord)
		}
	}
	return r.checkPossible()
}

// checkPossible returns an error if no request can meet all conditions, or if a word
// can have no effect on the requests that do.
func (r Rule) checkPossible() error {
	if r.names("tag") && r.names("digest") {
		return errors.New("no request names both a tag and a digest")
	}
	for i, c := range r.conditions {
		for _, before := range r.conditions[:i] {
			if c.patterns != nil && c.name == before.name && !overlap(c.patterns, before.patterns) || excludes(c, before) || excludes(before, c) {
				return fmt.Errorf("no request meets both %s and %s", before.word, c.word)
			}
		}
	}
	ops := r.possibleOps()
	if len(ops) == 0 {
		return fmt.Errorf("no request meets all of %s", r.onOps())
	}
	for _, p := range r.parts {
		for _, n := range p.needs {
			if !slices.ContainsFunc(ops, n.has) {
				return fmt.Errorf("%s: no request that meets %s has %s", n.word, r.onOps(), n.noun)
			}
		}
		if p.bodyWord != "" && r.headOnly(ops) {
			return fmt.Errorf("%s has no effect: a response to HEAD has no bytes in its body", p.bodyWord)
		}
	}
	if r.seeded && !r.leavesToChance() {
		return errors.New("seed has no effect: it needs a word that takes a seed, such as probability=0.5 or delay=1s..2s")
	}
	return nil
}

// leavesToChance reports whether the rule has a word that takes a seed.
func (r Rule) leavesToChance() bool {
	for i := range r.parts {
		if r.parts[i].takesSeed {
			return true
		}
	}
	return false
}

// excludes reports whether the first condition is one with a !, and no request can meet
// both conditions.
func excludes(not, c condition) bool {
	word := strings.Replace(not.word, "=!", "=", 1)
	anyValue := not.name == "has-header" && !strings.Contains(word, ":")
	switch {
	case word == not.word:
		return false
	case c.word == word, anyValue && strings.HasPrefix(c.word, word+":"):
		return true
	}
	most, isMost := strings.CutPrefix(word, "where="+bodyOver)
	least, isLeast := strings.CutPrefix(c.word, "where="+bodyOver)
	if !isMost || !isLeast {
		return false
	}
	from, _ := strconv.ParseInt(least, 10, 64)
	to, _ := strconv.ParseInt(most, 10, 64)
	return from >= to
}

// names reports whether the rule has a condition of this name that requires the request
// to have a value, such as a tag.
func (r Rule) names(name string) bool {
	for i := range r.conditions {
		if c := &r.conditions[i]; c.name == name && c.ops != nil {
			return true
		}
	}
	return false
}

// possibleOps returns the operations for which a request may meet all conditions. An
// Op without a name counts like UnknownOp.
func (r Rule) possibleOps() (ops []registry.Op) {
	for op := range ^registry.Op(0) {
		if r.permits(op) {
			ops = append(ops, op)
		}
	}
	return ops
}

// permits reports whether requests for the operation may meet all conditions.
func (r Rule) permits(op registry.Op) bool {
	for _, c := range r.conditions {
		if c.ops != nil && !c.ops(op) {
			return false
		}
	}
	return true
}

// onOps returns the text of the conditions that depend on the operation.
func (r Rule) onOps() string {
	var words []string
	for _, c := range r.conditions {
		if c.ops != nil {
			words = append(words, c.word)
		}
	}
	return strings.Join(words, " ")
}

// headOnly reports whether all requests that meet the conditions have the method HEAD.
// The parameter ops has the operations that the conditions permit.
func (r Rule) headOnly(ops []registry.Op) bool {
	other := func(m string) bool { return m != http.MethodHead }
	for _, c := range r.conditions {
		if c.name == "method" && !slices.ContainsFunc(c.patterns, other) {
			return true
		}
	}
	return !slices.ContainsFunc(ops, func(op registry.Op) bool {
		methods := op.Methods()
		return methods == nil || slices.ContainsFunc(methods, other)
	})
}

// overlap reports whether the patterns a and the patterns b can match the same value.
func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(a string) bool {
		return slices.ContainsFunc(b, func(b string) bool {
			return (a == "") == (b == "") && names.Overlap(a, b)
		})
	})
}
