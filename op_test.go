package registry

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for op := range Op(numOps) {
		name := op.String()
		require.Regexp(t, `^[a-z]+(-[a-z]+)?$`, name)
		require.False(t, seen[name], name)
		seen[name] = true
		back, err := ParseOp(name)
		require.NoError(t, err)
		require.Equal(t, op, back)
	}
	require.Equal(t, "op(200)", Op(200).String())
	for name, want := range map[string]string{
		"":                 `no operation is called ""`,
		"op(200)":          `no operation is called "op(200)"`,
		"get blob":         `no operation is called "get blob"; did you mean "get-blob"?`,
		"get-blbo":         `no operation is called "get-blbo"; did you mean "get-blob"?`,
		"GetBlob":          `no operation is called "GetBlob"; did you mean "get-blob"?`,
		"getBlob":          `no operation is called "getBlob"; did you mean "get-blob"?`,
		"ListReferrers":    `no operation is called "ListReferrers"; did you mean "list-referrers"?`,
		"ListRepositories": `no operation is called "ListRepositories"; did you mean "catalog"?`,
		"ListExtensions":   `no operation is called "ListExtensions"; did you mean "discover"?`,
		"list-extensions":  `no operation is called "list-extensions"; did you mean "discover"?`,
		"GetToken":         `no operation is called "GetToken"; did you mean "token"?`,
		"UnknownOp":        `no operation is called "UnknownOp"; did you mean "unknown"?`,
	} {
		op, err := ParseOp(name)
		require.EqualError(t, err, want)
		require.Equal(t, UnknownOp, op)
	}
}

// Writes is true for each operation that pushes or deletes, and for all requests of an
// upload session.
func TestOpsThatWrite(t *testing.T) {
	t.Parallel()
	for op := range Op(numOps) {
		switch op {
		case UnknownOp, Ping, GetToken, GetBlob, HeadBlob, GetManifest, HeadManifest, ListTags, ListReferrers, ListRepositories, ListExtensions:
			require.False(t, op.Writes(), op)
		default:
			require.True(t, op.Writes(), op)
		}
	}
}

// For each operation, HasRepo, HasTag, HasDigest and HasSession agree with the
// values that the parser sets.
func TestOpsHave(t *testing.T) {
	t.Parallel()
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	type values struct{ repo, tag, digest, session bool }
	known := map[Op]values{}
	methods := map[Op][]string{}
	for _, target := range []string{
		"/v2/", "/v2/_catalog", "/token", "/v2/_oci/ext/discover", "/v2/app/_oci/ext/discover", "/v2/app/tags/list",
		"/v2/app/manifests/v1", "/v2/app/manifests/" + digest, "/v2/app/blobs/" + digest, "/v2/app/referrers/" + digest,
		"/v2/app/blobs/uploads/", "/v2/app/blobs/uploads/?digest=" + digest, "/v2/app/blobs/uploads/?mount=" + digest,
		"/v2/app/blobs/uploads/x?digest=" + digest,
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"} {
			r := parsed(method, target)
			if r.Op == UnknownOp {
				continue
			}
			v := known[r.Op]
			known[r.Op] = values{v.repo || r.Repo != "", v.tag || r.Tag != "", v.digest || r.Digest != "", v.session || r.Session != ""}
			if !slices.Contains(methods[r.Op], method) {
				methods[r.Op] = append(methods[r.Op], method)
			}
		}
	}
	known[UnknownOp] = values{repo: true}
	for op := range Op(numOps) {
		require.Equal(t, known[op], values{op.HasRepo(), op.HasTag(), op.HasDigest(), op.HasSession()}, op)
		require.Equal(t, methods[op], op.Methods(), op)
	}
	for _, none := range []Op{numOps, 200, 255} {
		require.Equal(t, values{repo: true}, values{none.HasRepo(), none.HasTag(), none.HasDigest(), none.HasSession()})
		require.Nil(t, none.Methods())
		require.Zero(t, none.Action())
	}
}

// For each of these methods of Op, the test has the complete list of the
// operations for which it is true.
func TestOpsThat(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		holds func(Op) bool
		ops   []Op
	}{
		"HasBody":      {Op.HasBody, []Op{PutManifest, PostBlob, PatchUpload, PutUpload}},
		"StartsUpload": {Op.StartsUpload, []Op{StartUpload, PostBlob, MountBlob}},
		"Pages":        {Op.Pages, []Op{ListTags, ListReferrers, ListRepositories}},
		"pull":         {func(op Op) bool { return op.Action() == ActionPull }, []Op{GetBlob, HeadBlob, GetManifest, HeadManifest, ListReferrers}},
		"push": {func(op Op) bool { return op.Action() == ActionPush }, []Op{
			PutManifest, StartUpload, PostBlob, MountBlob, PatchUpload, PutUpload, GetUpload, CancelUpload,
		}},
		"delete": {func(op Op) bool { return op.Action() == ActionDelete }, []Op{DeleteBlob, DeleteManifest, DeleteTag}},
		"list":   {func(op Op) bool { return op.Action() == ActionList }, []Op{ListTags, ListRepositories}},
	} {
		var got []Op
		for op := range Op(numOps + 1) {
			if test.holds(op) {
				got = append(got, op)
			}
		}
		require.Equal(t, test.ops, got, name)
	}
}

// The result of Op.Code depends on the status and, for 400, 404 and 416, on the
// resource that the operation names.
func TestOpCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		op     Op
		status int
		want   Code
	}{
		{GetBlob, 401, CodeUnauthorized}, {GetBlob, 403, CodeDenied}, {GetBlob, 405, CodeUnsupported}, {GetBlob, 429, CodeTooManyRequests},
		{GetBlob, 404, CodeBlobUnknown}, {GetBlob, 400, CodeDigestInvalid}, {GetBlob, 416, CodeSizeInvalid},
		{PutManifest, 404, CodeManifestUnknown}, {PutManifest, 400, CodeManifestInvalid}, {DeleteTag, 404, CodeManifestUnknown},
		{PatchUpload, 404, CodeBlobUploadUnknown}, {MountBlob, 400, CodeBlobUploadInvalid}, {PatchUpload, 416, CodeBlobUploadInvalid},
		{ListTags, 404, CodeNameUnknown}, {Op(200), 400, CodeNameInvalid}, {GetBlob, 503, "UNKNOWN"}, {GetBlob, 409, "UNKNOWN"},
	} {
		require.Equal(t, test.want, test.op.Code(test.status), "%v %d", test.op, test.status)
	}
}

// The handler serves each operation that exists.
func TestEveryOpIsServed(t *testing.T) {
	t.Parallel()
	for op := range Op(numOps) {
		var failed error
		h := New(UnimplementedStore{}, WithMiddleware(func(next Handler) Handler {
			return func(w http.ResponseWriter, r *Request) error {
				r.Op, r.Session, r.err = op, "x", nil
				failed = next(w, r)
				return failed
			}
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/app/blobs/sha256:"+strings.Repeat("0", 64), nil))
		if failed != nil {
			require.NotContains(t, failed.Error(), "is not implemented", op)
		}
	}
}
