package registry

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// A Request is an HTTP request and its parsed URL. The registry parses the URL
// once, into the fields below. Hooks and operations use these fields and never
// the path, so all of them agree.
type Request struct {
	*http.Request

	// Op is the operation.
	Op Op

	// Prefix is the path prefix of the registry, see [WithPathPrefix].
	Prefix string

	// Repo is the name of the repository, or "" if the operation has none.
	Repo string

	// Tag is the tag in the path of a manifest operation, or "".
	Tag string

	// Digest is the digest in the path of a manifest, blob or referrers
	// operation, that of the parameter digest of PostBlob and PutUpload, or
	// that of the parameter mount of MountBlob; or "".
	Digest digest.Digest

	// Session is the ID of the upload session of PatchUpload, PutUpload,
	// GetUpload and CancelUpload, or "".
	Session string

	// From is the repository to mount from, the parameter from of MountBlob,
	// or "".
	From string

	// User is the name of the user that sent the request, or "". A middleware
	// that authenticates clients sets it for recorders and other middleware;
	// the registry itself does not look at it.
	User string

	// Scope lists the scopes that the client's token covers, such as
	// "repository:team/app:pull", separated by spaces; of a GetToken request,
	// those of the token in the response. It is "" if there is no token. A
	// middleware sets it, as it does User.
	Scope string

	// registry is the handler that serves the request, or nil.
	registry *handler

	// now is the clock of SetClock, or nil.
	now func() time.Time

	// route is the endpoint of the path.
	route route

	// err is the error in the path, or nil.
	err error

	// fault is the injected fault, or nil.
	fault *Fault

	// errors are the errors in the response.
	errors []*Error

	// notes are those of Note.
	notes []string
}

// SharesBlobs reports whether the repositories of the registry share their blobs:
// its [Store] decides. A client that may pull from one of them can read the blobs
// of all, so an authorizer cannot keep repositories apart.
func (r *Request) SharesBlobs() bool { return r.registry != nil && r.registry.sharesBlobs }

