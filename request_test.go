package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/names"
)

// parsed returns the parsed request for a method and a target.
func parsed(method, target string) *Request {
	r := new(Request)
	r.parse(httptest.NewRequest(method, target, nil), "")
	return r
}

func TestParse(t *testing.T) {
	t.Parallel()
	const d = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	const d512 = digest.Digest("sha512:" + "a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238bc13626e43dcb38ddb082488927ec904fb42057443983e88585179d50551afe62")
	for _, tt := range []struct {
		request string
		want    Request
	}{
		{"GET /v2/", Request{Op: Ping}},
		{"HEAD /v2", Request{Op: Ping}},
		{"GET /v2/_catalog", Request{Op: ListRepositories}},
		{"GET /v2/_oci/ext/discover", Request{Op: ListExtensions}},
		{"GET /v2/a/_oci/ext/discover", Request{Op: ListExtensions, Repo: "a"}},
		{"GET /v2/a/tags/list?n=1", Request{Op: ListTags, Repo: "a"}},
		{"GET /v2/a/b/manifests/v1", Request{Op: GetManifest, Repo: "a/b", Tag: "v1"}},
		{"HEAD /v2/a/manifests/" + d, Request{Op: HeadManifest, Repo: "a", Digest: d}},
		{"PUT /v2/a/manifests/" + string(d512), Request{Op: PutManifest, Repo: "a", Digest: d512}},
		{"PUT /v2/a/manifests/_", Request{Op: PutManifest, Repo: "a", Tag: "_"}},
		{"DELETE /v2/a/manifests/v1", Request{Op: DeleteTag, Repo: "a", Tag: "v1"}},
		{"DELETE /v2/a/manifests/" + d, Request{Op: DeleteManifest, Repo: "a", Digest: d}},
		{"GET /v2/a/blobs/" + d, Request{Op: GetBlob, Repo: "a", Digest: d}},
		{"GET /v2/a/blobs/sha256%3A" + d[7:], Request{Op: GetBlob, Repo: "a", Digest: d}},
		{"HEAD /v2/a%2Fb/blobs/" + d, Request{Op: HeadBlob, Repo: "a/b", Digest: d}},
		{"DELETE /v2/a/blobs/" + d, Request{Op: DeleteBlob, Repo: "a", Digest: d}},
		{"GET /v2/a/referrers/" + d + "?artifactType=x", Request{Op: ListReferrers, Repo: "a", Digest: d}},
		{"POST /v2/a/blobs/uploads/", Request{Op: StartUpload, Repo: "a"}},
		{"POST /v2/a/blobs/uploads", Request{Op: StartUpload, Repo: "a"}},
		{"POST /v2/a/blobs/uploads/?from=b", Request{Op: StartUpload, Repo: "a"}},
		{"POST /v2/a/blobs/uploads/?digest-algorithm=sha512", Request{Op: StartUpload, Repo: "a"}},
		{"POST /v2/a/blobs/uploads/?digest=" + d, Request{Op: PostBlob, Repo: "a", Digest: d}},
		{"POST /v2/a/blobs/uploads/?mount=" + d + "&from=b/c", Request{Op: MountBlob, Repo: "a", Digest: d, From: "b/c"}},
		{"POST /v2/a/blobs/uploads?mount=" + d, Request{Op: MountBlob, Repo: "a", Digest: d}},
		{"PATCH /v2/a/blobs/uploads/id?x=y", Request{Op: PatchUpload, Repo: "a", Session: "id"}},
		{"PUT /v2/a/blobs/uploads/id?digest=" + url.QueryEscape(d), Request{Op: PutUpload, Repo: "a", Session: "id", Digest: d}},
		{"GET /v2/a/blobs/uploads/id", Request{Op: GetUpload, Repo: "a", Session: "id"}},
		{"HEAD /v2/a/blobs/uploads/id", Request{Op: GetUpload, Repo: "a", Session: "id"}},
		{"DELETE /v2/a/blobs/uploads/id", Request{Op: CancelUpload, Repo: "a", Session: "id"}},

		// The parser reads a path from the right, because a repository name may
		// contain the same words.
		{"GET /v2/a/manifests/b/manifests/c", Request{Op: GetManifest, Repo: "a/manifests/b", Tag: "c"}},
		{"GET /v2/blobs/uploads/manifests/uploads", Request{Op: GetManifest, Repo: "blobs/uploads", Tag: "uploads"}},
		{"POST /v2/blobs/uploads/blobs/uploads/", Request{Op: StartUpload, Repo: "blobs/uploads"}},
		{"GET /v2/a/blobs/uploads/blobs/" + d, Request{Op: GetBlob, Repo: "a/blobs/uploads", Digest: d}},
		{"GET /v2/tags/list/tags/list", Request{Op: ListTags, Repo: "tags/list"}},
		{"GET /v2/a/blobs/uploads/tags/list", Request{Op: ListTags, Repo: "a/blobs/uploads"}},
		{"GET /v2/a/tags/manifests/list", Request{Op: GetManifest, Repo: "a/tags", Tag: "list"}},
		{"PATCH /v2/a/blobs/uploads/blobs/uploads/id", Request{Op: PatchUpload, Repo: "a/blobs/uploads", Session: "id"}},
		{"GET /v2/referrers/x/referrers/" + d, Request{Op: ListReferrers, Repo: "referrers/x", Digest: d}},
		{"PUT /v2/a/blobs/uploads/manifests/manifests/x", Request{Op: PutManifest, Repo: "a/blobs/uploads/manifests", Tag: "x"}},
	} {
		method, target, _ := strings.Cut(tt.request, " ")
		r := parsed(method, target)
		require.NoError(t, r.err, tt.request)
		got := Request{Op: r.Op, Repo: r.Repo, Tag: r.Tag, Digest: r.Digest, Session: r.Session, From: r.From}
		require.Equal(t, tt.want, got, tt.request)
	}
}

func TestParseTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		request string
		op      Op
		repo    string
		code    Code
	}{
		{"GET /", UnknownOp, "", CodeUnsupported},
		{"GET /v2/a", UnknownOp, "", CodeUnsupported},
		{"GET /v2/A/manifests/v1", GetManifest, "", CodeNameInvalid},
		{"POST /v2//blobs/uploads/", StartUpload, "", CodeNameInvalid},
		{"GET /v2/a/manifests/-", GetManifest, "a", CodeManifestUnknown},
		{"PUT /v2/a/manifests/-", PutManifest, "a", CodeManifestInvalid},
		{"DELETE /v2/a/manifests/-", DeleteTag, "a", CodeManifestUnknown},
		{"DELETE /v2/a/manifests/x:", DeleteManifest, "a", CodeDigestInvalid},
		{"GET /v2/a/blobs/x", GetBlob, "a", CodeDigestInvalid},
		{"GET /v2/a/referrers/sha256:x", ListReferrers, "a", CodeDigestInvalid},
		{"GET /v2/a/tags/list?n=%zz", ListTags, "a", CodeUnsupported},
		{"PUT /v2/a/manifests/v1?tag=a;tag=b", PutManifest, "a", CodeUnsupported},
		{"POST /v2/a/blobs/uploads/?digest=x", PostBlob, "a", CodeDigestInvalid},
		{"PUT /v2/a/blobs/uploads/id", PutUpload, "a", CodeDigestInvalid},
	} {
		method, target, _ := strings.Cut(tt.request, " ")
		r := parsed(method, target)
		var e *Error
		require.ErrorAs(t, r.err, &e, tt.request)
		require.Equal(t, tt.code, e.Code, tt.request)
		require.Equal(t, tt.op, r.Op, tt.request)
		require.Equal(t, tt.repo, r.Repo, tt.request)
	}
}

// If a Location already has a query and the client appends ?digest=, the digest
// becomes a part of another value. The error then says that the parameter digest
// is missing (section Pushing a blob monolithically).
func TestDigestOfUploadIsMissing(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"", "?_state=1?digest=sha256:" + strings.Repeat("0a", 32)} {
		r := parsed("PUT", "/v2/a/blobs/uploads/id"+query)
		require.ErrorContains(t, r.err, "no parameter digest", query)
	}
}

