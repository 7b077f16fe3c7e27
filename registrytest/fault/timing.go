package fault

import (
	"errors"
	"slices"
	"strconv"
)

// The methods in this file limit when a rule hits. Without any of them, the rule hits
// every request that meets its conditions, until it is removed. A rule that responds
// does not count requests to which a rule set later responds.

// Once hits one request, as Times(1) does.
func (r Rule) Once() Rule {
	r, p := r.addFlag("once")
	return r.refuse(p.setTimes(1))
}

// Times hits n requests, and no more.
func (r Rule) Times(n int) Rule {
	r, p := r.addArg("times", n)
	return r.refuse(p.setTimes(n))
}

func (p *part) setTimes(n int) error {
	if p.times != 0 {
		return errors.New("the number of times is set already")
	}
	p.times = n
	return atLeast(1, int64(n))
}

// After lets the first n requests pass.
func (r Rule) After(n int) Rule {
	r, p := r.addArg("after", n)
	p.after = n
	return r.refuse(atLeast(0, int64(n)))
}

// Every hits every n-th request only, beginning with the n-th.
func (r Rule) Every(n int) Rule {
	r, p := r.addArg("every", n)
	p.every = n
	return r.refuse(atLeast(1, int64(n)))
}

// FirstBytes hits requests until their bodies and those of their responses have n
// bytes altogether.
func (r Rule) FirstBytes(n int64) Rule {
	r, p := r.addArg("first-bytes", n)
	p.firstBytes = n
	p.needsBytes()
	return r.refuse(atLeast(1, n))
}

// Probability hits a request with probability p. The decision depends on the
// seed of the rule, on the operation and its arguments, and on how often the same
// request came before. So it is the same in every run of the test, even if the client
// sends its requests concurrently. If p is below 1, this part of the rule and the
// parts after it need not hit any request.
func (r Rule) Probability(p float64) Rule {
	r, part := r.addArg("probability", strconv.FormatFloat(p, 'g', -1, 64))
	if !(0 < p && p <= 1) {
		return r.refuse(errors.New("want a number above 0 and at most 1"))
	}
	part.probability, part.drawsRandom, part.takesSeed = p, part.drawsRandom || p < 1, true
	return r
}

// Seed sets the seed of all random decisions of the rule. Without Seed, it is 0. If the
// test fails, and the rule has a Probability below 1, the seed is logged. A rule with a
// seed needs a Probability, which may be 1, or a Delay between two durations.
func (r Rule) Seed(seed uint64) Rule {
	r, _ = r.addArg("seed", seed)
	if r.seeded {
		r = r.refuse(errors.New("the seed is set already"))
	}
	r.seed, r.seeded = seed, true
	return r
}

// Optional allows the rule to hit fewer requests than it says, or none, and to have no
// effect on them. Without Optional, the test fails in these cases.
func (r Rule) Optional() Rule {
	r, _ = r.addFlag("optional")
	r.optional = true
	return r
}

// Then begins another part of the rule, for the same requests. The new part comes into
// force when the part before it has hit as many requests, or as many bytes, as it says.
// A part without an effect lets this number of requests pass.
func (r Rule) Then() Rule {
	r = r.clone()
	r.words = append(slices.Clip(r.words), "then")
	r.parts = append(slices.Clip(r.parts), part{probability: 1})
	return r
}

// timingWords has the words for the methods in this file.
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
