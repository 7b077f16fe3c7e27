package fault

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/names"
)

// The methods in this file add conditions on the requests that a rule hits. A
// request has to meet all conditions. They hold for all parts of the rule, wherever
// they stand in it.

// A condition limits the requests that a rule hits.
type condition struct {
	name string
	word string // the word as text, such as "tag=v1"
	met  func(*registry.Request) bool

	patterns []string               // one of them must match a value of the request; nil for other conditions
	ops      func(registry.Op) bool // whether requests for an operation can meet the condition; nil if all can
}

// Repo limits the rule to repositories with a name that any of the patterns
// matches. In patterns, * stands for any characters but /, ? for one of them,
// and ** for any characters: team/** is team and all repositories below it.
// Only the pattern "" matches a request without a repository. All this holds for
// the patterns of other conditions, too.
func (r Rule) Repo(patterns ...string) Rule {
	r = matching(r, "repo", patterns, "a repository", registry.Op.HasRepo, func(q *registry.Request) string { return q.Repo })
	return checkPatterns(r, patterns, checkRepo)
}

// Tag limits the rule to requests for a manifest by a tag that any of the
// patterns matches, see [Rule.Repo].
func (r Rule) Tag(patterns ...string) Rule {
	r = matching(r, "tag", patterns, "a tag", registry.Op.HasTag, func(q *registry.Request) string { return q.Tag })
	return checkPatterns(r, patterns, checkTag)
}

// Digest limits the rule to requests that name a digest that any of the
// patterns matches, see [Rule.Repo].
func (r Rule) Digest(patterns ...digest.Digest) Rule {
	texts := make([]string, len(patterns))
	for i, pattern := range patterns {
		texts[i] = string(pattern)
	}
	return r.digests(texts...)
}

func (r Rule) digests(patterns ...string) Rule {
	r = matching(r, "digest", patterns, "a digest", registry.Op.HasDigest, func(q *registry.Request) string { return string(q.Digest) })
	return checkPatterns(r, patterns, checkDigest)
}

// Method limits the rule to requests with an HTTP method that any of the
// patterns matches, see [Rule.Repo].
func (r Rule) Method(patterns ...string) Rule {
	hasMethod := func(op registry.Op) bool {
		methods := op.Methods()
		return methods == nil || slices.ContainsFunc(methods, func(m string) bool { return names.MatchAny(patterns, m) })
	}
	r = matching(r, "method", patterns, "such a method", hasMethod, func(q *registry.Request) string { return q.Method })
	if len(patterns) == 1 && patterns[0] == "" && r.err == nil {
		r.err = errors.New(`method="": every request has a method`)
	}
	return checkPatterns(r, patterns, checkMethod)
}

// HasHeader limits the rule to requests that have a header with a value that any of
// the patterns matches, see [Rule.Repo]. Without patterns, any value will do. With a
// ? in front, name is a parameter of the URL instead of a header. With a ! in front,
// the rule is limited to all other requests: HasHeader("!Range"), HasHeader("!?n").
func (r Rule) HasHeader(name string, patterns ...string) Rule {
	arg := name
	if len(patterns) > 0 {
		arg += ":" + joinList(patterns)
	}
	name, absent := strings.CutPrefix(name, "!")
	parameter, inQuery := strings.CutPrefix(name, "?")
	var err error
	switch {
	case !inQuery:
		err = checkHeader(name, "")
	case parameter == "":
		err = errors.New("it needs the name of a parameter after the ?")
	}
	return r.when("has-header", arg, err, func(q *registry.Request) bool {
		values := q.Header.Values(name)
		if inQuery {
			values = q.URL.Query()[parameter]
		}
		has := len(values) > 0
		if len(patterns) > 0 {
			has = slices.ContainsFunc(values, func(v string) bool { return names.MatchAny(patterns, v) })
		}
		return has != absent
	})
}