func TestDigestMustBeOne(t *testing.T) {
	t.Parallel()
	for algorithm, size := range map[string]int{"sha256": 64, "sha384": 96, "sha512": 128} {
		good := algorithm + ":" + strings.Repeat("0a", size/2)
		d, err := parseDigest(good)
		require.NoError(t, err)
		require.EqualValues(t, good, d)
		require.NoError(t, d.Validate())
		for _, bad := range []string{good[:len(good)-1], good + "0", strings.ToUpper(good), " " + good, good + "\n", strings.Replace(good, ":", "-", 1), strings.Replace(good, "0a", "0g", 1)} {
			_, err := parseDigest(bad)
			require.Error(t, err, bad)
		}
	}
	for _, bad := range []string{"", ":", "sha256", "sha256:", ":x", "md5:", "SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709"} {
		_, err := parseDigest(bad)
		require.Error(t, err, bad)
	}
}

func TestRequestInOneLine(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"GET /v2/team/app/manifests/v1":                                 "get-manifest team/app:v1",
		"GET /v2/a/blobs/" + string(digest.FromString("x")):             "get-blob a@" + string(digest.FromString("x")),
		"GET /v2/_catalog":                                              "catalog",
		"BREW /coffee":                                                  "unknown BREW /coffee",
		"POST /v2/a/blobs/uploads/":                                     "start-upload a",
		"DELETE /v2/a/manifests/" + string(digest.FromString("x")) + "": "delete-manifest a@" + string(digest.FromString("x")),
	} {
		method, target, _ := strings.Cut(request, " ")
		require.Equal(t, want, parsed(method, target).String())
	}
	require.Equal(t, "get-blob", (&Request{Op: GetBlob}).String())
	require.Equal(t, "unknown", new(Request).String())
}

// Each error code has the status that the spec lists for its endpoints.
func TestCodesHaveAStatus(t *testing.T) {
	t.Parallel()
	for code, status := range map[Code]int{
		CodeBlobUnknown: 404, CodeBlobUploadInvalid: 400, CodeBlobUploadUnknown: 404, CodeDigestInvalid: 400, CodeManifestBlobUnknown: 400,
		CodeManifestInvalid: 400, CodeManifestUnknown: 404, CodeNameInvalid: 400, CodeNameUnknown: 404, CodeSizeInvalid: 400,
		CodeUnauthorized: 401, CodeDenied: 403, CodeUnsupported: 405, CodeTooManyRequests: 429, "SOMETHING_ELSE": 500, "": 500,
	} {
		require.Equal(t, status, code.Status(), code)
		require.Equal(t, status, (&Error{Code: code}).status(), code)
		require.Equal(t, 418, (&Error{Code: code, Status: 418}).status(), code)
	}
}

func TestErrorsAreFoundInATree(t *testing.T) {
	t.Parallel()
	one, two := Errorf(CodeDenied, "one %d", 1), Errorf(CodeNameUnknown, "two")
	require.Equal(t, "DENIED: one 1", one.Error())
	require.Equal(t, "DENIED", (&Error{Code: CodeDenied}).Error())
	plain := errors.New("plain")
	for _, tt := range []struct {
		err  error
		want []*Error
	}{
		{nil, nil}, {plain, nil}, {one, []*Error{one}}, {fmt.Errorf("a: %w", fmt.Errorf("b: %w", one)), []*Error{one}},
		{errors.Join(one, plain, two), []*Error{one, two}}, {fmt.Errorf("%w and %w", two, errors.Join(one)), []*Error{two, one}},
	} {
		require.Equal(t, tt.want, errorsIn(tt.err))
	}
}

