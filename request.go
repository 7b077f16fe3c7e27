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
// once into the fields below. Hooks and operations use these fields and never
// the path, so they always agree.
type Request struct {
	*http.Request

	// Op is the operation that the method and the URL name, or [UnknownOp].
	Op Op

	// Prefix is the path prefix of the registry (see [WithPathPrefix]), or "".
	Prefix string

	// Repo is the name of the repository, or "" if the operation has none.
	Repo string

	// Tag is the tag in the path of a manifest operation, or "".
	Tag string

	// Digest is the digest in the path of a manifest, blob or referrers operation.
	// For PostBlob and PutUpload, it is the parameter digest, and for MountBlob
	// the parameter mount. It is "" if the request has none.
	Digest digest.Digest

	// Session is the ID of the upload session of PatchUpload, PutUpload,
	// GetUpload and CancelUpload, or "".
	Session string

	// From is the repository to mount from, which is the parameter from of
	// MountBlob, or "".
	From string

	// User is the name of the user who sent the request, or "". A middleware that
	// authenticates clients sets it for recorders and other middleware. The
	// registry itself only logs it, see [WithLogger].
	User string

	// Scope lists the scopes that the client's token covers, separated by spaces,
	// such as "repository:team/app:pull". For a GetToken request, it lists the
	// scopes of the token in the response. It is "" without a token. A middleware
	// sets it, like User.
	Scope string

	registry *handler         // the handler that serves the request, or nil
	now      func() time.Time // the clock that SetClock set, or nil
	route    route            // the endpoint that the path names
	err      error            // the error that parsing the URL found, or nil
	fault    *Fault           // the fault that was injected into the request, or nil
	errors   []*Error         // the errors in the response
	notes    []string         // the texts that Note added
}

// SharesBlobs reports whether the repositories of the registry share their
// blobs, which depends on its [Store]. If they do, a client that may pull from
// one of them can read the blobs of all, so an authorizer cannot keep
// repositories apart.
func (r *Request) SharesBlobs() bool { return r.registry != nil && r.registry.sharesBlobs }

// Note adds a text, such as the reason for an unusual response, to
// [Exchange.Notes]. It adds each text once. It must be called by the goroutine
// that serves the request, before the response has ended.
func (r *Request) Note(text string) {
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// Store returns the store of the registry that serves the request, so that a
// hook can read its content. Store returns nil if the request was only parsed,
// as by [ParseRequest]. If the store carries out the operations itself, such as
// a proxy, the result may be another store with only the content that the client
// may see, see [Store].
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
// repository. A hook that shows content of several repositories can use it.
// Public calls the functions of [WithAuthorizer] with a request that has no user,
// no credentials, and the background context. It returns false if the request was
// only parsed, as by [ParseRequest].
//
// If the store carries out the operations itself, such as a proxy, Public looks
// up the first tag of the repository as a client without credentials. It returns
// false if that fails, or if the store has no method StoreFor (see [Store]).
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

// pulls reports whether the store has the manifest of the first tag of a
// repository.
func pulls(ctx context.Context, s Store, repo string) bool {
	for tag, err := range s.Tags(ctx, repo, "") {
		if err == nil {
			_, err = s.StatManifest(ctx, repo, tag)
		}
		return err == nil
	}
	return false
}

// Now returns the current time for the request: by the clock that
// [Request.SetClock] set, or by [time.Now]. Upload sessions expire by this
// time. Hooks should use it for everything that expires, such as tokens.
func (r *Request) Now() time.Time {
	if r.now == nil {
		return time.Now()
	}
	return r.now()
}

// SetClock sets the clock that [Request.Now] reads. A clock that is ahead lets
// sessions and tokens expire. Call it in an injector of [WithFaults], which gets
// the request before everything else that asks for the time. Recorders get times
// of [time.Now].
func (r *Request) SetClock(now func() time.Time) { r.now = now }

// reference returns the tag or the digest in the path of a manifest operation.
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

// A route is an endpoint of the API, for all of its methods.
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

// ofRepository reports whether every path of the route contains the name of a
// repository. A path of discoverRoute need not.
func (rt route) ofRepository() bool { return tagsRoute <= rt && rt <= uploadRoute }

// ParseRequest parses the method and the URL of an HTTP request as a registry
// does. It does not read the body and does not call a store. If a registry would
// refuse the method or the URL, ParseRequest returns the [*Error] of its
// response, and a Request with all parts that it could parse.
func ParseRequest(hr *http.Request) (*Request, error) {
	r := new(Request)
	r.parse(hr, "")
	if r.err == nil && r.Op == UnknownOp {
		return r, methodNotSupported()
	}
	return r, r.err
}

// parse parses the method and the URL of hr into r. A path that does not begin
// with the prefix is no endpoint. It stores an error in r.err, and sets the other
// fields as far as it can.
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
		// Ignoring a malformed parameter could select another operation.
		e := Errorf(CodeUnsupported, "malformed query: %v", queryErr)
		e.Status = http.StatusBadRequest
		r.err = e
	}
}

// methodNotSupported returns the error for a method that the endpoint does not
// have. Its text does not name the method, so that the responses to HEAD and GET
// have the same length.
func methodNotSupported() *Error {
	return Errorf(CodeUnsupported, "the method is not supported here")
}

// noEndpoint returns the error for a path that is not an endpoint: a 404 response.
func noEndpoint() error {
	e := Errorf(CodeUnsupported, "no such endpoint")
	e.Status = http.StatusNotFound
	return e
}

// tokenPaths are the paths of token services: /token, and then those of Quay, of
// Google and others, of GitLab, of Harbor, of Azure, and of Amazon's public
// registry.
var tokenPaths = [...]string{"/token", "/v2/auth", "/v2/token", "/jwt/auth", "/service/token", "/oauth2/token", "/token/"}

// splitPath returns the route of a path and, if the route has them, the
// repository and the last element. It parses the path from the right, because
// the name of a repository may contain the words of the API.
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

// parseReference sets the tag or the digest of a manifest operation from the
// reference in its path.
func (r *Request) parseReference(ref string) {
	if strings.Contains(ref, ":") {
		r.parseDigest(ref)
		return
	}
	if r.Op == DeleteManifest {
		r.Op = DeleteTag
	}
	if !names.Tag(ref) {
		// No manifest can have such a tag, so a pull finds nothing; a push is
		// invalid.
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

// parseUploadAgain parses the query of a request for an upload again, after a
// fault changed it.
func (r *Request) parseUploadAgain() {
	if r.route == uploadsRoute || r.route == uploadRoute {
		var again Request
		again.parse(r.Request, r.Prefix)
		r.Op, r.Digest, r.From, r.err = again.Op, again.Digest, again.From, again.err
	}
}

// parseUploads selects the operation for a POST that pushes, mounts or starts
// the upload of a blob.
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
