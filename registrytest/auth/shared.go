package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// CheckStore returns an error if the repositories of the store share their
// blobs, as those of one image layout do, and a user's rights differ between
// repositories: the user could read the blobs of all repositories. Package
// registrytest calls CheckStore before a server starts. A registry without that
// check responds to each request with the error and status 500. Once such a
// store has passed, all methods that add rights refuse those that would not pass.
//
// The rights pull and delete must be for all repositories, such as "pull **", or
// for none. The same holds for the right push of a user who may not pull. The
// tokens of [Auth.Trust] give rights to single repositories, so they are an
// error, too. The scope of a token may name one repository, but its holder can
// read the blobs of all.
func (a *Auth) CheckStore(store registry.Store) error {
	if s, ok := store.(interface{ SharesBlobs() bool }); ok && s.SharesBlobs() {
		return a.checkShared()
	}
	return nil
}

// checkShared returns an error if the rights of a user differ between
// repositories. A registry whose repositories share their blobs cannot enforce
// such rights.
func (a *Auth) checkShared() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.shared {
		return nil
	}
	err := a.checkUniform()
	a.shared = err == nil
	return err
}

// change calls do, which changes the rights and returns a function that undoes the
// change. If a registry whose repositories share their blobs uses the Auth and cannot
// enforce the new rights, change undoes the change and returns an error.
func (a *Auth) change(do func() (undo func())) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	undo := do()
	if !a.shared {
		return nil
	}
	err := a.checkUniform()
	if err != nil {
		undo()
	}
	return err
}

// checkUniform returns an error if the rights of a user differ between repositories.
// The caller holds a.mu.
func (a *Auth) checkUniform() error {
	if len(a.trusted) > 0 {
		return errors.New("tokens of another issuer give rights to single repositories, but the repositories of this store share their blobs; serve a tree of layouts, or leave Trust out")
	}
	if err := sameEverywhere("", a.rules); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.users)) {
		u := a.users[name]
		if u.rules == nil {
			continue // The user has every right.
		}
		if err := sameEverywhere(name, slices.Concat(u.rules, a.rules)); err != nil {
			return err
		}
	}
	return nil
}

// sameEverywhere returns an error if the rules give the named user rights that
// differ between repositories. The name "" is an anonymous client.
func sameEverywhere(name string, rules []Rule) error {
	has := func(action registry.Action, everywhere bool) bool {
		return slices.ContainsFunc(rules, func(r Rule) bool {
			return r.permits(name, "", action) && (!everywhere || r.everywhere())
		})
	}
	for _, action := range []registry.Action{registry.ActionPull, registry.ActionPush, registry.ActionDelete} {
		if !has(action, false) || has(action, true) {
			continue
		}
		// A client that may pull from all repositories learns nothing by pushing
		// to one.
		if action == registry.ActionPush && has(registry.ActionPull, true) {
			continue
		}
		subject := "user " + name
		if name == "" {
			subject = "an anonymous client"
		}
		return fmt.Errorf("%s may %s in some repositories only, but the repositories of this store share their blobs, so that would reach all; allow %q, or serve a tree of layouts, whose repositories are separate",
			subject, action, action.String()+" **")
	}
	return nil
}

// everywhere reports whether the rule matches all repositories.
func (r Rule) everywhere() bool {
	return strings.Trim(r.repos, "*/") == "" && names.Match(r.repos, "a") && names.Match(r.repos, "a/a") && names.Match(r.repos, "a/a/a")
}
