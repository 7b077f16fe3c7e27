package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/internal/names"
)

// A Condition is a condition on a request for [Rule.Where]. It is one of the
// constants, or a value from [BodyOver], [BodyHas], [Path] or [Not].
type Condition string

// These conditions are on the content of the registry when the request arrives. If
// the content cannot be read, a request meets neither the condition nor its [Not].
// For a proxy of package upstream, the content is that which the client may see.
const (
	RepoExists Condition = "repo-exists" // the repository exists
	Found      Condition = "found"       // the blob or manifest is in the repository or, for a mount, in the repository to mount from
	Tagged     Condition = "tagged"      // a tag points at the manifest
	Referenced Condition = "referenced"  // a tagged manifest refers to the blob or manifest, directly or through indexes and referrers
)

// BodyOver is met by requests whose body has more than n bytes. A body of
// unknown length, such as a stream, meets neither BodyOver nor its [Not].
func BodyOver(n int64) Condition { return Condition(bodyOver + strconv.FormatInt(n, 10)) }

// BodyHas is met by requests whose body has the text in its first 4 MiB. It is for
// [registry.PutManifest] and [registry.GetToken]. The rule reads the body before
// any fault happens.
func BodyHas(text string) Condition { return Condition(bodyHas + text) }

// Path is met by requests for no operation of the API ([registry.UnknownOp]) if
// the pattern matches their path, without the path prefix of the registry. It is
// for endpoints that middleware adds, such as Path("/index/*") for those of package
// flatpak. Patterns are those of [Rule.Repo].
func Path(pattern string) Condition { return Condition(path + pattern) }

const (
	bodyOver = "body>"
	bodyHas  = "body:"
	path     = "path:"
)

// Not is met by requests that do not meet the condition. If the operation has nothing
// that the condition is about, such as a repository, a request meets neither of the
// two.
func Not(c Condition) Condition {
	if positive, ok := strings.CutPrefix(string(c), "!"); ok {
		return Condition(positive)
	}
	return "!" + c
}

// Where limits the rule to requests that meet the condition. With a function, a test
// can define a condition: a request meets it if the function returns true, and c is
// its name in messages and in the text of the rule. Several goroutines may call the
// function at the same time. A rule with a function cannot be parsed from its text.
//
//	fault.On(registry.PutManifest).Where(fault.Not(fault.RepoExists)).Status(404)
//	fault.On(registry.GetBlob).Where("by a mirror", func(r *registry.Request) bool { return r.Header.Get("Via") != "" }).Close()
func (r Rule) Where(c Condition, f ...func(*registry.Request) bool) Rule {
	name, negated := strings.CutPrefix(string(c), "!")
	k, err := kindOf(name)
	switch {
	case len(f) == 0:
	case len(f) > 1:
		err = errors.New("it has more than one function")
	case f[0] == nil:
		err = errors.New("its function is nil")
	case name == "":
		err = errors.New("the function needs a name, for messages and for the text of the rule")
	case err == nil:
		err = fmt.Errorf("%s is a condition without a function; choose another name", name)
	default:
		k, err = kind{test: func(q *registry.Request) (bool, bool) { return f[0](q), true }}, nil
	}
	if err == nil && k.ops != nil && r.lacks(k.ops) {
		err = fmt.Errorf("no %s request has %s", r.on, k.noun)
	}
	r = r.when("where", string(c), err, func(q *registry.Request) bool {
		met, known := k.test(q)
		return known && met != negated
	})
	r.conditions[len(r.conditions)-1].ops = k.ops
	return r
}

func parseWhere(r Rule, a argument) (Rule, error) {
	if !a.given {
		return r, errors.New("want a condition, such as where=found; a Go function has no text, so only the method Where takes it")
	}
	return r.Where(Condition(a.text)), nil
}

// A kind describes the conditions about one thing, such as the body of a request.
type kind struct {
	noun string                 // the name of the thing in messages
	ops  func(registry.Op) bool // whether requests for an operation can have the thing; nil if all can
	// test reports whether a request meets the condition, and whether this is known.
	test func(*registry.Request) (met, known bool)
}

