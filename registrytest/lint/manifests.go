package lint

import (
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// These rules are for manifests. Each comment describes the requests that break the
// rule.
const (
	Accept            Rule = "accept"             // a request for a manifest without Accept
	ContentType       Rule = "content-type"       // a pushed manifest without Content-Type, or with parameters in it
	MediaType         Rule = "media-type"         // a pushed manifest whose Content-Type is not its mediaType
	ReferrersFallback Rule = "referrers-fallback" // no request for the referrers tag after a 404 for referrers
	ReferrersTag      Rule = "referrers-tag"      // no push of the referrers tag after a response without OCI-Subject
)

var manifestChecks = []check{
	{
		Accept, "Pulling manifests",
		"A request for a manifest lists the types that the client supports in Accept.",
		(*run).accept,
	},
	{
		ContentType, "Pushing Manifests",
		"A client pushes a manifest with a Content-Type, which has no parameters.",
		(*run).contentType,
	},
	{
		MediaType, "Pushing Manifests",
		"The Content-Type of a manifest is its mediaType, if it has one.",
		(*run).mediaType,
	},
	{
		ReferrersFallback, "Listing Referrers",
		"A client that got 404 for the referrers of a manifest requests the referrers tag.",
		(*run).referrersFallback,
	},
	{
		ReferrersTag, "Pushing Manifests with Subject",
		"A client that pushed a manifest with a subject, and got no OCI-Subject, pushes the referrers tag.",
		(*run).referrersTag,
	},
}

func (l *run) accept() {
	l.each(func(r *journal.Record) {
		if len(r.RequestHeader.Values("Accept")) == 0 {
			l.found(r, "there is no Accept")
		}
	}, registry.GetManifest, registry.HeadManifest)
}

func (l *run) contentType() {
	l.each(func(r *journal.Record) {
		value := r.RequestHeader.Get("Content-Type")
		switch {
		case value == "":
			l.found(r, "there is no Content-Type")
		case strings.Contains(value, ";"):
			l.found(r, "Content-Type is %q", value)
		}
	}, registry.PutManifest)
}

func (l *run) mediaType() {
	l.each(func(r *journal.Record) {
		value := r.RequestHeader.Get("Content-Type")
		if r.MediaType == "" || value == "" {
			return
		}
		if t, _, _ := strings.Cut(value, ";"); strings.TrimSpace(t) != r.MediaType {
			l.found(r, "Content-Type is %q, but mediaType is %q", value, r.MediaType)
		}
	}, registry.PutManifest)
}

func (l *run) referrersFallback() {
	l.each(func(r *journal.Record) {
		if r.Status != http.StatusNotFound || r.Digest == "" {
			return
		}
		if tag := referrersTag(r.Digest); !l.after(r, tag, registry.GetManifest, registry.HeadManifest) {
			l.found(r, "the response was 404, and the client did not request the referrers tag %s", tag)
		}
	}, registry.ListReferrers)
}

func (l *run) referrersTag() {
	l.each(func(r *journal.Record) {
		subject := r.Subject
		if subject == "" || !succeeded(r) || r.ResponseHeader.Get("OCI-Subject") != "" {
			return
		}
		if tag := referrersTag(subject); !l.after(r, tag, registry.PutManifest) {
			l.found(r, "the client did not push the referrers tag %s", tag)
		}
	}, registry.PutManifest)
}

// after reports whether, after r, the client sent a request for the tag in the same
// repository, with any of the operations.
func (l *run) after(r *journal.Record, tag string, ops ...registry.Op) bool {
	return slices.ContainsFunc(l.records, func(o *journal.Record) bool {
		return o.Number > r.Number && o.Repo == r.Repo && o.Tag == tag && slices.Contains(ops, o.Op)
	})
}

// referrersTag returns the tag under which clients keep the referrers of a manifest if
// the registry has no referrers API (Referrers Tag Schema).
func referrersTag(d digest.Digest) string {
	algorithm, encoded, _ := strings.Cut(string(d), ":")
	tag := algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("_.-", c) || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' {
			return c
		}
		return '-'
	}, tag)
}
