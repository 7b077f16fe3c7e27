package lint

// A Rule is something that clients of a registry do or do not do. Its
// value is its name.
type Rule string

// The rules that a [Linter] checks, by what it finds. What the client should
// have done, and where that is written, is what [Rule.Text] and
// [Rule.Source] say.
const (
	ContentRange      Rule = "content-range"      // a Content-Range that is not <first>-<last>
	ChunkLength       Rule = "chunk-length"       // a Content-Range and a Content-Length that differ
	ChunkOrder        Rule = "chunk-order"        // a chunk that does not begin where the one before has ended
	ChunkSize         Rule = "chunk-size"         // a chunk below OCI-Chunk-Min-Length
	UploadStart       Rule = "upload-start"       // an upload in chunks that is started without Content-Length: 0
	UploadAlgorithm   Rule = "upload-algorithm"   // one that ends with another algorithm than it was started with
	UploadLocation    Rule = "upload-location"    // a URL of an upload that was assembled, or has lost its query
	LatestLocation    Rule = "latest-location"    // a URL of an upload that is not the last that was given
	UploadType        Rule = "upload-type"        // a blob that is not uploaded as application/octet-stream
	UploadDigest      Rule = "upload-digest"      // an upload that is closed without a digest
	UploadOpen        Rule = "upload-open"        // an upload that is neither closed nor cancelled
	UploadAgain       Rule = "upload-again"       // an upload of a blob that is known to be there
	Accept            Rule = "accept"             // a manifest that is asked for without Accept
	ContentType       Rule = "content-type"       // a manifest that is pushed without Content-Type, or with parameters in it
	MediaType         Rule = "media-type"         // one that is pushed with another Content-Type than its mediaType
	ReferrersFallback Rule = "referrers-fallback" // no look at the referrers tag where there are no referrers
	ReferrersTag      Rule = "referrers-tag"      // no push of it where the registry has no use for a subject
	Link              Rule = "link"               // a list that goes on otherwise than at its Link
	Name              Rule = "name"               // the name of a repository, a tag or a digest that is malformed
	Endpoint          Rule = "endpoint"           // a path or a method that the spec does not have
	NoBody            Rule = "no-body"            // a GET, HEAD or DELETE with a body
	Credentials       Rule = "credentials"        // credentials that nobody has asked for
	CredentialsInURL  Rule = "credentials-in-url" // a password or a token in the URL
	CredentialsPlain  Rule = "credentials-plain"  // a password over HTTP to another machine
	RetryAfter        Rule = "retry-after"        // a request that is repeated before its Retry-After
	Expected          Rule = "expected"           // an operation that is not among Linter.Expect
)

// A lintCheck is a rule and how it is checked.
type lintCheck struct {
	rule   Rule
	source string
	text   string
	check  func(*lint)
}

