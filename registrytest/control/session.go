package control

import (
	"net/textproto"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/jsonapi"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// A session limits a rule, a query or a reset to the requests of one test: those
// for a repository and the repositories below it, or those with a header field.
// The zero session matches all requests.
type session struct {
	repo        string
	name, value string // of the header field
}

// UnmarshalText parses the name of a repository, or a header field such as
// "X-Test: 7".
func (s *session) UnmarshalText(text []byte) error {
	name, value, isHeader := strings.Cut(string(text), ":")
	if !isHeader {
		*s = session{repo: strings.TrimSuffix(name, "/")}
		if !names.Repository(s.repo) {
			return jsonapi.Bad("the session %.200q is neither the name of a repository nor a header, such as \"X-Test: 7\"", text)
		}
		return nil
	}
	*s = session{"", textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)}
	switch {
	case s.name == "" || strings.ContainsAny(s.name, " \t?!"):
		return jsonapi.Bad("the session %.200q does not begin with the name of a header", text)
	case s.value == "" || strings.ContainsAny(s.value, `*?,\`):
		return jsonapi.Bad("the session %.200q needs a value without the characters * ? , and \\", text)
	case s.name == "Authorization" || s.name == "Cookie":
		return jsonapi.Bad("the session %.200q is a header that the journal does not keep; choose another one", text)
	}
	return nil
}

// String returns the session in the form that UnmarshalText parses.
func (s session) String() string {
	if s.name != "" {
		return s.name + ": " + s.value
	}
	return s.repo
}

// limit returns the rule r, limited to the requests of the session.
func (s session) limit(r fault.Rule) fault.Rule {
	if s.name != "" {
		return r.HasHeader(s.name, s.value)
	}
	if s.repo != "" {
		return r.Repo(s.repo + "/**")
	}
	return r
}

// hasRepo reports whether the repository belongs to the session. All
// repositories belong to the zero session.
func (s session) hasRepo(repo string) bool {
	return s == session{} || s.repo != "" && (repo == s.repo || strings.HasPrefix(repo, s.repo+"/"))
}

// has reports whether the request belongs to the session. All requests belong to
// the zero session.
func (s session) has(r *journal.Record) bool {
	if s.name != "" {
		return slices.Contains(r.RequestHeader[s.name], s.value)
	}
	return s.hasRepo(r.Repo)
}
