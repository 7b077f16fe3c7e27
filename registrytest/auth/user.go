package auth

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/ocireg/registry"
)

// A user is an account. Each time it is added, it gets a new generation, which
// invalidates earlier tokens.
type user struct {
	name       string
	password   string
	hash       string // hash of an unknown password; see AddHtpasswd
	rules      []Rule // nil gives every right
	revoked    bool
	generation uint64
}

// Credentials are the name and the password of a user.
type Credentials struct {
	Username, Password string
}

// User adds a user with a random password, and returns the name and the password. It
// is [Auth.AddUser] for a test that wants only one line: instead of returning an
// error, it panics, as [regexp.MustCompile] does.
func (a *Auth) User(name string, rules ...string) Credentials {
	c := Credentials{name, rand.Text()}
	if err := a.AddUser(c, rules...); err != nil {
		panic("auth: " + err.Error())
	}
	return c
}

// AddUser adds a user. It replaces a user with the same name, whose password and
// tokens become invalid. The rules are those of [ParseRule] without the first word,
// such as "pull,push team/**". A user without rules has every right. Every user has
// the rights of an anonymous client.
//
// If the name or a rule is not valid, or a running registry cannot enforce the rights
// (see [Auth.CheckStore]), AddUser returns an error and changes nothing; see
// [Auth.Err].
func (a *Auth) AddUser(c Credentials, rules ...string) error {
	return a.noteErr(a.add(&user{name: c.Username, password: c.Password}, rules))
}

// add parses the rules and adds the user u, in place of a user with the same name.
// If it returns an error, it adds no user.
func (a *Auth) add(u *user, rules []string) error {
	if err := checkName(u.name); err != nil {
		return err
	}
	for _, text := range rules {
		r, err := parseRights(u.name, strings.Fields(text))
		if err != nil {
			return fmt.Errorf("rule %q of user %s: %w", text, u.name, err)
		}
		u.rules = append(u.rules, r)
	}
	return a.change(func() (undo func()) {
		if a.users == nil {
			a.users = make(map[string]*user)
		}
		a.generation++
		u.generation = a.generation
		before := a.users[u.name]
		a.users[u.name] = u
		return func() {
			if a.users[u.name] = before; before == nil {
				delete(a.users, u.name)
			}
		}
	})
}

// AddHtpasswd adds the users in an htpasswd file and gives all of them the
// rules. Each line has a name and a password, separated by a colon. A password
// is plain text or has the form {SHA}. Other forms, such as those of bcrypt that
// begin with $2y$, require [Auth.CheckHash]. AddHtpasswd returns an error if a
// line or a rule is not valid; see [Auth.Err].
func (a *Auth) AddHtpasswd(r io.Reader, rules ...string) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		u := &user{name: name, password: password}
		var err error
		switch {
		case !ok || password == "":
			err = errors.New("want NAME:PASSWORD")
		case strings.HasPrefix(password, "{SHA}"):
			u.password, u.hash = "", password
		case password[0] == '$' || password[0] == '{':
			if u.password, u.hash = "", password; a.CheckHash == nil {
				err = errors.New("the password is neither plain text nor {SHA}; set Auth.CheckHash, or write the file with htpasswd -s")
			}
		}
		if err == nil {
			err = a.add(u, rules)
		}
		if err != nil {
			return a.noteErr(fmt.Errorf("htpasswd file, line %d: %w", n, err))
		}
	}
	if err := lines.Err(); err != nil {
		return a.noteErr(fmt.Errorf("reading htpasswd file: %w", err))
	}
	return nil
}

// checkName returns an error if the name is not valid for a user.
func checkName(name string) error {
	if name == "" || strings.ContainsAny(name, ": \t\r\n") || name == anonymous || name == everybody {
		return fmt.Errorf("%q cannot be the name of a user", name)
	}
	return nil
}

// Allow adds a rule such as "anonymous pull public/**"; see [ParseRule]. It
// returns an error and changes nothing if the rule is not valid, or if a running
// registry cannot enforce it; see [Auth.CheckStore] and [Auth.Err].
func (a *Auth) Allow(rule string) error {
	r, err := ParseRule(rule)
	if err == nil {
		err = a.change(func() (undo func()) {
			before := a.rules
			a.rules = append(a.rules, r)
			return func() { a.rules = before }
		})
	}
	return a.noteErr(err)
}

// Revoke invalidates the user's password and tokens. It panics if no user with
// the name was added.
func (a *Auth) Revoke(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mustKnow("Revoke", name).revoked = true
}

// Save returns a function that restores the present users, their rights, and the
// rights of all clients. Tokens issued since then stay valid if their user is
// among the restored ones; see [Auth.ExpireTokens].
func (a *Auth) Save() (restore func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	users, rules, revoked := maps.Clone(a.users), slices.Clone(a.rules), make(map[*user]bool)
	for _, u := range users {
		revoked[u] = u.revoked
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.users, a.rules = maps.Clone(users), slices.Clone(rules)
		a.shared = a.shared && a.checkUniform() == nil
		for u, was := range revoked {
			u.revoked = was
		}
	}
}

// mustKnow returns the named user. It panics if no such user was added: a test
// with a misspelled name would test nothing. The caller holds a.mu.
func (a *Auth) mustKnow(method, name string) *user {
	u := a.users[name]
	if u == nil {
		panic(fmt.Sprintf("auth: %s: no user %q was added; call User or AddUser first", method, name))
	}
	return u
}

// active returns the named user, or nil if the user does not exist or was
// revoked. The caller holds a.mu.
func (a *Auth) active(name string) *user {
	if u := a.users[name]; u != nil && !u.revoked {
		return u
	}
	return nil
}

// current reports whether u was neither revoked nor replaced. The caller holds
// a.mu.
func (a *Auth) current(u *user) bool { return u != nil && a.active(u.name) == u }

// checkBasic returns the name of the user with the credentials, encoded as for
// Basic authentication. It returns an error if they are wrong.
func (a *Auth) checkBasic(encoded string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", errors.New("the credentials are not base64")
	}
	name, password, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", errors.New("the credentials have no password")
	}
	return a.check(name, password)
}

// check returns the name, or an error if no user has the name and the password.
func (a *Auth) check(name, password string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.active(name)
	known := u != nil
	if !known {
		u = &user{}
	}
	if !a.matches(u, password) || !known {
		return "", errors.New("wrong user name or password")
	}
	return name, nil
}

// matches reports whether u has the password. For an unknown name, the caller
// passes an empty user, so that the comparison takes the same time.
func (a *Auth) matches(u *user, password string) bool {
	sha, isSHA := strings.CutPrefix(u.hash, "{SHA}")
	switch {
	case isSHA:
		sum := sha1.Sum([]byte(password))
		return subtle.ConstantTimeCompare([]byte(sha), []byte(base64.StdEncoding.EncodeToString(sum[:]))) == 1
	case u.hash != "":
		return a.CheckHash(u.hash, password)
	}
	want, got := sha256.Sum256([]byte(u.password)), sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// permits reports whether the named user has the right to the action on the
// repository. The name "" is an anonymous client, and the repository "" the
// catalog.
func (a *Auth) permits(name, repo string, action registry.Action) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name != "" {
		u := a.active(name)
		if u == nil {
			return false
		}
		if u.rules == nil {
			return true
		}
		for _, r := range u.rules {
			if r.permits(name, repo, action) {
				return true
			}
		}
	}
	for _, r := range a.rules {
		if r.permits(name, repo, action) {
			return true
		}
	}
	return false
}
