package check

import (
	"slices"
	"strings"
)

// A Level is the strength of a requirement (RFC 2119).
type Level string

// The levels of requirements.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	Note   Level = "NOTE" // not a requirement: the report describes the client's choice
)

// A Requirement is one demand of the spec on a client.
type Requirement struct {
	// Name is a short, unique phrase that is true of a client that meets the
	// requirement. For a [Note], it names the situation in which the client chooses.
	Name string

	Level Level

	// Section is a heading of the distribution spec, or an RFC and a section of it.
	Section string

	// Text quotes the section. An ellipsis marks sentences that are left out.
	Text string
}

// URL returns the URL of the requirement's section.
func (r Requirement) URL() string {
	if number, section, ok := strings.Cut(strings.TrimPrefix(r.Section, "RFC "), ", section "); ok && strings.HasPrefix(r.Section, "RFC ") {
		return "https://www.rfc-editor.org/rfc/rfc" + number + "#section-" + section
	}
	anchor := strings.Map(func(c rune) rune {
		switch {
		case c == ' ':
			return '-'
		case c == '-' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			return c
		}
		return -1
	}, strings.ToLower(r.Section))
	return "https://github.com/opencontainers/distribution-spec/blob/" + specCommit + "/spec.md#" + anchor
}

// Requirements returns all requirements, first those of level [Must], then
// [Should], then [Note].
func Requirements() (all []Requirement) {
	add := func(r Requirement) {
		if !slices.ContainsFunc(all, func(o Requirement) bool { return o.Name == r.Name }) {
			all = append(all, r)
		}
	}
	for _, l := range []Level{Must, Should, Note} {
		for _, r := range rules {
			if r.Level == l {
				add(r.Requirement)
			}
		}
		for _, s := range scenarios {
			for _, r := range s.requirements {
				if r.Level == l {
					add(r)
				}
			}
		}
	}
	return all
}

// specCommit is the commit of the distribution spec that the requirements quote.
const specCommit = "967efdc079b91785ad18c77cc4f8991a47feefbf"