// User limits the rule to requests of users with a name that any of the
// patterns matches, see [Rule.Repo]: the name in Basic credentials, the subject
// of a token, or else the common name in the client's certificate. The rule
// does not check whether the credentials are valid. The pattern "" matches
// requests without a user.
func (r Rule) User(patterns ...string) Rule {
	return matching(r, "user", patterns, "", nil, userOf)
}

// Conn limits the rule to requests on the n-th connection to the server, counted
// from 1, or on any of several connections.
func (r Rule) Conn(n ...int) Rule {
	var err error
	switch {
	case len(n) == 0:
		err = errors.New("it needs the number of a connection")
	case slices.Min(n) < 1:
		err = errors.New("connections are counted from 1")
	}
	texts := make([]string, len(n))
	for i := range n {
		texts[i] = fmt.Sprint(n[i])
	}
	if r.begun() && err == nil {
		for _, c := range r.conditions {
			if c.name == "conn" {
				err = errors.New("conn is given twice")
			}
		}
	}
	numbers := slices.Clone(n)
	return r.when("conn", strings.Join(texts, ","), err, func(q *registry.Request) bool {
		return slices.Contains(numbers, conn.Number(q.Context()))
	})
}

// when returns the rule with one more condition. If err is not nil, it refuses the
// rule.
func (r Rule) when(name, arg string, err error, met func(*registry.Request) bool) Rule {
	r, p := r.addAgain(name, arg)
	r.conditions = append(slices.Clip(r.conditions), condition{name: name, word: p.word(), met: met})
	return r.refuse(err)
}

// matching returns the rule with a condition on a value of the request, such as the
// tag. The function ops reports whether requests for an operation can have the value.
// The parameter noun names the value in messages.
func matching(r Rule, name string, patterns []string, noun string, ops func(registry.Op) bool, value func(*registry.Request) string) Rule {
	patterns = slices.Clone(patterns)
	if slices.Contains(patterns, "") {
		ops = nil // The pattern "" matches requests without the value.
	}
	var err error
	switch {
	case len(patterns) == 0:
		err = errors.New("it needs a pattern")
	case ops != nil && r.lacks(ops):
		err = fmt.Errorf("no %s request has %s", r.on, noun)
	}
	r = r.when(name, joinList(patterns), err, func(q *registry.Request) bool { return names.MatchAny(patterns, value(q)) })
	c := &r.conditions[len(r.conditions)-1]
	c.patterns, c.ops = patterns, ops
	return r
}

// missed returns the first two conditions that the request does not meet.
func (r Rule) missed(q *registry.Request) (words []string) {
	for _, c := range r.conditions {
		if len(words) < 2 && !c.met(q) {
			words = append(words, c.word)
		}
	}
	return words
}

// userOf returns the user that the request names. Faults come before
// authentication, so the credentials have not been checked.
func userOf(r *registry.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		name, _, _ := r.BasicAuth()
		return name
	case strings.EqualFold(scheme, "Bearer"):
		_, rest, _ := strings.Cut(token, ".")
		payload, _, _ := strings.Cut(rest, ".")
		text, _ := base64.RawURLEncoding.DecodeString(payload)
		var claims struct {
			Subject string `json:"sub"`
		}
		json.Unmarshal(text, &claims)
		return claims.Subject
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return ""
}

// conditionWords has the words for the methods in this file.
var conditionWords = vocabulary{
	{"repo", list(Rule.Repo)},
	{"tag", list(Rule.Tag)},
	{"digest", list(Rule.digests)},
	{"method", list(Rule.Method)},
	{"user", list(Rule.User)},
	{"conn", numbers(Rule.Conn)},
	{"has-header", text(parseHasHeader)},
	{"where", anything(parseWhere)},
}

func parseHasHeader(r Rule, arg string) Rule {
	name, patterns, ok := strings.Cut(arg, ":")
	if !ok {
		return r.HasHeader(name)
	}
	return r.HasHeader(name, splitList(patterns)...)
}
