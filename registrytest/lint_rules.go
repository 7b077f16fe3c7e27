package registrytest

// A LintRule is something that clients of a registry do or do not do. Its
// value is its name.
type LintRule string

// The rules that a [Linter] checks, by what it finds. What the client should
// have done, and where that is written, is what [LintRule.Text] and
// [LintRule.Source] say.
const (
	LintContentRange      LintRule = "content-range"      // a Content-Range that is not <first>-<last>
	LintChunkLength       LintRule = "chunk-length"       // a Content-Range and a Content-Length that differ
	LintChunkOrder        LintRule = "chunk-order"        // a chunk that does not begin where the one before has ended
	LintChunkSize         LintRule = "chunk-size"         // a chunk below OCI-Chunk-Min-Length
	LintUploadStart       LintRule = "upload-start"       // an upload in chunks that is started without Content-Length: 0
	LintUploadAlgorithm   LintRule = "upload-algorithm"   // one that ends with another algorithm than it was started with
	LintUploadLocation    LintRule = "upload-location"    // a URL of an upload that was assembled, or has lost its query
	LintLatestLocation    LintRule = "latest-location"    // a URL of an upload that is not the last that was given
	LintUploadType        LintRule = "upload-type"        // a blob that is not uploaded as application/octet-stream
	LintUploadDigest      LintRule = "upload-digest"      // an upload that is closed without a digest
	LintUploadOpen        LintRule = "upload-open"        // an upload that is neither closed nor cancelled
	LintUploadAgain       LintRule = "upload-again"       // an upload of a blob that is known to be there
	LintAccept            LintRule = "accept"             // a manifest that is asked for without Accept
	LintContentType       LintRule = "content-type"       // a manifest that is pushed without Content-Type, or with parameters in it
	LintMediaType         LintRule = "media-type"         // one that is pushed with another Content-Type than its mediaType
	LintReferrersFallback LintRule = "referrers-fallback" // no look at the referrers tag where there are no referrers
	LintReferrersTag      LintRule = "referrers-tag"      // no push of it where the registry has no use for a subject
	LintLink              LintRule = "link"               // a list that goes on otherwise than at its Link
	LintName              LintRule = "name"               // the name of a repository, a tag or a digest that is malformed
	LintEndpoint          LintRule = "endpoint"           // a path or a method that the spec does not have
	LintNoBody            LintRule = "no-body"            // a GET, HEAD or DELETE with a body
	LintCredentials       LintRule = "credentials"        // credentials that nobody has asked for
	LintCredentialsInURL  LintRule = "credentials-in-url" // a password or a token in the URL
	LintCredentialsPlain  LintRule = "credentials-plain"  // a password over HTTP to another machine
	LintRetryAfter        LintRule = "retry-after"        // a request that is repeated before its Retry-After
	LintExpected          LintRule = "expected"           // an operation that is not among Linter.Expect
)

// A lintCheck is a rule and how it is checked.
type lintCheck struct {
	rule   LintRule
	source string
	text   string
	check  func(*lint)
}