// The requirements that scenarios judge. Those for package lint are in lints.go.
var (
	keepsAuthorization = Requirement{
		"Authorization stays at the registry's host", Must, "API",
		"clients SHOULD follow such redirects, and MUST NOT forward `Authorization` headers across host boundaries unless explicitly configured to do so.",
	}
	followsRedirects = Requirement{
		"redirects are followed", Should, "API",
		"Registries MAY respond to any request with a redirect per RFC 9110 (section 15.4); clients SHOULD follow such redirects",
	}
	worksWithoutDigestHeader = Requirement{
		"a registry without Docker-Content-Digest is supported", Must, "Backwards Compatibility",
		"Client implementations MUST support registries that implement partial or older versions of the OCI Distribution Spec.",
	}
	ignoresTypeParameters = Requirement{
		"parameters of the Content-Type are ignored", Should, "Pulling manifests",
		"The client SHOULD ignore parameters on the `Content-Type` header.",
	}
	rejectsWrongType = Requirement{
		"a manifest of another media type is rejected", Should, "Pulling manifests",
		"If the manifest has a `mediaType` field, clients SHOULD reject unless the `mediaType` field's value matches the type specified by the `Content-Type` header.",
	}
	verifiesManifest = Requirement{
		"a manifest is verified by its digest", Should, "Pulling manifests",
		"If the `<tag-or-digest>` part of a manifest request is a digest, clients SHOULD verify the returned manifest matches this digest.",
	}
	verifiesBlob = Requirement{
		"a blob is verified by its digest", Should, "Pulling blobs",
		"Clients SHOULD verify that the response body matches the requested digest.",
	}
	resumesBlob = Requirement{
		"a blob that was cut", Note, "Use Cases",
		"The client keeps the partial data and uses http `Range` requests to avoid downloading repeated data.",
	}
	waitsForRetryAfter = Requirement{
		"a request is not repeated before Retry-After", Should, "RFC 9110, section 10.2.3",
		`Servers send the "Retry-After" header field to indicate how long the user agent ought to wait before making a follow-up request.`,
	}
	waitsForDate = Requirement{
		"a request is not repeated before the date in Retry-After", Should, "RFC 9110, section 10.2.3",
		"The Retry-After field value can be either an HTTP-date or a number of seconds to delay after receiving the response.",
	}
	reportsWarnings = Requirement{
		"warnings are reported", Should, "Warnings",
		"If a client receives `Warning` response headers, it SHOULD report the warnings to the user in an unobtrusive way.",
	}
	deduplicatesWarnings = Requirement{
		"a warning is reported once", Should, "Warnings",
		"Clients SHOULD deduplicate warnings from multiple associated responses.",
	}
	doesNotActOnWarnings = Requirement{
		"warnings change nothing", Must, "Warnings",
		"In accordance with RFC 7234, clients MUST NOT take any automated action based on the presence or contents of warnings, only report them to the user.",
	}
	listsAllTags = Requirement{
		"tags of all pages are listed", Should, "Listing Tags",
		"Clients depending on the number of tags returned matching `n` may prematurely stop pagination on registries using the `Link` header. When available, clients should prefer the `Link` header over using the `last` parameter for pagination.",
	}
	followsAbsoluteLink = Requirement{
		"an absolute Link is followed", Should, "Listing Tags",
		"If included, the `Link` header MUST be set according to RFC 5988 with the Relation Type `rel=\"next\"`.",
	}
	listsAllReferrers = Requirement{
		"referrers of all pages are listed", Should, "Listing Referrers",
		"A `Link` header MUST be included in the response when the descriptor list cannot be returned in a single manifest. Each response is an image index with different descriptors in the `manifests` field.",
	}
	fallsBackToTag = Requirement{
		"referrers are found by their tag", Must, "Listing Referrers",
		"If the referrers API returns a 404, the client MUST fallback to pulling the referrers tag schema.",
	}
	assumesNoReferrers = Requirement{
		"a referrers tag with other content means no referrers", Should, "Listing Referrers",
		"If the response to the referrers API is a 404, and the tag schema does not return a valid image index, the client SHOULD assume there are no referrers to the manifest.",
	}
	keepsReferrersTag = Requirement{
		"the referrers tag is kept", Must, "Pushing Manifests with Subject",
		"When pushing a manifest with the `subject` field and the `OCI-Subject` header was not set, the client MUST: Pull the current referrers list using the referrers tag schema. … Append a descriptor for the pushed manifest to the manifests in the referrers list. … Push the updated referrers list using the same referrers tag schema.",
	}
	describesReferrer = Requirement{
		"the referrers tag has type and annotations of the manifest", Must, "Pushing Manifests with Subject",
		"The value of the `artifactType` MUST be set to the `artifactType` value in the pushed manifest, if present. If the `artifactType` is empty or missing in a pushed image manifest, the value of `artifactType` MUST be set to the config descriptor `mediaType` value. All annotations from the pushed manifest MUST be copied to this descriptor.",
	}
	listsReferrerOnce = Requirement{
		"the referrers tag has no entry twice", Should, "Pushing Manifests with Subject",
		"Verify the descriptor for the manifest is not already in the referrers list (duplicate entries SHOULD NOT be created).",
	}
	reportsForeignTag = Requirement{
		"a referrers tag with other content is a failure", Should, "Pushing Manifests with Subject",
		"If that pull returns a manifest other than the expected image index, the client SHOULD report a failure and skip the remaining steps.",
	}
	removesReferrer = Requirement{
		"a deleted referrer leaves the referrers tag", Should, "Deleting Manifests",
		"When deleting an image manifest that contains a `subject` field, and the referrers API returns a 404, clients SHOULD: Pull the referrers list using the referrers tag schema. Remove the descriptor entry from the array of manifests that references the deleted manifest. Push the updated referrers list using the same referrers tag schema.",
	}
	takesAbsoluteLocation = Requirement{
		"an absolute Location of an upload is used", Must, "POST then PUT",
		"Optionally, the location MAY be absolute (containing the protocol and/or hostname), or it MAY be relative (containing just the URL path).",
	}
	respectsMinChunk = Requirement{
		"chunks have the size that the registry demands", Should, "Pushing a blob in chunks",
		"If the registry provides an `OCI-Chunk-Min-Length` header in the `POST` response, the size of each chunk, except for the final chunk, SHOULD be greater or equal to that value.",
	}
	chunksInOrder = Requirement{
		"chunks go on where the registry says", Must, "Pushing a blob in chunks",
		"Chunks MUST be uploaded in order, with the first byte of a chunk being the last chunk's `<end-of-range>` plus one.",
	}
	resumesUpload = Requirement{
		"a chunk that is accepted in part", Note, "Pushing a blob in chunks",
		"To get the current status after a 416 error, issue a `GET` request to a URL `<blob-push-location>`.",
	}
	cancelsUploads = Requirement{
		"an aborted upload is cancelled", Should, "Cancel a blob upload",
		"Clients SHOULD send this request when aborting a blob upload, releasing server resources.",
	}
	worksWithoutMount = Requirement{
		"a blob that is not mounted is uploaded", Must, "Backwards Compatibility",
		"Client implementations MUST support registries that implement partial or older versions of the OCI Distribution Spec.",
	}
	worksWithoutSinglePost = Requirement{
		"a single POST that is not supported is followed by a PUT", Should, "Single POST",
		"Registries that do not support single request monolithic uploads SHOULD return a `202 Accepted` status code and `Location` header and clients SHOULD proceed with a subsequent PUT request",
	}
)
