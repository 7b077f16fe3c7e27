package auth

import (
	"slices"
	"strings"

	"github.com/ocireg/registry"
)

// A Scope is a set of actions on one resource that a token can cover. It is an
// entry of the claim access in the Token Authentication Specification.
// Challenges and requests have the form "repository:team/app:pull,push".
type Scope struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// String returns the scope in the form of a challenge.
func (s Scope) String() string {
	return s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",")
}

func scopeString(all []Scope) string {
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = s.String()
	}
	return strings.Join(parts, " ")
}

// parseScopes parses values that have one or more scopes, separated by spaces.
// It skips words that are not scopes. The scopes do not share the text of values,
// which may be a part of a long query.
func parseScopes(values []string) (all []Scope) {
	for _, v := range values {
		for _, text := range strings.Fields(strings.Clone(v)) {
			// The name may contain a colon, which precedes the port of a host.
			first, last := strings.Index(text, ":"), strings.LastIndex(text, ":")
			if first < 0 || first == last {
				continue
			}
			all = append(all, Scope{
				Type:    text[:first],
				Name:    text[first+1 : last],
				Actions: strings.Split(text[last+1:], ","),
			})
		}
	}
	return all
}

// scopesFor returns the scopes that a token for the request needs.
func scopesFor(r *registry.Request) []Scope {
	repository := func(name string, actions ...string) Scope { return Scope{"repository", name, actions} }
	switch {
	case r.Op == registry.ListRepositories:
		return []Scope{{"registry", "catalog", []string{"*"}}}
	case r.Repo == "":
		return nil
	case r.Op == registry.MountBlob && r.From != "":
		return []Scope{repository(r.Repo, "pull", "push"), repository(r.From, "pull")}
	}
	switch r.Op.Action() {
	case registry.ActionPush:
		return []Scope{repository(r.Repo, "pull", "push")}
	case registry.ActionDelete:
		return []Scope{repository(r.Repo, "delete")}
	}
	return []Scope{repository(r.Repo, "pull")}
}

// metadataRead is an action in scopes of Azure's registry. It covers only lists
// of tags.
const metadataRead = "metadata_read"

// actionName returns the name of the action in a scope. Scopes have no action
// list; pull includes it.
func actionName(a registry.Action) string {
	if a == registry.ActionList {
		return "pull"
	}
	return a.String()
}

// covers reports whether the scopes cover the action on the repository. The
// repository "" is the catalog.
func covers(scopes []Scope, repo string, action registry.Action) bool {
	return slices.ContainsFunc(scopes, func(s Scope) bool {
		if repo == "" {
			return s.Type == "registry" && s.Name == "catalog" && slices.Contains(s.Actions, "*")
		}
		return s.Type == "repository" && s.Name == repo &&
			(slices.Contains(s.Actions, actionName(action)) || action == registry.ActionList && slices.Contains(s.Actions, metadataRead))
	})
}

// grant returns the requested scopes, limited to the rights of the user. The
// name "" is an anonymous client.
func (a *Auth) grant(name string, requested []Scope) []Scope {
	granted := []Scope{}
	for _, s := range requested {
		g := Scope{Type: s.Type, Name: s.Name}
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
			if slices.Contains(s.Actions, metadataRead) && (a.permits(name, s.Name, registry.ActionList) || a.permits(name, s.Name, registry.ActionPull)) {
				g.Actions = append(g.Actions, metadataRead)
			}
		}
		if len(g.Actions) > 0 {
			granted = append(granted, g)
		}
	}
	return granted
}
