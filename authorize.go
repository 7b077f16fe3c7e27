package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
)

// An Action is what a user may or may not do with a repository.
type Action uint8

// The actions. Each operation is one of them, but for Ping and ListExtensions
// of the registry as a whole, which require no permission.
const (
	ActionPull   Action = iota + 1 // read blobs, manifests and referrers
	ActionPush                     // put blobs and manifests
	ActionDelete                   // delete blobs, manifests and tags
	ActionList                     // list tags, or find the repository in the catalog
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

// Action returns what the operation does, or 0 if it needs no leave.
func (op Op) Action() Action {
	switch op {
	case GetBlob, HeadBlob, GetManifest, HeadManifest, ListReferrers:
		return ActionPull
	case PutManifest, StartUpload, PostBlob, MountBlob, PatchUpload, PutUpload, GetUpload, CancelUpload:
		return ActionPush
	case DeleteBlob, DeleteManifest, DeleteTag:
		return ActionDelete
	case ListTags, ListRepositories:
		return ActionList
	}
	return 0
}

// An Authorizer decides whether the request may do the action with the
// repository: it returns nil if it may, and what to answer if it may not,
// such as an [*Error] with [CodeUnauthorized] or [CodeDenied].
//
// It is asked about the repository that an operation is on before anything is
// looked up. The empty repository stands for the catalog as a whole. It is also
// asked about repositories that the operation would reach into, and what it
// refuses there is treated as if it were not there: a mount finds no blob in
// it, and the catalog does not list it.
type Authorizer func(r *Request, repo string, a Action) error

// authorize asks whether the request may do what it asks for.
func (h *handler) authorize(r *Request) error {
	a := r.Op.Action()
	if r.Op == ListExtensions && r.Repo != "" {
		a = ActionList // the answer tells whether the repository is there
	}
	if h.authorizer == nil || a == 0 {
		return nil
	}
	return h.authorizer(r, r.Repo, a)
}

// visible yields those of the repositories that the request may do the action
// with.
func (h *handler) visible(r *Request, a Action) func(ctx context.Context, after string) iter.Seq2[string, error] {
	if h.authorizer == nil {
		return h.store.Repositories
	}
	return func(ctx context.Context, after string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for repo, err := range h.store.Repositories(ctx, after) {
				if err == nil && h.authorizer(r, repo, a) != nil {
					continue
				}
				if !yield(repo, err) {
					return
				}
			}
		}
	}
}

// mountSource returns the repository that the blob of a mount can be taken
// from, or an error that wraps [fs.ErrNotExist]. It is empty if any repository
// will do.
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
	for repo, err := range h.visible(r, ActionPull)(ctx, "") {
		if err != nil {
			return "", err
		}
		switch _, err := h.store.StatBlob(ctx, repo, r.Digest); {
		case err == nil:
			return repo, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", fmt.Errorf("no repository that may be read has %s: %w", r.Digest, fs.ErrNotExist)
}
