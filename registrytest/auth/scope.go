package auth

import (
	"slices"
	"strings"

	"github.com/ocireg/registry"
)

// An Access is an entry in what a token lets its bearer do: the claim access
// of the Token Authentication Specification, and a scope when it is written as
// "repository:team/app:pull,push".
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// String returns the scope.
func (a Access) String() string {
	return a.Type + ":" + a.Name + ":" + strings.Join(a.Actions, ",")
}

func scopeString(all []Access) string {
	parts := make([]string, len(all))
	for i, a := range all {
		parts[i] = a.String()
	}
	return strings.Join(parts, " ")
}

// parseScopes reads scopes, of which each value may have several between
// spaces. What is not a scope grants nothing and is left out.
func parseScopes(values []string) (all []Access) {
	for _, v := range values {
		for _, text := range strings.Fields(v) {
			// The name may have colons itself, from the port of a host.
			first, last := strings.Index(text, ":"), strings.LastIndex(text, ":")
			if first < 0 || first == last {
				continue
			}
			all = append(all, Access{
				Type:    text[:first],
				Name:    text[first+1 : last],
				Actions: strings.Split(text[last+1:], ","),
			})
		}
	}
	return all
}

// scopesFor returns the scopes that the request needs.
func scopesFor(r *registry.Request) []Access {
	repository := func(name string, actions ...string) Access { return Access{"repository", name, actions} }
	switch {
	case r.Op == registry.ListRepositories:
		return []Access{{"registry", "catalog", []string{"*"}}}
	case r.Repo == "":
		return nil
	case r.Op == registry.MountBlob && r.From != "":
		return []Access{repository(r.Repo, "pull", "push"), repository(r.From, "pull")}
	}
	switch r.Op.Action() {
	case registry.ActionPush:
		return []Access{repository(r.Repo, "pull", "push")}
	case registry.ActionDelete:
		return []Access{repository(r.Repo, "delete")}
	}
	return []Access{repository(r.Repo, "pull")}
}

// actionName returns what the action is called in scopes: those know no list,
// which is part of pull.
func actionName(a registry.Action) string {
	if a == registry.ActionList {
		return "pull"
	}
	return a.String()
}

// covers reports whether the access has the action.
func covers(all []Access, repo string, action registry.Action) bool {
	for _, a := range all {
		switch {
		case repo == "":
			if a.Type == "registry" && a.Name == "catalog" && slices.Contains(a.Actions, "*") {
				return true
			}
		case a.Type == "repository" && a.Name == repo && slices.Contains(a.Actions, actionName(action)):
			return true
		}
	}
	return false
}

// grant returns what of the scopes the user may have.
func (a *Auth) grant(name string, asked []Access) []Access {
	granted := []Access{}
	for _, s := range asked {
		g := Access{Type: s.Type, Name: s.Name}
		switch {
		case s.Type == "registry" && s.Name == "catalog":
			if slices.Contains(s.Actions, "*") && a.permits(name, "", registry.ActionList) {
				g.Actions = []string{"*"}
			}
		case s.Type == "repository":
			for _, action := range []registry.Action{registry.ActionPull, registry.ActionPush, registry.ActionDelete} {
				wanted := slices.Contains(s.Actions, action.String()) || slices.Contains(s.Actions, "*")
				if wanted && a.permits(name, s.Name, action) {
					g.Actions = append(g.Actions, action.String())
				}
			}
		}
		if len(g.Actions) > 0 {
			granted = append(granted, g)
		}
	}
	return granted
}
