package registry

import (
	"fmt"
	"io/fs"
	"iter"
)

// An Action is a kind of access to a repository.
type Action uint8

// The actions. Each operation requires permission for one of them, except Ping,
// GetToken, and ListExtensions for the whole registry.
const (
	ActionPull   Action = iota + 1 // read blobs, manifests and referrers
	ActionPush                     // put blobs and manifests
	ActionDelete                   // delete blobs, manifests and tags
	ActionList                     // list tags, and see the repository in the list of repositories
)

// String returns the name of the action in lower case.
func (a Action) String() string {
	switch a {
	case ActionPull:
		return "pull"
	case ActionPush:
		return "push"
	case ActionDelete:
		return "delete"
	case ActionList:
		return "list"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// authorize returns an error unless the client may carry out the operation of
// the request.
func (h *handler) authorize(r *Request) error {
	a := r.action()
	if h.authorizer == nil || a == 0 {
		return nil
	}
	return h.authorizer(r, r.Repo, a)
}

// action returns the action that the request requires permission for, or 0.
func (r *Request) action() Action {
	if r.Op == ListExtensions && r.Repo != "" {
		return ActionList // The response tells whether the repository exists.
	}
	return r.Op.Action()
}

// visible yields the repositories that sort after the given name and in which the
// client may do the action.
func (h *handler) visible(r *Request, a Action, after string) iter.Seq2[string, error] {
	all := h.store.Repositories(r.Context(), after)
	if h.authorizer == nil {
		return all
	}
	return func(yield func(string, error) bool) {
		for repo, err := range all {
			if err == nil && h.authorizer(r, repo, a) != nil {
				continue
			}
			if !yield(repo, err) {
				return
			}
		}
	}
}

// mountSource returns a repository from which the client may mount the blob of
// the request. Without an authorizer, it returns the source that the client
// named, or "" for any. If the client may not read that source or, without a
// source, any repository with the blob, the error wraps [fs.ErrNotExist].
func (h *handler) mountSource(r *Request) (string, error) {
	if h.authorizer == nil {
		return r.From, nil
	}
	if r.From != "" {
		if h.authorizer(r, r.From, ActionPull) != nil {
			return "", fmt.Errorf("%s may not be read: %w", r.From, fs.ErrNotExist)
		}
		return r.From, nil
	}
	ctx := r.Context()
	for repo, err := range h.visible(r, ActionPull, "") {
		if err != nil {
			return "", err
		}
		if _, err := h.store.StatBlob(ctx, repo, r.Digest); err == nil {
			return repo, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		// Pass over a repository that cannot be read, too: the client can push the blob.
	}
	return "", fmt.Errorf("no repository that may be read has %s: %w", r.Digest, fs.ErrNotExist)
}
