package profile

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/ocireg/registry"
)

// Distribution28 returns the profile of CNCF Distribution 2.8, without
// authentication. Distribution 2.8 is the image registry:2 and Debian's package
// docker-registry.
func Distribution28(opts ...Option) *Profile {
	return distribution28.profile(distribution28.name, opts)
}

// Distribution3 returns the profile of CNCF Distribution 3, without
// authentication. Distribution 3 is the image registry:3.
func Distribution3(opts ...Option) *Profile { return distribution3.profile(distribution3.name, opts) }

var distribution28 = site{
	name: "distribution-2.8", title: "CNCF Distribution 2.8",
	quirks: append([]quirk{
		{
			Fact: Fact{
				Name: "distribution-2.8.tags-in-one-page", Sentence: "tags/list ignores n and last, and lists all tags",
				Source: distribution283 + "registry/handlers/tags.go", Date: "2023-10", Evidence: EvidenceCode,
				Breaks: []string{
					"Link leads to the next tags", "last works without n", "n tags are listed", "n=0 lists no tags", "tags after last are listed",
				},
			},
			do:    ignoreParameters(registry.ListTags, "n", "last"),
			probe: probeTags("?n=1"), want: `["v1","v10","v2"]`,
		},
		{
			Fact: Fact{
				Name: "distribution-2.8.chunk-order-unchecked", Sentence: "the Content-Range of a chunk is ignored, even that of the last: a chunk at a wrong offset is appended",
				Source: distribution283 + "registry/handlers/blobupload.go#L180", Date: "2026-11-30", Evidence: EvidenceTrace,
				Breaks: []string{
					"chunk out of order is 416", "chunk out of order is 416 whatever its length", "final chunk out of order is 416",
					"invalid Content-Range is 416", "upload continues after a chunk out of order",
				},
			},
			do:    chunkOrderUnchecked(),
			probe: probeOrderUnchecked, want: "202, Range: 0-9; 201",
		},
		{
			Fact: Fact{
				Name: "distribution-2.8.upload-state", Sentence: "the Location of an upload has a signed _state; another state is 404 BLOB_UPLOAD_INVALID, and one from before the last chunk ends the upload",
				Source: distribution283 + "registry/handlers/blobupload.go#L45", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do:    uploadState(stateRule{missing: invalidState, used: invalidState, ends: true}),
			probe: probeState, want: "404 BLOB_UPLOAD_INVALID; status 404; used 404 BLOB_UPLOAD_INVALID",
		},
		{
			Fact: Fact{
				Name: "distribution-2.8.null-tags", Sentence: "tags/list has null in place of the list after the last tag was deleted",
				Source: distribution283 + "registry/handlers/tags.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do: serve(func(_ *build, r *registry.Request) registry.Handler {
				for range r.Store().Tags(r.Context(), r.Repo, "") {
					return nil // The repository has a tag, or does not exist.
				}
				return func(w http.ResponseWriter, r *registry.Request) error {
					return write(w, r, http.StatusOK, "application/json", fmt.Sprintf(`{"name":%q,"tags":null}`, r.Repo))
				}
			}, registry.ListTags).deciding(registry.DeleteManifest.String()),
			setting: true,
			probe: func(p *prober) string {
				d := p.image("v1").Digest
				p.want(p.do("DELETE", p.path("manifests", string(d)), ""), "deleting a manifest", http.StatusAccepted)
				_, tags, _ := strings.Cut(p.do("GET", p.path("tags", "list"), "").body, `"tags":`)
				return strings.TrimSpace(tags)
			}, want: "null}",
		},
		{
			Fact: Fact{
				Name: "distribution-2.8.delete-tag-400", Sentence: "a tag cannot be deleted where manifests can: 400 DIGEST_INVALID",
				Source: "https://github.com/google/go-containerregistry/issues/1578", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			setting: true,
			do:      rule(`delete-tag status=400 code=DIGEST_INVALID message="provided digest did not match uploaded content"`).lacking(registry.DeleteTag),
			probe:   probeDelete("tag"), want: "400 DIGEST_INVALID",
		},
	}, distributionQuirks...),
}

var distribution3 = site{
	name: "distribution-3", title: "CNCF Distribution 3",
	quirks: append([]quirk{
		{
			Fact: Fact{
				Name: "distribution-3.bad-n", Sentence: "tags/list with an n that is not a number is 400 PAGINATION_NUMBER_INVALID",
				Source: distribution311 + "registry/handlers/tags.go", Date: "2026-05", Evidence: EvidenceCode,
				Breaks: []string{
					"error codes are those of the spec",
				},
			},
			do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
				if r.Op != registry.ListTags && r.Op != registry.ListRepositories || e.Status != http.StatusBadRequest {
					return nil
				}
				return &registry.Error{Code: "PAGINATION_NUMBER_INVALID", Status: e.Status, Message: "invalid number of results requested"}
			}),
			probe: func(p *prober) string {
				p.image("v1")
				return p.do("GET", p.path("tags", "list")+"?n=x", "").code()
			}, want: "400 PAGINATION_NUMBER_INVALID",
		},
		{
			Fact: Fact{
				Name: "distribution-3.upload-state", Sentence: "the Location of an upload has a signed _state; another state is 404 BLOB_UPLOAD_INVALID, one from before the last chunk 416 RANGE_INVALID; GET requires none",
				Source: distribution311 + "registry/handlers/blobupload.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do: uploadState(stateRule{
				missing: invalidState, free: registry.GetUpload,
				used: registry.Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: "RANGE_INVALID", Message: "invalid content range"},
			}),
			probe: probeState, want: "404 BLOB_UPLOAD_INVALID; status 204; used 416 RANGE_INVALID",
		},
		{
			Fact: Fact{
				Name: "distribution-3.tags-1000", Sentence: "tags/list with n above 1000 has 1,000 tags, and a Link to the next; without n it has all",
				Source: distribution311 + "registry/handlers/tags.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			},
			do:    limitPages(registry.ListTags, 1000),
			probe: probeManyTags(1001, "?n=2000"), want: "1000",
		},
	}, distributionQuirks...),
}