// FuzzParse checks that each parsed request has valid values, and that parsing
// its canonical path returns the same request.
func FuzzParse(f *testing.F) {
	d := string(digest.FromString("x"))
	for _, target := range []string{
		"/v2/", "/v2/a/manifests/v1", "/v2/a/blobs/" + d, "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/id?digest=" + d, "/v2/a/tags/list",
		"/v2/a__b/c--d/referrers/" + d, "/v2/_catalog", "/v2/a/_oci/ext/discover", "/v2/a/blobs/uploads/?mount=" + d + "&from=b",
		"/v2/a/blobs/md5:0", "/v2//blobs/uploads", "/v2/%2f/manifests/%2e", "//", "*", "/v2/a/manifests/sha256:", "/v2/a_/tags/list", "/v2/a/manifests/\xff",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			f.Add(method, target)
		}
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		path, query, _ := strings.Cut(target, "?")
		u := &url.URL{Path: path, RawQuery: query}
		var r Request
		r.parse(&http.Request{Method: method, URL: u}, "")

		require.True(t, r.Repo == "" || names.Repository(r.Repo), "%q", r.Repo)
		require.True(t, r.Tag == "" || names.Tag(r.Tag), "%q", r.Tag)
		if r.Digest != "" {
			_, _, err := names.Digest(string(r.Digest))
			require.NoError(t, err, "%q", r.Digest)
		}
		require.True(t, r.Tag == "" || r.Digest == "", "a reference is a tag or a digest")
		if r.err == nil {
			require.Equal(t, r.Op.HasSession(), r.Session != "", "%q", r.Session)
		}
		var e *Error
		if r.err != nil {
			require.ErrorAs(t, r.err, &e)
			require.GreaterOrEqual(t, e.status(), 400)
			require.Less(t, e.status(), 500)
		} else if r.Op != UnknownOp {
			// Parsing the canonical path returns the same request.
			var again Request
			again.parse(&http.Request{Method: method, URL: &url.URL{Path: canonical(&r), RawQuery: query}}, "")
			require.NoError(t, again.err)
			require.Equal(t, [...]any{r.Op, r.Repo, r.Tag, r.Digest, r.Session, r.From}, [...]any{again.Op, again.Repo, again.Tag, again.Digest, again.Session, again.From})
		}
		require.NotPanics(t, func() { _ = r.String() })
	})
}

// canonical returns the path that a request has in its simplest form.
func canonical(r *Request) string {
	path := "/v2/"
	if r.Repo != "" {
		path += r.Repo + "/"
	}
	switch r.route {
	case catalogRoute:
		return path + "_catalog"
	case discoverRoute:
		return path + "_oci/ext/discover"
	case tagsRoute:
		return path + "tags/list"
	case manifestRoute:
		return path + "manifests/" + r.reference()
	case blobRoute:
		return path + "blobs/" + string(r.Digest)
	case referrersRoute:
		return path + "referrers/" + string(r.Digest)
	case uploadsRoute:
		return path + "blobs/uploads/"
	case uploadRoute:
		return path + "blobs/uploads/" + r.Session
	}
	return path
}

// ParseRequest returns the errors that a registry with all features would
// return.
func TestParseRequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		request, want string
		code          Code
	}{
		{"GET /v2/team/app/manifests/v1", "get-manifest team/app:v1", ""},
		{"PUT /v2/a/manifests/manifests/v1", "put-manifest a/manifests:v1", ""},
		{"PUT /v2/App/manifests/v1", "put-manifest", CodeNameInvalid},
		{"GET /v2/app/blobs/sha256:x", "get-blob app", CodeDigestInvalid},
		{"PATCH /v2/app/manifests/v1", "unknown PATCH /v2/app/manifests/v1 app", CodeUnsupported},
		{"GET /elsewhere", "unknown GET /elsewhere", CodeUnsupported},
	} {
		method, target, _ := strings.Cut(test.request, " ")
		body := strings.NewReader("unread")
		hr := httptest.NewRequest(method, target, body)
		r, err := ParseRequest(hr)
		require.Equal(t, test.want, r.String())
		require.Same(t, hr, r.Request)
		require.Equal(t, 6, body.Len(), "the body is not read")
		if test.code == "" {
			require.NoError(t, err, test.request)
			continue
		}
		var e *Error
		require.ErrorAs(t, err, &e, test.request)
		require.Equal(t, test.code, e.Code, test.request)
	}
}
