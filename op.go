package registry

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/ocireg/registry/internal/hint"
)

// An Op is an operation of the registry: an endpoint of the distribution spec
// (section Endpoints), or an endpoint that other documents define and clients
// use. The zero Op is UnknownOp.
type Op uint8

// The operations.
const (
	UnknownOp        Op = iota // a path or method that the API does not have
	Ping                       // GET /v2/ (end-1)
	GetBlob                    // GET of a blob (end-2)
	HeadBlob                   // HEAD of a blob (end-2)
	DeleteBlob                 // DELETE of a blob (end-10)
	GetManifest                // GET of a manifest (end-3)
	HeadManifest               // HEAD of a manifest (end-3)
	PutManifest                // PUT of a manifest, by tag or digest (end-7)
	DeleteManifest             // DELETE of a manifest by its digest (end-9)
	DeleteTag                  // DELETE of a tag (end-9)
	StartUpload                // POST that starts an upload session (end-4a, end-4c)
	PostBlob                   // POST of a whole blob with ?digest= (end-4b)
	MountBlob                  // POST with ?mount= (end-11)
	PatchUpload                // PATCH of an upload session: a chunk or a stream (end-5)
	PutUpload                  // PUT that closes an upload session with ?digest= (end-6)
	GetUpload                  // GET of an upload session's status (end-13)
	CancelUpload               // DELETE of an upload session (end-14)
	ListTags                   // GET of a repository's tags (end-8)
	ListReferrers              // GET of a manifest's referrers (end-12)
	ListRepositories           // GET /v2/_catalog, of the Docker Registry HTTP API V2
	ListExtensions             // GET of _oci/ext/discover, of the spec's extensions
	GetToken                   // GET or POST of a token service, such as /token, which a middleware may serve

	numOps = iota
)

// ops has all facts about each operation. The handler, faults, records and rules
// for clients get these facts from the methods of Op.
//
// Several operations of a route may have the same method. Parsing a URL first
// selects the first of them in this table, and then another one if the reference
// or the query requires that.
var ops = [numOps]struct {
	name    string
	route   route
	methods []string
	action  Action // 0 if no permission is required
	traits  trait
	codes   codes
}{
	UnknownOp:        {"unknown", noRoute, nil, 0, ofRepo, nameCodes},
	Ping:             {"ping", baseRoute, []string{"GET", "HEAD"}, 0, 0, nameCodes},
	GetBlob:          {"get-blob", blobRoute, []string{"GET"}, ActionPull, ofRepo | byDigest, blobCodes},
	HeadBlob:         {"head-blob", blobRoute, []string{"HEAD"}, ActionPull, ofRepo | byDigest, blobCodes},
	DeleteBlob:       {"delete-blob", blobRoute, []string{"DELETE"}, ActionDelete, ofRepo | byDigest, blobCodes},
	GetManifest:      {"get-manifest", manifestRoute, []string{"GET"}, ActionPull, ofRepo | byTag | byDigest, manifestCodes},
	HeadManifest:     {"head-manifest", manifestRoute, []string{"HEAD"}, ActionPull, ofRepo | byTag | byDigest, manifestCodes},
	PutManifest:      {"put-manifest", manifestRoute, []string{"PUT"}, ActionPush, ofRepo | byTag | byDigest | sends, manifestCodes},
	DeleteManifest:   {"delete-manifest", manifestRoute, []string{"DELETE"}, ActionDelete, ofRepo | byDigest, manifestCodes},
	DeleteTag:        {"delete-tag", manifestRoute, []string{"DELETE"}, ActionDelete, ofRepo | byTag, manifestCodes},
	StartUpload:      {"start-upload", uploadsRoute, []string{"POST"}, ActionPush, ofRepo | starts, uploadCodes},
	PostBlob:         {"post-blob", uploadsRoute, []string{"POST"}, ActionPush, ofRepo | byDigest | sends | starts, uploadCodes},
	MountBlob:        {"mount-blob", uploadsRoute, []string{"POST"}, ActionPush, ofRepo | byDigest | starts, uploadCodes},
	PatchUpload:      {"patch-upload", uploadRoute, []string{"PATCH"}, ActionPush, ofRepo | inSession | sends, uploadCodes},
	PutUpload:        {"put-upload", uploadRoute, []string{"PUT"}, ActionPush, ofRepo | inSession | byDigest | sends, uploadCodes},
	GetUpload:        {"get-upload", uploadRoute, []string{"GET", "HEAD"}, ActionPush, ofRepo | inSession, uploadCodes},
	CancelUpload:     {"cancel-upload", uploadRoute, []string{"DELETE"}, ActionPush, ofRepo | inSession, uploadCodes},
	ListTags:         {"list-tags", tagsRoute, []string{"GET", "HEAD"}, ActionList, ofRepo | pages, nameCodes},
	ListReferrers:    {"list-referrers", referrersRoute, []string{"GET", "HEAD"}, ActionPull, ofRepo | byDigest | pages | optional, nameCodes},
	ListRepositories: {"catalog", catalogRoute, []string{"GET", "HEAD"}, ActionList, pages | optional, nameCodes},
	ListExtensions:   {"discover", discoverRoute, []string{"GET", "HEAD"}, 0, ofRepo | optional, nameCodes},
	GetToken:         {"token", tokenRoute, []string{"GET", "POST"}, 0, 0, nameCodes},
}