// lintChecks are the rules, in the order of the constants.
var lintChecks = [...]lintCheck{
	{
		LintContentRange, "Pushing a blob in chunks",
		"The Content-Range of a chunk has the form <first>-<last>, without a unit and without a total.",
		(*lint).contentRange,
	},
	{
		LintChunkLength, "Pushing a blob in chunks",
		"The Content-Range of a chunk covers as many bytes as its Content-Length says.",
		(*lint).chunkLength,
	},
	{
		LintChunkOrder, "Pushing a blob in chunks",
		"The first chunk begins with byte 0, and each other where the one before has ended.",
		(*lint).chunkOrder,
	},
	{
		LintChunkSize, "Pushing a blob in chunks",
		"Every chunk but the last has at least as many bytes as OCI-Chunk-Min-Length has asked for.",
		(*lint).chunkSize,
	},
	{
		LintUploadStart, "Pushing a blob in chunks",
		"The POST that starts an upload in chunks has a Content-Length of 0.",
		(*lint).uploadStart,
	},
	{
		LintUploadAlgorithm, "Pushing a blob in chunks",
		"The POST that starts an upload in chunks has the parameter digest-algorithm if that is not sha256.",
		(*lint).uploadAlgorithm,
	},
	{
		LintUploadLocation, "POST then PUT",
		"The URL of a request to an upload session is a Location that the registry gave, with its query; it is not assembled.",
		(*lint).uploadLocation,
	},
	{
		LintLatestLocation, "Pushing a blob in chunks",
		"An upload goes on at the Location in the last answer, not at an earlier one.",
		(*lint).latestLocation,
	},
	{
		LintUploadType, "POST then PUT, Single POST, Pushing a blob in chunks",
		"What is uploaded has the Content-Type application/octet-stream.",
		(*lint).uploadType,
	},
	{
		LintUploadDigest, "Pushing a blob in chunks",
		"The PUT that closes an upload session has the parameter digest.",
		(*lint).uploadDigest,
	},
	{
		LintUploadOpen, "Cancel a blob upload",
		"An upload session that was started is closed, or cancelled with DELETE.",
		(*lint).uploadOpen,
	},
	{
		LintUploadAgain, "Layer Upload De-duplication",
		"A blob is not uploaded to a repository after the registry has said that it is there.",
		(*lint).uploadAgain,
	},
	{
		LintAccept, "Pulling manifests",
		"A request for a manifest says in Accept which types the client supports.",
		(*lint).accept,
	},
	{
		LintContentType, "Pushing Manifests",
		"A manifest is pushed with a Content-Type, and that has no parameters.",
		(*lint).contentType,
	},
	{
		LintMediaType, "Pushing Manifests",
		"The Content-Type of a manifest is its mediaType, if it has that.",
		(*lint).mediaType,
	},
	{
		LintReferrersFallback, "Listing Referrers",
		"A client that got 404 for the referrers of a manifest looks at the referrers tag.",
		(*lint).referrersFallback,
	},
	{
		LintReferrersTag, "Pushing Manifests with Subject",
		"A client that pushed a manifest with a subject, and was not told OCI-Subject, pushes the referrers tag.",
		(*lint).referrersTag,
	},
	{
		LintLink, "Listing Tags, Listing Referrers; RFC 5988",
		"A list that came with a Link goes on at the URL in it.",
		(*lint).link,
	},
	{
		LintName, "Pulling manifests",
		"The names of repositories, tags and digests have the form that the spec gives them.",
		(*lint).name,
	},
	{
		LintEndpoint, "Endpoints",
		"Requests are for one of the endpoints of the spec, spelled as it is there.",
		(*lint).endpoint,
	},
	{
		LintNoBody, "RFC 9110, sections 9.3.1, 9.3.2 and 9.3.5",
		"GET, HEAD and DELETE have no body.",
		(*lint).noBody,
	},
	{
		LintCredentials, "RFC 9110, section 11.4",
		"Credentials are sent after the registry has asked for them, with WWW-Authenticate, and not before.",
		(*lint).credentials,
	},
	{
		LintCredentialsInURL, "RFC 6750, section 2.3; RFC 9110, section 4.2.4",
		"Passwords and tokens are not in URLs, which end up in logs.",
		(*lint).credentialsInURL,
	},
	{
		LintCredentialsPlain, "RFC 7617, section 4",
		"Basic credentials are sent over HTTPS, or to a loopback address.",
		(*lint).credentialsPlain,
	},
	{
		LintRetryAfter, "Error Codes; RFC 9110, section 10.2.3",
		"What was answered 429 or 503 is not asked again before the time that Retry-After gives.",
		(*lint).retryAfter,
	},
	{
		LintExpected, "the test itself",
		"Requests are for operations that the test expects.",
		(*lint).expected,
	},
}

// Source returns where the rule is written: the section of the distribution
// spec, or of the RFC that is named.
func (r LintRule) Source() string { return r.info().source }

// Text returns the rule in a sentence.
func (r LintRule) Text() string { return r.info().text }

func (r LintRule) info() lintCheck {
	for _, l := range lintChecks {
		if l.rule == r {
			return l
		}
	}
	return lintCheck{rule: r}
}
