package auth

import (
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// An Immutable keeps tags from being moved to another manifest once they exist.
// The response to an attempt is 409 with DENIED.
type Immutable struct {
	// Tags are patterns of a repository and a tag, such as "team/**:v*".
	Tags []string

	// Strict also refuses to push the same manifest again.
	Strict bool

	// Error is the response to an attempt, if it is not nil.
	Error *registry.Error
}

// Options returns the options of a registry with immutable tags. With this
// method, i is an option of package registrytest.
func (i Immutable) Options() []registry.Option {
	return []registry.Option{registry.WithTagCheck(i.check)}
}

func (i Immutable) check(r *registry.Request, tag string, current, next digest.Digest) error {
	if current == "" || current == next && !i.Strict || !names.MatchAny(i.Tags, r.Repo+":"+tag) {
		return nil
	}
	if i.Error != nil {
		return i.Error
	}
	return &registry.Error{
		Code: registry.CodeDenied, Status: http.StatusConflict,
		Message: fmt.Sprintf("tag %s of %s is immutable and names %s", tag, r.Repo, current),
	}
}