// distributionQuirks are quirks of both versions of Distribution.
var distributionQuirks = []quirk{
	{
		Fact: Fact{
			Name: "distribution.catalog-limit", Sentence: "the catalog with n above 1000 is 400 PAGINATION_NUMBER_INVALID",
			Source: distribution311 + "registry/handlers/catalog.go", Date: "2026-05", Evidence: EvidenceCode,
		},
		do: refuse(func(_ *build, r *registry.Request) *registry.Error {
			if n, err := strconv.Atoi(r.URL.Query().Get("n")); err != nil || n <= 1000 {
				return nil
			}
			return &registry.Error{Code: "PAGINATION_NUMBER_INVALID", Status: http.StatusBadRequest, Message: "invalid number of results requested"}
		}, registry.ListRepositories),
		probe: func(p *prober) string { return p.do("GET", "/v2/_catalog?n=1001", "").code() }, want: "400 PAGINATION_NUMBER_INVALID",
	},
	{
		Fact: Fact{
			Name: "distribution.blob-redirect", Sentence: "where the storage has URLs, GET and HEAD of a blob are redirected with 307",
			Source: distribution311 + "registry/storage/blobserver.go", Date: "2026-05", Evidence: EvidenceCode,
			Breaks: []string{
				"Content-Range of a 206 is true", "HEAD has Docker-Content-Digest", "If-Match and If-None-Match guard a blob from deletion",
				"blob has Docker-Content-Digest", "conditional GET of current content is 304", "namespace is confirmed by OCI-Namespace",
				"range of zero bytes is 416", "repeated If-None-Match is one list", "unknown range unit is ignored",
			},
		},
		setting: true,
		do:      redirect(storage{status: http.StatusTemporaryRedirect, heads: true, digest: true, refuses: true}),
		probe:   probeBlobRedirect("HEAD"), want: "307, storage 200",
	},
	{
		Fact: Fact{
			Name: "distribution.single-post-202", Sentence: "a blob in a single POST starts an upload session; its digest is ignored",
			Source: distribution311 + "registry/handlers/blobupload.go", Date: "2026-05", Evidence: EvidenceCode,
		},
		do:    singlePost202(),
		probe: probeSinglePost, want: "202",
	},
	{
		Fact: Fact{
			Name: "distribution.anonymous-mount-202", Sentence: "a mount without from starts an upload session",
			Source: distribution311 + "registry/handlers/blobupload.go", Date: "2026-05", Evidence: EvidenceCode,
		},
		do:    noAnonymousMount(),
		probe: probeMount(false), want: "202",
	},
	{
		Fact: Fact{
			Name: "distribution.absolute-locations", Sentence: "Location begins with the scheme and the host, unless relativeurls is set",
			Source: distribution311 + "docs/content/about/configuration.md", Date: "2026-05", Evidence: EvidenceCode,
		},
		do:    absoluteLocations(),
		probe: probeLocationOrigin, want: "<registry>",
	},
	{
		Fact: Fact{
			Name: "distribution.no-tags-404", Sentence: "the list of tags is 404 NAME_UNKNOWN in a repository to which no tag was pushed",
			Source: distribution311 + "registry/handlers/tags.go", Date: "2026-11-30", Evidence: EvidenceTrace,
			Breaks: []string{
				"tags of a repository without tags are 200",
			},
		},
		do:    noTags404(),
		probe: probeEmptyRepository, want: "404 NAME_UNKNOWN",
	},
	{
		Fact: Fact{
			Name: "distribution.no-referrers", Sentence: "there is no referrers API: 404 with text/plain, since no route matches, and no OCI-Subject",
			Source: "https://github.com/distribution/distribution/pull/4828", Date: "2026-11-30", Evidence: EvidenceTrace,
		},
		do:    noRoute(withoutReferrers(), registry.ListReferrers),
		probe: probeReferrers, want: "404, no code",
	},
	{
		Fact: Fact{
			Name: "distribution.delete-disabled", Sentence: "by default, tags, manifests and blobs cannot be deleted: 405 UNSUPPORTED",
			Source: "https://github.com/distribution/distribution/issues/3234", Date: "2026-11-30", Evidence: EvidenceTrace,
		},
		do:    withoutOps(http.StatusMethodNotAllowed, registry.DeleteTag, registry.DeleteManifest, registry.DeleteBlob),
		probe: probeDelete("manifest"), want: "405 UNSUPPORTED",
	},
	{
		Fact: Fact{
			Name: "distribution.manifest-limit-400", Sentence: "a manifest of more than 4 MiB is 400 MANIFEST_INVALID, not 413",
			Source: "https://github.com/distribution/distribution/issues/4636", Date: "2026-11-30", Evidence: EvidenceTrace,
			Breaks: []string{
				"oversized manifest is 413",
			},
		},
		do: rewrite(func(r *registry.Request, e registry.Error) *registry.Error {
			if r.Op != registry.PutManifest || e.Status != http.StatusRequestEntityTooLarge {
				return nil
			}
			e.Status = http.StatusBadRequest
			return &e
		}),
		probe: func(p *prober) string {
			i := p.build(nil)
			i.text = strings.TrimSuffix(i.text, "\n") + strings.Repeat(" ", 4<<20)
			return p.put(i, "v1").code()
		}, want: "400 MANIFEST_INVALID",
	},
	{
		Fact: Fact{
			Name: "distribution.accept-strict", Sentence: "an OCI manifest is 404 MANIFEST_UNKNOWN to a client whose Accept does not have its media type",
			Source: distribution311 + "registry/handlers/manifests.go#L167", Date: "2026-05", Evidence: EvidenceCode,
			Breaks: []string{
				"HEAD has Content-Length", "HEAD has Docker-Content-Digest", "HEAD of existing content is 200", "deleting a manifest is 400 or 405 if disabled",
				"deleting a tag is 400 or 405 if disabled", "image of unknown media types", "index of images", "index of unknown media types",
				"manifest is 201 with the Location of the manifest", "manifest of a missing subject is accepted",
				"subject of an unknown digest algorithm is accepted", "tag moves to the last manifest pushed", "unknown properties of a manifest are ignored",
			},
		},
		do:    acceptStrict(registry.GetManifest, registry.HeadManifest),
		probe: probeAccept("GET"), want: "404",
	},
	{
		Fact: Fact{
			Name: "distribution.patch-content-type", Sentence: "a PATCH with a Content-Type other than application/octet-stream is 500",
			Source: distribution311 + "registry/handlers/blobupload.go", Date: "2026-05", Evidence: EvidenceCode,
		},
		do: refuse(func(_ *build, r *registry.Request) *registry.Error {
			if t := r.Header.Get("Content-Type"); t == "" || t == "application/octet-stream" {
				return nil
			}
			return &registry.Error{Code: "UNKNOWN", Status: http.StatusInternalServerError, Message: "unknown error"}
		}, registry.PatchUpload),
		probe: func(p *prober) string {
			return p.do("PATCH", p.start(), "0123456789", "Content-Type", "text/plain").code()
		}, want: "500 UNKNOWN",
	},
	{
		Fact: Fact{
			Name: "distribution.illegal-name-404", Sentence: "a path with a name that is not valid is 404 with text/plain, since no route matches",
			Source: conformanceReports + "v1.0/gitlab/report.html", Date: "2023-10", Evidence: EvidenceTrace,
		},
		do:    illegalName404(),
		probe: probeIllegalName, want: "404, Content-Type: text/plain; charset=utf-8",
	},
}

