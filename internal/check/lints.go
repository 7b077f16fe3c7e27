package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// A rule is a requirement of the spec that a rule of package lint checks in the
// requests of the undisturbed run.
type rule struct {
	lint lint.Rule
	Requirement

	// ops are operations. The rule applies to a command that sends a successful
	// request for one of them. If ops is empty, it applies to all commands.
	ops []registry.Op

	// about, unless it is nil, must return true for that request.
	about func(*journal.Record) bool
}

// rules has a requirement for each rule of package lint that is not in notLinted.
var rules = []rule{
	{lint.ContentRange, Requirement{
		"Content-Range of a chunk is <first>-<last>", Must, "Pushing a blob in chunks",
		"It MUST match the following regular expression: ^[0-9]+-[0-9]+$",
	}, []registry.Op{registry.PatchUpload, registry.PutUpload}, hasChunkRange},
	{lint.ChunkLength, Requirement{
		"Content-Range of a chunk is true", Must, "Pushing a blob in chunks",
		"The `<range>` refers to the byte range of the chunk, and MUST be inclusive on both ends.",
	}, []registry.Op{registry.PatchUpload, registry.PutUpload}, hasChunkRange},
	{lint.ChunkOrder, Requirement{
		"chunks are in order", Must, "Pushing a blob in chunks",
		"The first chunk's range MUST begin with `0`. … Chunks MUST be uploaded in order, with the first byte of a chunk being the last chunk's `<end-of-range>` plus one.",
	}, []registry.Op{registry.PatchUpload, registry.PutUpload}, hasChunkRange},
	{lint.UploadStart, Requirement{
		"an upload in chunks begins with Content-Length: 0", Must, "Pushing a blob in chunks",
		"The process remains unchanged for chunked upload, except that the post request MUST include the following header: Content-Length: 0",
	}, []registry.Op{registry.PatchUpload}, nil},
	{lint.UploadAlgorithm, Requirement{
		"a digest algorithm other than sha256 is announced", Should, "Pushing a blob in chunks",
		"When pushing a blob with a digest algorithm other than `sha256`, the post request SHOULD include the `digest-algorithm` parameter",
	}, []registry.Op{registry.PutUpload}, func(r *journal.Record) bool { return r.Digest != "" && r.Digest.Algorithm() != "sha256" }},
	{lint.UploadLocation, Requirement{
		"the URL of an upload is the Location, with its query", Should, "POST then PUT",
		"The `<blob-push-location>` MAY contain critical query parameters. Additionally, it SHOULD match exactly the `<blob-push-location>` obtained from the `POST` request. It SHOULD NOT be assembled manually by clients except where absolute/relative conversion is necessary.",
	}, []registry.Op{registry.PatchUpload, registry.PutUpload}, nil},
	{lint.LatestLocation, Requirement{
		"the latest Location is used", Should, "Pushing a blob in chunks",
		"Each consecutive chunk upload SHOULD use the `<blob-push-location>` provided in the response to the previous chunk upload.",
	}, []registry.Op{registry.PatchUpload}, nil},
	{lint.UploadType, Requirement{
		"a blob is application/octet-stream", Should, "POST then PUT",
		"perform the upload proper by making a `PUT` request to the following URL path, and with the following headers and body: … Content-Type: application/octet-stream",
	}, []registry.Op{registry.PatchUpload, registry.PutUpload, registry.PostBlob}, func(r *journal.Record) bool { return r.BytesIn > 0 }},
	{lint.UploadDigest, Requirement{
		"an upload is closed with the digest", Must, "Pushing a blob in chunks",
		"The closing `PUT` request MUST include the `<digest>` of the whole blob (not the final chunk) as a query parameter.",
	}, []registry.Op{registry.PutUpload}, nil},
	{lint.UploadOpen, Requirement{
		"uploads are closed or cancelled", Should, "Cancel a blob upload",
		"Clients SHOULD send this request when aborting a blob upload, releasing server resources.",
	}, []registry.Op{registry.StartUpload, registry.MountBlob, registry.PostBlob}, nil},
	{lint.UploadAgain, Requirement{
		"a blob that is there is not uploaded", Note, "Use Cases",
		"Layer Upload De-duplication",
	}, []registry.Op{registry.PutUpload, registry.PostBlob}, nil},
	{lint.Accept, Requirement{
		"a request for a manifest has Accept", Should, "Pulling manifests",
		"The client SHOULD include an `Accept` header indicating which manifest content types it supports.",
	}, []registry.Op{registry.GetManifest, registry.HeadManifest}, nil},
	{lint.ContentType, Requirement{
		"a manifest is pushed with its Content-Type, without parameters", Should, "Pushing Manifests",
		"Clients SHOULD set the `Content-Type` header to the type of the manifest being pushed. The client SHOULD NOT include parameters on the `Content-Type` header",
	}, []registry.Op{registry.PutManifest}, nil},
	{lint.MediaType, Requirement{
		"the Content-Type of a manifest is its mediaType", Must, "Pushing Manifests",
		"If a manifest includes a `mediaType` field, clients MUST set the `Content-Type` header to the value specified by the `mediaType` field.",
	}, []registry.Op{registry.PutManifest}, func(r *journal.Record) bool { return r.MediaType != "" }},
	{lint.Link, Requirement{
		"the URL of a page is that in Link", Should, "Listing Tags",
		"When available, clients should prefer the `Link` header over using the `last` parameter for pagination.",
	}, []registry.Op{registry.ListTags, registry.ListReferrers}, func(r *journal.Record) bool { return r.URL.Query().Has("last") }},
	{lint.Name, Requirement{
		"names, tags and digests are well formed", Must, "Pulling manifests",
		"Throughout this document, `<name>` MUST match the following regular expression",
	}, nil, nil},
	{lint.Endpoint, Requirement{
		"requests to paths that the spec does not have", Note, "Endpoints",
		"Below is a summary of the endpoints used by the API.",
	}, nil, nil},
	{lint.NoBody, Requirement{
		"GET, HEAD and DELETE have no body", Should, "RFC 9110, section 9.3.1",
		"A client SHOULD NOT generate content in a GET request unless it is made directly to an origin server that has previously indicated, in or out of band, that such a request has a purpose and will be adequately supported.",
	}, nil, nil},
	{lint.CredentialsInURL, Requirement{
		"no secret is in a URL", Should, "RFC 6750, section 2.3",
		"it SHOULD NOT be used unless it is impossible to transport the access token in the \"Authorization\" request header field or the HTTP request entity-body.",
	}, nil, nil},
}