// A trait is a property of the requests or responses of an operation.
type trait uint8

const (
	ofRepo    trait = 1 << iota // requests may have Request.Repo
	byTag                       // requests may have Request.Tag
	byDigest                    // requests may have Request.Digest
	inSession                   // requests have Request.Session
	sends                       // requests have content in their body
	starts                      // a response with status 202 starts an upload session
	pages                       // a response is one page of a list
	optional                    // a registry may lack the endpoint; then the response to all methods is 404
)

// codes holds two error codes for the resource that a request names: one if it
// does not exist, and one if it is invalid.
type codes struct{ unknown, invalid Code }

var (
	nameCodes     = codes{CodeNameUnknown, CodeNameInvalid}
	blobCodes     = codes{CodeBlobUnknown, CodeDigestInvalid}
	manifestCodes = codes{CodeManifestUnknown, CodeManifestInvalid}
	uploadCodes   = codes{CodeBlobUploadUnknown, CodeBlobUploadInvalid}
)

// known returns op, or UnknownOp if op is not one of the constants.
func (op Op) known() Op {
	if op < numOps {
		return op
	}
	return UnknownOp
}

func (op Op) has(t trait) bool { return ops[op.known()].traits&t != 0 }

// String returns the name of the operation in lower case, such as "get-blob".
func (op Op) String() string {
	if op >= numOps {
		return fmt.Sprintf("op(%d)", uint8(op))
	}
	return ops[op].name
}

// otherNames has the operations whose constant has a different name, by that name
// in the form that [hint.Nearest] compares: in lower case, with dashes.
var otherNames = map[string]Op{
	"unknown-op": UnknownOp, "list-repositories": ListRepositories, "list-extensions": ListExtensions, "get-token": GetToken,
}

// ParseOp returns the operation whose String method returns the name. If no
// operation has the name but a similar one exists, the error suggests it.
func ParseOp(name string) (Op, error) {
	var names []string
	for op := range Op(numOps) {
		if ops[op].name == name {
			return op, nil
		}
		names = append(names, ops[op].name)
	}
	suggestion := ""
	for other := range otherNames {
		names = append(names, other)
	}
	if nearest := hint.Nearest(name, names...); nearest != "" {
		if op, ok := otherNames[nearest]; ok {
			nearest = op.String()
		}
		suggestion = fmt.Sprintf("; did you mean %q?", nearest)
	}
	return UnknownOp, fmt.Errorf("no operation is called %q%s", name, suggestion)
}

// Methods returns the HTTP methods of the operation, or nil for UnknownOp, which
// may have any method.
func (op Op) Methods() []string {
	return slices.Clone(ops[op.known()].methods)
}

// Action returns the action that the operation requires permission for, or 0 if
// it requires no permission. For ListExtensions it returns 0, although the list
// of one repository requires ActionList.
func (op Op) Action() Action { return ops[op.known()].action }

// Writes reports whether the operation changes the content of the registry, or
// is a request of an upload session, such as [GetUpload].
func (op Op) Writes() bool { return op.Action() == ActionPush || op.Action() == ActionDelete }

// HasRepo reports whether requests for the operation may have a Repo.
func (op Op) HasRepo() bool { return op.has(ofRepo) }

// HasTag reports whether requests for the operation may have a Tag.
func (op Op) HasTag() bool { return op.has(byTag) }

// HasDigest reports whether requests for the operation may have a Digest.
func (op Op) HasDigest() bool { return op.has(byDigest) }

// HasSession reports whether requests for the operation have a Session.
func (op Op) HasSession() bool { return op.has(inSession) }

// HasBody reports whether the body of a request for the operation is content: a
// manifest, a blob, or a part of one.
func (op Op) HasBody() bool { return op.has(sends) }

// StartsUpload reports whether a response with status 202 starts an upload
// session, whose URL is its Location.
func (op Op) StartsUpload() bool { return op.has(starts) }

// Pages reports whether a response is one page of a list, with a Link to the next
// page unless it is the last.
func (op Op) Pages() bool { return op.has(pages) }

// Code returns the error code that fits a response to the operation with the
// status, or "UNKNOWN" if none does. See [Code.Status] for the reverse.
func (op Op) Code(status int) Code {
	c := ops[op.known()].codes
	switch status {
	case http.StatusUnauthorized:
		return CodeUnauthorized
	case http.StatusForbidden:
		return CodeDenied
	case http.StatusMethodNotAllowed:
		return CodeUnsupported
	case http.StatusTooManyRequests:
		return CodeTooManyRequests
	case http.StatusNotFound:
		return c.unknown
	case http.StatusBadRequest:
		return c.invalid
	case http.StatusRequestedRangeNotSatisfiable:
		if c != uploadCodes {
			return CodeSizeInvalid
		}
		return c.invalid
	}
	return "UNKNOWN"
}

// methods lists all methods of the API, in the order in which the field Allow
// lists them.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut, http.MethodDelete,
}

// A routed is the operation for a method of a route.
type routed struct {
	method string
	op     Op
}

// routes has, for each route and method, the operation that the table ops lists
// first.
var routes = func() (all [numRoutes][]routed) {
	for _, method := range methods {
		var done [numRoutes]bool
		for op := range Op(numOps) {
			if at := ops[op].route; !done[at] && slices.Contains(ops[op].methods, method) {
				all[at] = append(all[at], routed{method, op})
				done[at] = true
			}
		}
	}
	return all
}()
