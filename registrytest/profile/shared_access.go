package profile

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/auth"
)

// The behaviours in this file concern permissions, and are shared by several
// registries.

// These are the settings, for behaviour.deciding, of quirks that refuse requests to
// a missing repository or namespace. [Profile.NeedsRepository] looks for them.
const (
	missingRepositories = "repositories that do not exist"
	missingNamespaces   = "namespaces that do not exist"
)

// everyOp lists all operations on a repository.
var everyOp = []registry.Op{
	registry.GetBlob, registry.HeadBlob, registry.DeleteBlob, registry.GetManifest, registry.HeadManifest, registry.PutManifest,
	registry.DeleteManifest, registry.DeleteTag, registry.StartUpload, registry.PostBlob, registry.MountBlob, registry.PatchUpload,
	registry.PutUpload, registry.GetUpload, registry.CancelUpload, registry.ListTags, registry.ListReferrers,
}

// missing401 returns the behaviour of a registry that responds with 401 to
// anonymous clients if the repository does not exist, as if it were private.
func missing401() behaviour {
	return aboutAuth(refuse(func(b *build, r *registry.Request) *registry.Error {
		if r.User != "" || b.hasRepository(r, r.Repo) {
			return nil
		}
		return b.unauthorized(r, "insufficient_scope", "access to the requested resource is not authorized")
	}, everyOp...).deciding("missing repositories"))
}

// probeMissing is a probe of an anonymous pull, with a token, from a repository
// that does not exist.
func probeMissing(p *prober) string {
	missing := *p
	missing.repo = p.absent
	r := missing.pull("GET", "v1")
	if strings.Contains(r.header.Get("WWW-Authenticate"), "insufficient_scope") {
		return r.only() + " insufficient_scope"
	}
	return r.code()
}

// pull requests a manifest with an anonymous token, and returns the response.
func (p *prober) pull(method, reference string) reply {
	header := []string{"Accept", "application/vnd.oci.image.manifest.v1+json"}
	r := p.token("repository:" + p.repo + ":pull")
	for _, field := range []string{`"token":"`, `"access_token":"`} {
		if _, rest, ok := strings.Cut(r.body, field); ok && r.status == http.StatusOK {
			token, _, _ := strings.Cut(rest, `"`)
			header = append(header, "Authorization", "Bearer "+token)
			break
		}
	}
	return p.anonymous(method, p.path("manifests", reference), "", header...)
}

// noTokenFor returns the behaviour of a token service that refuses anonymous
// tokens for a repository that does not exist or is not public. The function
// find returns the error.
func noTokenFor(find func() *registry.Error) behaviour {
	return aboutAuth(serve(func(b *build, r *registry.Request) registry.Handler {
		if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" {
			return nil
		}
		for _, repo := range scopedRepositories(r) {
			public := b.set.public == nil || names.MatchAny(b.set.public, repo)
			if !public || !b.hasRepository(r, repo) {
				return func(http.ResponseWriter, *registry.Request) error { return find() }
			}
		}
		return nil
	}, registry.GetToken).deciding("tokens for missing repositories"))
}

// scopedRepositories returns the names of the repositories in the scopes of a
// token request.
func scopedRepositories(r *registry.Request) (repos []string) {
	for _, scope := range strings.Fields(strings.Join(r.URL.Query()["scope"], " ")) {
		rest, ok := strings.CutPrefix(scope, "repository:")
		if i := strings.LastIndexByte(rest, ':'); ok && i > 0 && !slices.Contains(repos, rest[:i]) {
			repos = append(repos, rest[:i])
		}
	}
	return repos
}

// mountMissing401 returns the behaviour of a registry that refuses a mount from
// a repository that does not exist. The function find returns the error.
func mountMissing401(find func(b *build, r *registry.Request) *registry.Error) behaviour {
	return refuse(func(b *build, r *registry.Request) *registry.Error {
		if r.From == "" || b.hasRepository(r, r.From) {
			return nil
		}
		return find(b, r)
	}, registry.MountBlob).deciding("mounts from missing repositories")
}

// probeMountMissing returns a probe of a mount from a repository that does not
// exist. The function choose returns the name of the repository.
func probeMountMissing(choose func(*prober) string) probe {
	return func(p *prober) string {
		layer := p.push(p.text(20))
		return p.do("POST", param(param(p.path("blobs", "uploads/"), "mount", string(layer.Digest)), "from", choose(p)), "").only()
	}
}

// onlyNames returns the behaviour of a registry that refuses requests for a
// repository unless its name is valid. The function valid reports whether it is,
// and the function find returns the error.
func onlyNames(valid func(repo string) bool, find func(b *build, r *registry.Request) *registry.Error) behaviour {
	return refuse(func(b *build, r *registry.Request) *registry.Error {
		if valid(r.Repo) {
			return nil
		}
		return find(b, r)
	}, everyOp...).deciding("names of repositories")
}

// coversEverything returns the behaviour of a token service whose tokens cover
// all rights of the user, and not only their scopes.
func coversEverything() behaviour {
	return behaviour{{auth: func(s *setup) {
		before := s.auth.Mint
		s.auth.Mint = func(c *auth.Claims) {
			if before != nil {
				before(c)
			}
			c.Everything = true
		}
	}}}
}

// tokenLife returns the behaviour of a token service whose tokens are valid for
// d.
func tokenLife(d time.Duration) behaviour {
	return append(seenInTokens(), part{decides: "the life of tokens", auth: func(s *setup) { s.auth.TokenLife = d }})
}

// probeTokenLife is a probe of the lifetime of a token. It decodes the token,
// because the response may omit expires_in.
func probeTokenLife(p *prober) string {
	p.image("v1")
	parts := strings.Split(p.token("repository:"+p.repo+":pull").body, ".")
	if len(parts) < 3 {
		return "no token"
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expires  int64 `json:"exp"`
		IssuedAt int64 `json:"iat"`
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return "no JWT"
	}
	return (time.Duration(claims.Expires-claims.IssuedAt) * time.Second).String()
}

// namespaceMustExist returns the behaviour of a registry that refuses pushes to
// a namespace that does not exist. The function find returns the error.
func namespaceMustExist(find func(b *build, r *registry.Request) *registry.Error) behaviour {
	return refuse(func(b *build, r *registry.Request) *registry.Error {
		if b.hasNamespace(r, r.Repo) {
			return nil
		}
		return find(b, r)
	}, registry.StartUpload, registry.PostBlob, registry.MountBlob, registry.PutManifest).deciding(missingNamespaces)
}

// emptyRepository404 returns the behaviour of a registry that responds with 404
// to the list of tags of a repository without tags.
func emptyRepository404() behaviour {
	return refuse(func(_ *build, r *registry.Request) *registry.Error {
		for range r.Store().Tags(r.Context(), r.Repo, "") {
			return nil
		}
		return &registry.Error{Code: registry.CodeNameUnknown, Message: "repository name not known to registry"}
	}, registry.ListTags)
}

// probeEmptyRepository is a probe of the list of tags of a repository without
// tags.
func probeEmptyRepository(p *prober) string {
	i := p.build(nil)
	p.want(p.put(i, string(i.Digest)), "pushing a manifest", http.StatusCreated)
	return p.do("GET", p.path("tags", "list"), "").code()
}
