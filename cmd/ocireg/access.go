package main

import (
	"errors"
	"strings"

	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// access holds the users and rules that the command line gives.
type access struct {
	users []auth.Credentials
	rules []string
	token bool
	later bool // the control API may add users later
}

func (a *access) addUser(v string) error {
	name, password, ok := strings.Cut(v, ":")
	if !ok || name == "" || password == "" {
		return errors.New("want NAME:PASSWORD")
	}
	a.users = append(a.users, auth.Credentials{Username: name, Password: password})
	return nil
}

func (a *access) addRule(v string) error {
	if _, err := auth.ParseRule(v); err != nil {
		return err
	}
	a.rules = append(a.rules, v)
	return nil
}

// auth returns the authentication with the users and rules, or nil if the registry
// asks for no credentials.
func (a *access) auth() (*auth.Auth, error) {
	if len(a.users) == 0 && len(a.rules) == 0 {
		if a.token && !a.later {
			return nil, errors.New("-token needs -user or -allow")
		}
		if !a.token {
			return nil, nil
		}
	}
	who := auth.Basic()
	if a.token {
		who = auth.Bearer()
	}
	return who, a.addTo(who)
}

// addTo adds the users with their own rules, and the rules about other names, such
// as anonymous.
func (a *access) addTo(who *auth.Auth) error {
	own := make(map[string][]string) // the rules of each user, by name
	for _, u := range a.users {
		own[u.Username] = nil
	}
	for _, text := range a.rules {
		name, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		if _, known := own[name]; known {
			own[name] = append(own[name], rest)
		} else if err := who.Allow(text); err != nil {
			return err
		}
	}
	for _, u := range a.users {
		if err := who.AddUser(u, own[u.Username]...); err != nil {
			return err
		}
	}
	return nil
}

// addFault adds a rule for faults, in the language of [fault.Parse].
func addFault(faults *inject.Rules, text string) error {
	rule, err := fault.Parse(text)
	if err != nil {
		return err
	}
	_, err = faults.Add(rule)
	return err
}
