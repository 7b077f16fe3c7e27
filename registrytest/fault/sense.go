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

// Whether a rule makes sense: a rule whose conditions no request can meet, or
// with a word that has no effect, is refused where it is set.

// A need is something that a word of a part requires of the operation.
type need struct {
	word, noun string
	has        func(registry.Op) bool
}

// only notes that the last word, of the part, requires a thing of the operation. The
// rule is refused if none of its operations has the thing.
func (r Rule) only(p *part, has func(registry.Op) bool, noun string) Rule {
	p.needs = append(slices.Clip(p.needs), need{p.word(), noun, has})
	if r.lacks(has) {
		return r.refuse(fmt.Errorf("no %s request has %s", r.on, noun))
	}
	return r
}

// lacks reports whether none of the rule's operations has a thing.
func (r Rule) lacks(has func(registry.Op) bool) bool {
	return r.begun() && len(r.ops) > 0 && !slices.ContainsFunc(r.ops, has)
}

// needsBytes notes that the last word has no effect on an empty body.
func (p *part) needsBytes() { p.bytes = p.word() }

// checkPossible returns an error if no request can meet all conditions, or if a
// word has no effect on any that does.
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
		if p.bytes != "" && r.headOnly(ops) {
			return fmt.Errorf("%s has no effect: a response to HEAD has no bytes in its body", p.bytes)
		}
	}
	if r.seeded && !r.leavesToChance() {
		return errors.New("seed has no effect: nothing in the rule is left to chance; probability=0.5 is, and delay=1s..2s")
	}
	return nil
}

// leavesToChance reports whether the seed may decide something.
func (r Rule) leavesToChance() bool {
	for i := range r.parts {
		if r.parts[i].chance {
			return true
		}
	}
	return false
}

// excludes reports whether a condition with a ! is that no request meets the
// other one.
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

// names reports whether the rule requires that a request has a value with the
// name.
func (r Rule) names(name string) bool {
	for i := range r.conditions {
		if c := &r.conditions[i]; c.name == name && c.ops != nil {
			return true
		}
	}
	return false
}

// possibleOps returns the operations for which a request may meet all
// conditions. Numbers without an operation are like UnknownOp.
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

// onOps returns the conditions that requests for some operations cannot meet.
func (r Rule) onOps() string {
	var words []string
	for _, c := range r.conditions {
		if c.ops != nil {
			words = append(words, c.word)
		}
	}
	return strings.Join(words, " ")
}

// headOnly reports whether all requests that meet the conditions have the
// method HEAD. The operations are those that the conditions permit.
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

// overlap reports whether a value, or none, can match any of a and any of b.
func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(a string) bool {
		return slices.ContainsFunc(b, func(b string) bool {
			return (a == "") == (b == "") && names.Overlap(a, b)
		})
	})
}