// Note adds a text to [Exchange.Notes], unless they have it, for example the reason
// for an unusual response. The goroutine that serves the request may call it, before the
// response has ended.
func (r *Request) Note(text string) {
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// Store returns the store of the registry that serves the request, for a hook
// that decides by its content. It is nil if the request was only parsed, as by
// [ParseRequest]. A store that carries out the operations itself, such as a proxy,
// may give a store of the content that the client may see, see [Store].
func (r *Request) Store() Store {
	if r.registry == nil {
		return nil
	}
	if s, ok := r.registry.store.(lender); ok {
		return s.StoreFor(r)
	}
	return r.registry.store
}

// Public reports whether a client without credentials may pull from the
// repository, for a hook that shows content of several repositories. It asks the
// functions of [WithAuthorizer], with a request without a user, credentials and
// the context of r. Public is false if the request was only parsed, as by
// [ParseRequest].
//
// If the store carries out the operations itself, such as a proxy, Public tries to
// pull the first tag of the repository, as a client without credentials. It is
// false if it cannot, or if the store has no method StoreFor (see [Store]).
func (r *Request) Public(repo string) bool {
	if r.registry == nil {
		return false
	}
	if r.registry.authorizer == nil && r.registry.operator == nil {
		return true
	}
	hr := r.Clone(context.Background())
	hr.Header.Del("Authorization")
	hr.TLS, hr.Body, hr.ContentLength = nil, http.NoBody, 0
	pull := &Request{Request: hr, Op: GetManifest, Prefix: r.Prefix, Repo: repo, route: manifestRoute, registry: r.registry}
	if r.registry.operator != nil {
		s, ok := r.registry.store.(lender)
		return ok && pulls(r.Context(), s.StoreFor(pull), repo)
	}
	return r.registry.authorizer(pull, repo, ActionPull) == nil
}

// pulls reports whether the first tag of a repository can be pulled.
func pulls(ctx context.Context, s Store, repo string) bool {
	for tag, err := range s.Tags(ctx, repo, "") {
		if err == nil {
			_, err = s.StatManifest(ctx, repo, tag)
		}
		return err == nil
	}
	return false
}

// Now returns the time of the request by the clock of [Request.SetClock], or else
// of [time.Now]. It decides when upload sessions expire, and should decide so for
// everything in a hook that expires, such as a token.
func (r *Request) Now() time.Time {
	if r.now == nil {
		return time.Now()
	}
	return r.now()
}

// SetClock makes the rest of the registry take the time of the request from the
// clock, which may be ahead to let sessions and tokens age. An injector of
// [WithFaults] sees the request before everything else that asks for the time.
// Recorders get the times of [time.Now].
func (r *Request) SetClock(now func() time.Time) { r.now = now }

// reference returns the tag or the digest of a manifest operation.
func (r *Request) reference() string {
	if r.Tag != "" {
		return r.Tag
	}
	return string(r.Digest)
}

// String returns the request in one line, such as
// "get-manifest team/app:v1".
func (r *Request) String() string {
	s := r.Op.String()
	if r.Op == UnknownOp && r.Request != nil {
		s += " " + r.Method + " " + r.URL.Path
	}
	if r.Repo != "" {
		s += " " + r.Repo
	}
	switch {
	case r.Tag != "":
		s += ":" + r.Tag
	case r.Digest != "":
		s += "@" + string(r.Digest)
	}
	return s
}

// A route is an endpoint without its method.
type route uint8

const (
	noRoute route = iota
	baseRoute
	catalogRoute
	discoverRoute
	tagsRoute
	manifestRoute
	blobRoute
	referrersRoute
	uploadsRoute
	uploadRoute
	tokenRoute

	numRoutes = iota
)

// ofRepository reports whether the path of the route has a repository.
func (rt route) ofRepository() bool { return tagsRoute <= rt && rt <= uploadRoute }

// ParseRequest reads the method and the URL of an HTTP request as a registry
// does. It reads no body and calls no store. If the registry would refuse the
// method or URL, ParseRequest returns that [*Error], and a Request with all the
// parts that it could read.
func ParseRequest(hr *http.Request) (*Request, error) {
	r := new(Request)
	r.parse(hr, "")
	if r.err == nil && r.Op == UnknownOp {
		return r, methodNotSupported()
	}
	return r, r.err
}

// parse reads hr, whose path begins with the prefix, into r. It stores an error
// in r.err, and fills in the other fields as far as it can.
func (r *Request) parse(hr *http.Request, prefix string) {
	r.Request, r.Prefix = hr, prefix
	path, ok := strings.CutPrefix(hr.URL.Path, prefix)
	if !ok {
		path = ""
	}
	route, repo, last := splitPath(path)
	r.route = route
	if route == noRoute {
		r.err = noEndpoint()
		return
	}
	for _, m := range routes[route] {
		if m.method == hr.Method {
			r.Op = m.op
		}
	}
	if repo != "" || route.ofRepository() {
		if !names.Repository(repo) {
			r.err = Errorf(CodeNameInvalid, "%q is not a valid repository name", repo)
			return
		}
		r.Repo = repo
	}
	if r.Op == UnknownOp {
		return
	}
	var query url.Values
	var queryErr error
	if hr.URL.RawQuery != "" {
		query, queryErr = url.ParseQuery(hr.URL.RawQuery)
	}
	switch route {
	case manifestRoute:
		r.parseReference(last)
	case blobRoute, referrersRoute:
		r.parseDigest(last)
	case uploadsRoute:
		r.parseUploads(query)
	case uploadRoute:
		r.Session = last
		switch {
		case r.Op != PutUpload:
		case query.Has("digest"):
			r.parseDigest(query.Get("digest"))
		default:
			r.err = Errorf(CodeDigestInvalid, "the URL has no parameter digest: add it to the query of the Location, which may have other parameters already")
		}
	}
	if queryErr != nil {
		// Ignoring a malformed parameter would change the operation.
		e := Errorf(CodeUnsupported, "malformed query: %v", queryErr)
		e.Status = http.StatusBadRequest
		r.err = e
	}
}

// methodNotSupported returns the error for a method that the route of the
// request does not have. It does not name the method, so that the responses to
// HEAD and GET are of the same length.
func methodNotSupported() *Error {
	return Errorf(CodeUnsupported, "the method is not supported here")
}

// noEndpoint returns the error for a path without an endpoint.
func noEndpoint() error {
	e := Errorf(CodeUnsupported, "no such endpoint")
	e.Status = http.StatusNotFound
	return e
}

// tokenPaths are the paths of token services: /token, and those at which real
// registries have theirs: Quay, Google and others, GitLab, Harbor, Azure, and
// Amazon with its public one.
var tokenPaths = [...]string{"/token", "/v2/auth", "/v2/token", "/jwt/auth", "/service/token", "/oauth2/token", "/token/"}

// splitPath returns the route of the path, and the repository and the last
// element if the route has them. It reads from the right, because the name of a
// repository may contain the words of the API.
func splitPath(path string) (rt route, repo, last string) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case path == "/v2", ok && rest == "":
		return baseRoute, "", ""
	case slices.Contains(tokenPaths[:], path):
		return tokenRoute, "", ""
	case !ok:
		return noRoute, "", ""
	case rest == "_catalog":
		return catalogRoute, "", ""
	case rest == "_oci/ext/discover":
		return discoverRoute, "", ""
	}
	if repo, ok := strings.CutSuffix(strings.TrimSuffix(rest, "/"), "/blobs/uploads"); ok {
		return uploadsRoute, repo, ""
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return noRoute, "", ""
	}
	rest, last = rest[:i], rest[i+1:]
	for _, s := range [...]struct {
		suffix string
		route  route
	}{
		{"/manifests", manifestRoute},
		{"/blobs", blobRoute},
		{"/blobs/uploads", uploadRoute},
		{"/referrers", referrersRoute},
	} {
		if repo, ok := strings.CutSuffix(rest, s.suffix); ok {
			return s.route, repo, last
		}
	}
	if repo, ok := strings.CutSuffix(rest, "/tags"); ok && last == "list" {
		return tagsRoute, repo, ""
	}
	if repo, ok := strings.CutSuffix(rest, "/_oci/ext"); ok && last == "discover" {
		return discoverRoute, repo, ""
	}
	return noRoute, "", ""
}