// ignoreParameters returns the behaviour of a registry that ignores the query
// parameters in requests for the operation.
func ignoreParameters(op registry.Op, parameters ...string) behaviour {
	var text strings.Builder
	text.WriteString(op.String())
	for _, p := range parameters {
		text.WriteString(" ignore=?" + p)
	}
	return ruleIf(text.String(), func(_ *build, r *registry.Request) bool {
		query := r.URL.Query()
		for _, p := range parameters {
			if query.Has(p) {
				return true
			}
		}
		return false
	}).deciding("the parameters of " + op.String())
}

// limitPages returns the behaviour of a registry that sends at most limit
// entries if a request for the list asks for more with the query parameter n.
func limitPages(op registry.Op, limit int) behaviour {
	return behaviour{{decides: "the page size", build: func(b *build, q *quirk) {
		b.addFault([]registry.Op{op}, func(r *registry.Request) *registry.Fault {
			query := r.URL.Query()
			if n, err := strconv.Atoi(query.Get("n")); err != nil || n <= limit {
				return nil
			}
			query.Set("n", strconv.Itoa(limit))
			return &registry.Fault{Quirk: true, Before: func(r *registry.Request) error {
				r.Note(q.receipt())
				u, hr := *r.URL, *r.Request
				u.RawQuery = query.Encode()
				hr.URL, r.Request = &u, &hr
				return nil
			}}
		})
	}}}
}