// lintChecks are the rules, in the order of the constants.
var lintChecks = [...]lintCheck{
	{
		ContentRange, "Pushing a blob in chunks",
		"The Content-Range of a chunk has the form <first>-<last>, without a unit and without a total.",
		(*lint).contentRange,
	},
	{
		ChunkLength, "Pushing a blob in chunks",
		"The Content-Range of a chunk covers as many bytes as its Content-Length says.",
		(*lint).chunkLength,
	},
	{
		ChunkOrder, "Pushing a blob in chunks",
		"The first chunk begins with byte 0, and each other where the one before has ended.",
		(*lint).chunkOrder,
	},
	{
		ChunkSize, "Pushing a blob in chunks",
		"Every chunk but the last has at least as many bytes as OCI-Chunk-Min-Length has asked for.",
		(*lint).chunkSize,
	},
	{
		UploadStart, "Pushing a blob in chunks",
		"The POST that starts an upload in chunks has a Content-Length of 0.",
		(*lint).uploadStart,
	},
	{
		UploadAlgorithm, "Pushing a blob in chunks",
		"The POST that starts an upload in chunks has the parameter digest-algorithm if that is not sha256.",
		(*lint).uploadAlgorithm,
	},
	{
		UploadLocation, "POST then PUT",
		"The URL of a request to an upload session is a Location that the registry gave, with its query; it is not assembled.",
		(*lint).uploadLocation,
	},
	{
		LatestLocation, "Pushing a blob in chunks",
		"An upload goes on at the Location in the last answer, not at an earlier one.",
		(*lint).latestLocation,
	},
	{
		UploadType, "POST then PUT, Single POST, Pushing a blob in chunks",
		"What is uploaded has the Content-Type application/octet-stream.",
		(*lint).uploadType,
	},
	{
		UploadDigest, "Pushing a blob in chunks",
		"The PUT that closes an upload session has the parameter digest.",
		(*lint).uploadDigest,
	},
	{
		UploadOpen, "Cancel a blob upload",
		"An upload session that was started is closed, or cancelled with DELETE.",
		(*lint).uploadOpen,
	},
	{
		UploadAgain, "Layer Upload De-duplication",
		"A blob is not uploaded to a repository after the registry has said that it is there.",
		(*lint).uploadAgain,
	},
	{
		Accept, "Pulling manifests",
		"A request for a manifest says in Accept which types the client supports.",
		(*lint).accept,
	},
	{
		ContentType, "Pushing Manifests",
		"A manifest is pushed with a Content-Type, and that has no parameters.",
		(*lint).contentType,
	},
	{
		MediaType, "Pushing Manifests",
		"The Content-Type of a manifest is its mediaType, if it has that.",
		(*lint).mediaType,
	},
	{
		ReferrersFallback, "Listing Referrers",
		"A client that got 404 for the referrers of a manifest looks at the referrers tag.",
		(*lint).referrersFallback,
	},
	{
		ReferrersTag, "Pushing Manifests with Subject",
		"A client that pushed a manifest with a subject, and was not told OCI-Subject, pushes the referrers tag.",
		(*lint).referrersTag,
	},
	{
		Link, "Listing Tags, Listing Referrers; RFC 5988",
		"A list that came with a Link goes on at the URL in it.",
		(*lint).link,
	},
	{
		Name, "Pulling manifests",
		"The names of repositories, tags and digests have the form that the spec gives them.",
		(*lint).name,
	},
	{
		Endpoint, "Endpoints",
		"Requests are for one of the endpoints of the spec, spelled as it is there.",
		(*lint).endpoint,
	},
	{
		NoBody, "RFC 9110, sections 9.3.1, 9.3.2 and 9.3.5",
		"GET, HEAD and DELETE have no body.",
		(*lint).noBody,
	},
	{
		Credentials, "RFC 9110, section 11.4",
		"Credentials are sent after the registry has asked for them, with WWW-Authenticate, and not before.",
		(*lint).credentials,
	},
	{
		CredentialsInURL, "RFC 6750, section 2.3; RFC 9110, section 4.2.4",
		"Passwords and tokens are not in URLs, which end up in logs.",
		(*lint).credentialsInURL,
	},
	{
		CredentialsPlain, "RFC 7617, section 4",
		"Basic credentials are sent over HTTPS, or to a loopback address.",
		(*lint).credentialsPlain,
	},
	{
		RetryAfter, "Error Codes; RFC 9110, section 10.2.3",
		"What was answered 429 or 503 is not asked again before the time that Retry-After gives.",
		(*lint).retryAfter,
	},
	{
		Expected, "the test itself",
		"Requests are for operations that the test expects.",
		(*lint).expected,
	},
}

// Source returns where the rule is written: the section of the distribution
// spec, or of the RFC that is named.
func (r Rule) Source() string { return r.info().source }

// Text returns the rule in a sentence.
func (r Rule) Text() string { return r.info().text }

func (r Rule) info() lintCheck {
	for _, l := range lintChecks {
		if l.rule == r {
			return l
		}
	}
	return lintCheck{rule: r}
}