// parseReference reads the reference of a manifest operation.
func (r *Request) parseReference(ref string) {
	if strings.Contains(ref, ":") {
		r.parseDigest(ref)
		return
	}
	if r.Op == DeleteManifest {
		r.Op = DeleteTag
	}
	if !names.Tag(ref) {
		// No manifest can have that name: a pull finds nothing, and only a push
		// is invalid.
		r.err = Errorf(CodeManifestUnknown, "%q is not a valid tag", ref)
		if r.Op == PutManifest {
			r.err = Errorf(CodeManifestInvalid, "%q is not a valid tag", ref)
		}
		return
	}
	r.Tag = ref
}

func (r *Request) parseDigest(s string) {
	d, err := parseDigest(s)
	if err != nil {
		r.err = err
		return
	}
	r.Digest = d
}

// parseUploadAgain reads the query of a request for an upload, which has changed.
func (r *Request) parseUploadAgain() {
	if r.route == uploadsRoute || r.route == uploadRoute {
		var again Request
		again.parse(r.Request, r.Prefix)
		r.Op, r.Digest, r.From, r.err = again.Op, again.Digest, again.From, again.err
	}
}

// parseUploads selects the operation of a POST to the uploads.
func (r *Request) parseUploads(query url.Values) {
	switch {
	case query.Has("mount"):
		r.Op = MountBlob
		r.From = query.Get("from")
		r.Digest, _ = parseDigest(query.Get("mount"))
	case query.Has("digest"):
		r.Op = PostBlob
		r.parseDigest(query.Get("digest"))
	}
}
