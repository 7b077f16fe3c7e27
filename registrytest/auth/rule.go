package auth

import (
	"fmt"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/glob"
)

// The words for users in rules that are no names.
const (
	anonymous = "anonymous" // who has not said who he is
	everybody = "*"
)

// A Rule lets somebody do something with some repositories.
type Rule struct {
	user    string
	actions []registry.Action
	repos   string
}

var allActions = []registry.Action{registry.ActionPull, registry.ActionPush, registry.ActionDelete, registry.ActionList}

// ParseRule reads a rule, which is three words:
//
//	anonymous pull public/**
//	ci pull,push,list team/*
//	* * **
//
// The first is a user, "anonymous" for those who have not said who they are,
// or "*" for everybody. The second is what they may do: "pull", "push",
// "delete" or "list", several of them joined by commas, or "*" for all. The
// third is a pattern of repositories, in which "*" stands for any characters
// but "/" and "**" for any characters. The right to list the catalog is that
// to list any repository; it shows the repositories that the user may list.
func ParseRule(text string) (Rule, error) {
	words := strings.Fields(text)
	if len(words) != 3 {
		return Rule{}, fmt.Errorf("rule %q has not three words: user, actions and repositories", text)
	}
	r := Rule{user: words[0], repos: words[2]}
	if words[1] == "*" {
		r.actions = allActions
		return r, nil
	}
next:
	for word := range strings.SplitSeq(words[1], ",") {
		for _, a := range allActions {
			if a.String() == word {
				r.actions = append(r.actions, a)
				continue next
			}
		}
		return Rule{}, fmt.Errorf("rule %q: %q is not pull, push, delete, list or *", text, word)
	}
	return r, nil
}

// String returns the rule as [ParseRule] reads it.
func (r Rule) String() string {
	names := make([]string, len(r.actions))
	for i, a := range r.actions {
		names[i] = a.String()
	}
	return r.user + " " + strings.Join(names, ",") + " " + r.repos
}

// permits reports whether the rule lets the user, "" being anonymous, do the
// action. The empty repository is the catalog.
func (r Rule) permits(user, repo string, action registry.Action) bool {
	if r.user != everybody && r.user != who(user) {
		return false
	}
	for _, a := range r.actions {
		if a == action {
			return repo == "" || glob.Match(r.repos, repo)
		}
	}
	return false
}