// kindOf returns the kind of the condition of this package that has the name, or an
// error if this package has no such condition.
func kindOf(name string) (kind, error) {
	if text, ok := strings.CutPrefix(name, bodyOver); ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return kind{}, fmt.Errorf("%q is not a number of bytes", text)
		}
		return kind{"the body of a request", registry.Op.HasBody, func(q *registry.Request) (met, known bool) {
			return q.ContentLength > n, q.ContentLength >= 0
		}}, nil
	}
	if text, ok := strings.CutPrefix(name, bodyHas); ok {
		if text == "" {
			return kind{}, errors.New("it needs a text after the colon, such as body:schemaVersion")
		}
		return kind{"a manifest or a form in its body", hasText, func(q *registry.Request) (met, known bool) {
			return hasText(q.Op) && bytes.Contains(beginning(q), []byte(text)), hasText(q.Op)
		}}, nil
	}
	if pattern, ok := strings.CutPrefix(name, path); ok {
		if !strings.HasPrefix(names.Fill(pattern, "/"), "/") {
			return kind{}, errors.New("a path begins with a slash")
		}
		return kind{"a path outside the API", isUnknown, func(q *registry.Request) (met, known bool) {
			return isUnknown(q.Op) && names.Match(pattern, strings.TrimPrefix(q.URL.Path, q.Prefix)), isUnknown(q.Op)
		}}, nil
	}
	words := []string{bodyOver + "1000"}
	for _, s := range states {
		if name == string(s.name) {
			return kind{s.noun, s.ops, func(q *registry.Request) (met, known bool) {
				store := q.Store()
				if store == nil || !s.ops(q.Op) || q.Repo == "" {
					return false, false
				}
				err := s.find(q.Context(), store, q)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					q.Note(fmt.Sprintf("where=%s is not known: %s", s.name, field.Shorten(err.Error(), 200)))
					return false, false
				}
				return err == nil, true
			}}, nil
		}
		words = append(words, string(s.name))
	}
	return kind{}, fmt.Errorf("no condition is called %q%s", name, didYouMean(name, words))
}

// isUnknown reports whether op is that of requests for no operation of the API.
func isUnknown(op registry.Op) bool { return op == registry.UnknownOp }

// hasText reports whether the body of a request for the operation is a short text, a
// manifest or a form.
func hasText(op registry.Op) bool { return op == registry.PutManifest || op == registry.GetToken }

// beginning returns the first 4 MiB of the request's body. The operation still gets the
// whole body.
func beginning(q *registry.Request) []byte {
	b, ok := q.Body.(*aheadBody)
	if !ok {
		b = &aheadBody{ReadCloser: q.Body}
		copied := *q.Request
		copied.Body = b
		q.Request = &copied
	}
	b.readAhead(4 << 20) // The operation gets the error.
	return b.rest
}

// states has the conditions on the content of the registry.
var states = []struct {
	name Condition
	noun string
	ops  func(registry.Op) bool
	// find returns an error that wraps fs.ErrNotExist if a request does not meet
	// the condition.
	find func(ctx context.Context, s registry.Store, q *registry.Request) error
}{
	{RepoExists, "a repository", registry.Op.HasRepo, repoExists},
	{Found, "a blob or a manifest", namesContent, found},
	{Tagged, "a manifest", namesManifest, tagged},
	{Referenced, "a blob or a manifest", namesContent, referenced},
}

func namesContent(op registry.Op) bool { return op.HasDigest() || op.HasTag() }

func namesManifest(op registry.Op) bool {
	return op.HasTag() || op == registry.DeleteManifest || op == registry.ListReferrers
}

// repoExists implements [RepoExists]. It reads the first tag of the repository.
func repoExists(ctx context.Context, s registry.Store, q *registry.Request) error {
	for _, err := range s.Tags(ctx, q.Repo, "") {
		return err
	}
	return nil
}

// found implements [Found].
func found(ctx context.Context, s registry.Store, q *registry.Request) error {
	if q.Tag+string(q.Digest) == "" {
		return fs.ErrNotExist
	}
	return anyPlace(ctx, s, q, func(repo string) (err error) {
		switch {
		case q.Tag != "":
			_, err = s.StatManifest(ctx, repo, q.Tag)
		case namesManifest(q.Op):
			_, err = s.StatManifest(ctx, repo, string(q.Digest))
		default:
			_, err = s.StatBlob(ctx, repo, q.Digest)
		}
		return err
	})
}

