package auth

import (
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// An Immutable refuses to move an existing tag to another manifest. The response
// is 409 with the code DENIED.
type Immutable struct {
	// Tags are patterns of immutable tags, each a repository and a tag such as
	// "team/**:v*".
	Tags []string

	// Strict also refuses to push the manifest that the tag already has.
	Strict bool

	// Error, if it is not nil, replaces the response.
	Error *registry.Error
}

// Options returns the handler options of a registry with immutable tags. It
// makes an Immutable an option of package registrytest.
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