// noTags404 returns the behaviour of a registry that responds with 404 to the
// list of tags if the repository has no tag, and a client never pushed one.
func noTags404() behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		var tagged sync.Map // set of repository names
		seen := onResponse(func(r *registry.Request, status int, _ http.Header, _ func()) int {
			if r.Tag != "" && status == http.StatusCreated {
				tagged.Store(r.Repo, true)
			}
			return status
		}, registry.PutManifest)
		check := refuse(func(_ *build, r *registry.Request) *registry.Error {
			for range r.Store().Tags(r.Context(), r.Repo, "") {
				return nil
			}
			if _, ok := tagged.Load(r.Repo); ok {
				return nil
			}
			return &registry.Error{Code: registry.CodeNameUnknown, Message: "repository name not known to registry"}
		}, registry.ListTags)
		for _, p := range together(seen, check) {
			p.build(b, q)
		}
	}}}
}

// noRoute returns the behaviour b of a registry that does not support the
// operation, with the plain 404 response of a router in place of the error.
func noRoute(b behaviour, op registry.Op) behaviour {
	return together(b, wrap(func(_ *build, w http.ResponseWriter, r *registry.Request, err error, _ func()) error {
		if all := errorsOf(err); r.Op != op || len(all) == 0 || all[0].Code != registry.CodeUnsupported {
			return err
		}
		return write(w, r, http.StatusNotFound, "text/plain; charset=utf-8", "404 page not found\n")
	}))
}

// acceptStrict returns the behaviour of a registry that refuses requests for an
// OCI manifest if its media type is not in Accept.
func acceptStrict(ops ...registry.Op) behaviour {
	return refuse(func(_ *build, r *registry.Request) *registry.Error {
		reference := r.Tag
		if reference == "" {
			reference = string(r.Digest)
		}
		d, err := r.Store().StatManifest(r.Context(), r.Repo, reference)
		if err != nil || !strings.HasPrefix(d.MediaType, "application/vnd.oci.") || strings.Contains(strings.Join(r.Header["Accept"], ","), d.MediaType) {
			return nil
		}
		return &registry.Error{Code: registry.CodeManifestUnknown, Message: "OCI manifest found, but accept header does not support OCI manifests"}
	}, ops...).deciding("Accept")
}

// probeAccept returns a probe of a request for a manifest without Accept.
func probeAccept(method string) probe {
	return func(p *prober) string {
		p.image("v1")
		return p.do(method, p.path("manifests", "v1"), "").only()
	}
}