// tagged implements [Tagged].
func tagged(ctx context.Context, s registry.Store, q *registry.Request) error {
	if q.Tag != "" {
		return found(ctx, s, q)
	}
	var result failure
	for tag, err := range s.Tags(ctx, q.Repo, "") {
		if err != nil {
			return err
		}
		m, err := s.StatManifest(ctx, q.Repo, tag)
		if err == nil && m.Digest == q.Digest {
			return nil
		}
		result.note(err)
	}
	return result.error()
}

// referenced implements [Referenced].
func referenced(ctx context.Context, s registry.Store, q *registry.Request) error {
	d := q.Digest
	if q.Tag != "" {
		m, err := s.StatManifest(ctx, q.Repo, q.Tag)
		if err != nil {
			return err
		}
		d = m.Digest
	}
	if d == "" {
		return fs.ErrNotExist
	}
	return anyPlace(ctx, s, q, func(repo string) error {
		w := walk{ctx: ctx, store: s, repo: repo, seen: make(map[digest.Digest]bool), is: func(doc *manifest.Document) bool {
			if namesManifest(q.Op) {
				return has(doc.Manifests, d)
			}
			return doc.Config != nil && doc.Config.Digest == d || has(doc.Layers, d) || has(doc.Blobs, d)
		}}
		for tag, err := range s.Tags(ctx, repo, "") {
			if err != nil || w.visit(tag) {
				return err
			}
		}
		return w.failure.error()
	})
}

// A failure keeps the first error that may be the reason why a search found nothing.
type failure struct{ first error }

// note keeps err if it is the first failure. A nil error is not a failure, and neither is one
// for missing content or for a list that the registry does not support.
func (f *failure) note(err error) {
	if f.first == nil && err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		f.first = err
	}
}

// error returns the first failure or, without one, fs.ErrNotExist.
func (f *failure) error() error {
	if f.first == nil {
		return fs.ErrNotExist
	}
	return f.first
}

func has(list []ocispec.Descriptor, d digest.Digest) bool {
	for i := range list {
		if list[i].Digest == d {
			return true
		}
	}
	return false
}

// anyPlace calls look with the repository of the request or, for a mount, with each
// repository that the blob may be mounted from, until look returns nil. It returns an
// error if look never returns nil.
func anyPlace(ctx context.Context, s registry.Store, q *registry.Request, look func(repo string) error) error {
	switch {
	case q.Op != registry.MountBlob:
		return look(q.Repo)
	case q.From != "":
		return look(q.From)
	}
	var result failure
	for repo, err := range s.Repositories(ctx, "") {
		if err == nil {
			err = look(repo)
			if err == nil {
				return nil
			}
		}
		result.note(err)
	}
	return result.error()
}

// A walk searches the manifests of a repository for one for which w.is returns true. It
// visits the tagged manifests, the manifests that indexes among them list, and the
// referrers of all these.
type walk struct {
	ctx   context.Context
	store registry.Store
	repo  string
	seen  map[digest.Digest]bool
	is    func(*manifest.Document) bool
	failure
}

// visit reports whether w.is accepts the manifest with this reference, or a manifest
// that the walk reaches from there.
func (w *walk) visit(reference string) bool {
	m, err := w.store.GetManifest(w.ctx, w.repo, reference)
	if w.note(err); err != nil || w.seen[m.Digest] {
		return false
	}
	w.seen[m.Digest] = true
	if doc, err := manifest.Parse(m.MediaType, m.Content); err == nil {
		if w.is(&doc) {
			return true
		}
		for _, child := range doc.Manifests {
			// A store treats a malformed digest as a tag.
			if child.Digest.Validate() == nil && w.visit(string(child.Digest)) {
				return true
			}
		}
	}
	for referrer, err := range w.store.Referrers(w.ctx, w.repo, m.Digest, "") {
		if w.note(err); err != nil || w.visit(string(referrer.Digest)) {
			return err == nil
		}
	}
	return false
}
