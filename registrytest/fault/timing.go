package fault

import (
	"errors"
	"slices"
	"strconv"
)

// When. Without any of these words, the rule hits every request until it is
// removed. It counts the requests that meet its conditions and that no rule set
// later responds to.

// Once hits one request, as Times(1) does.
func (r Rule) Once() Rule {
	r, p := r.flag("once")
	return r.refuse(p.setTimes(1))
}

// Times hits n requests.
func (r Rule) Times(n int) Rule {
	r, p := r.say("times", n)
	return r.refuse(p.setTimes(n))
}

func (p *part) setTimes(n int) error {
	if p.times != 0 {
		return errors.New("the number of times is set already")
	}
	p.times = n
	return atLeast(1, int64(n))
}

// After lets n requests pass first.
func (r Rule) After(n int) Rule {
	r, p := r.say("after", n)
	p.after = n
	return r.refuse(atLeast(0, int64(n)))
}

// Every hits every n-th request only, beginning with the n-th.
func (r Rule) Every(n int) Rule {
	r, p := r.say("every", n)
	p.every = n
	return r.refuse(atLeast(1, int64(n)))
}

// FirstBytes hits requests until the bodies of these and of their responses
// amount to n bytes.
func (r Rule) FirstBytes(n int64) Rule {
	r, p := r.say("first-bytes", n)
	p.firstBytes = n
	p.needsBytes()
	return r.refuse(atLeast(1, n))
}

// Probability hits a request with probability p. The decision depends on the
// seed of the rule, on the operation and its arguments, and on how often the
// same was requested before: it is the same in every run of the test, even if
// the client sends its requests concurrently. If p is below 1, this part of the
// rule and the parts after it need not hit any request.
func (r Rule) Probability(p float64) Rule {
	r, part := r.say("probability", strconv.FormatFloat(p, 'g', -1, 64))
	if !(0 < p && p <= 1) {
		return r.refuse(errors.New("not above 0 and up to 1"))
	}
	part.probability, part.random, part.chance = p, part.random || p < 1, true
	return r
}

// Seed sets the seed of all random decisions of the rule. It is 0 if it is not
// set. If the test fails, the seed is logged. A rule with a seed has a
// Probability, which may be 1, or a Delay between two durations.
func (r Rule) Seed(seed uint64) Rule {
	r, _ = r.say("seed", seed)
	if r.seeded {
		r = r.refuse(errors.New("the seed is set already"))
	}
	r.seed, r.seeded = seed, true
	return r
}

// Optional allows the rule to hit fewer requests than it says, or none, and to
// have no effect on them. Without it the test fails then.
func (r Rule) Optional() Rule {
	r, _ = r.flag("optional")
	r.optional = true
	return r
}

// Then begins another part of the rule, for the same requests: it comes into
// force when the part before has hit as many requests as it says. A part
// without an effect lets as many requests pass.
func (r Rule) Then() Rule {
	r = r.clone()
	r.words = append(slices.Clip(r.words), "then")
	r.parts = append(slices.Clip(r.parts), part{probability: 1})
	return r
}

// timingWords are the words of this file.
var timingWords = vocabulary{
	{"once", flag(Rule.Once)},
	{"times", number(Rule.Times)},
	{"after", number(Rule.After)},
	{"every", number(Rule.Every)},
	{"first-bytes", byteNumber(Rule.FirstBytes)},
	{"probability", anything(parseProbability)},
	{"seed", anything(parseSeed)},
	{"optional", flag(Rule.Optional)},
	{"then", flag(Rule.Then)},
}

func parseProbability(r Rule, a argument) (Rule, error) {
	if !a.given {
		return r, errNoArgument
	}
	p, err := strconv.ParseFloat(a.text, 64)
	if err != nil {
		return r, errors.New("not a number")
	}
	return r.Probability(p), nil
}

func parseSeed(r Rule, a argument) (Rule, error) {
	if !a.given {
		return r, errNoArgument
	}
	n, err := strconv.ParseUint(a.text, 10, 64)
	if err != nil {
		return r, errors.New("not a whole number from 0")
	}
	return r.Seed(n), nil
}
