package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// In a rule, these words stand for every client instead of a user's name.
const (
	anonymous = "anonymous"
	everybody = "*"
)

// A Rule gives rights on repositories to a user or to every client.
type Rule struct {
	user    string
	actions []registry.Action
	repos   string
}

var allActions = []registry.Action{registry.ActionPull, registry.ActionPush, registry.ActionDelete, registry.ActionList}

// ParseRule parses a rule of three words:
//
//	anonymous pull public/**
//	ci pull,push,list team/*
//	* * **
//
// The first word is the name of a user, or "anonymous" or "*" for every client,
// with credentials or without. The second word is one or more of the rights
// "pull", "push", "delete" and "list", separated by commas, or "*" for all. The
// third word is a pattern of repositories, in which "*" stands for any
// characters except "/", and "**" for any characters.
//
// The right "list" is for the catalog, which shows the repositories that the
// client may list. With [Auth.StrictList] it is also for lists of tags.
func ParseRule(text string) (Rule, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Rule{}, errors.New("the rule is empty: want a user, rights and repositories, such as \"anonymous pull public/**\"")
	}
	name := words[0]
	err := error(nil)
	if name != anonymous && name != everybody {
		err = checkName(name)
	}
	var r Rule
	if err == nil {
		r, err = parseRights(name, words[1:])
	}
	if err != nil {
		return Rule{}, fmt.Errorf("rule %q: %w", text, err)
	}
	return r, nil
}

// parseRights parses the two words of a rule that follow the name of the user.
func parseRights(user string, words []string) (Rule, error) {
	if len(words) != 2 {
		return Rule{}, errors.New(`want rights and repositories, such as "pull,push team/**" or "* **"`)
	}
	r := Rule{user: user, repos: words[1]}
	if words[0] == "*" {
		r.actions = allActions
		return r, nil
	}
	for word := range strings.SplitSeq(words[0], ",") {
		i := slices.IndexFunc(allActions, func(a registry.Action) bool { return a.String() == word })
		if i < 0 {
			return Rule{}, fmt.Errorf("%q is not pull, push, delete, list or *", word)
		}
		r.actions = append(r.actions, allActions[i])
	}
	return r, nil
}

// String returns the rule in the form that [ParseRule] parses.
func (r Rule) String() string {
	names := make([]string, len(r.actions))
	for i, a := range r.actions {
		names[i] = a.String()
	}
	return r.user + " " + strings.Join(names, ",") + " " + r.repos
}

// permits reports whether the rule gives the named user the right to the action
// on the repository. The name "" is an anonymous client, and the repository ""
// the catalog.
func (r Rule) permits(name, repo string, action registry.Action) bool {
	if r.user != everybody && r.user != anonymous && r.user != name {
		return false
	}
	return slices.Contains(r.actions, action) && (repo == "" || names.Match(r.repos, repo))
}