// notLinted lists the rules of package lint that are in no requirement. Scenarios
// check some of them. Of the others, correct clients break Credentials,
// CredentialsPlain does not apply on loopback, and Expected needs a list of
// operations.
var notLinted = []lint.Rule{
	lint.ChunkSize, lint.ReferrersFallback, lint.ReferrersTag, lint.RetryAfter, // checked by scenarios
	lint.Credentials, lint.CredentialsPlain, lint.Expected,
}

func hasChunkRange(r *journal.Record) bool { return r.RequestHeader.Get("Content-Range") != "" }

// lintResults judges the requests of the undisturbed run by all rules that apply to them.
func lintResults(base *run) []Result {
	j := &judgement{base: base, run: base, task: base.task.Name}
	for _, rule := range rules {
		if len(rule.ops) > 0 && !base.has(rule.about, rule.ops...) {
			continue // The client sends no such requests, so a line would only add noise.
		}
		j.lint(rule.Requirement, rule.lint)
	}
	return j.results
}

// lint adds a result for the requirement: whether the requests of the run break
// the rule of package lint.
func (j *judgement) lint(req Requirement, rule lint.Rule) {
	found := lint.Linter{Rules: []lint.Rule{rule}}.Lint(j.run.requests)
	if len(found) == 0 {
		if req.Level != Note {
			j.held(req, "")
		}
		return
	}
	var records []*journal.Record
	var texts []string
	for _, f := range found {
		records = append(records, f.Record)
		if !slices.Contains(texts, f.Text) && len(texts) < 3 {
			texts = append(texts, f.Text)
		}
	}
	detail := strings.Join(texts, "; ")
	if n := len(found); n > 1 {
		detail = fmt.Sprintf("%d requests: %s", n, detail)
	}
	j.violated(req, records, "%s", detail)
}
