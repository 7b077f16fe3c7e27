package profile

import (
	"net/http"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// Alibaba returns the profile of Alibaba Cloud Container Registry, without
// authentication.
func Alibaba(opts ...Option) *Profile { return alibaba.profile(alibaba.name, opts) }

// Huawei returns the profile of Huawei Cloud SoftWare Repository, without
// authentication.
func Huawei(opts ...Option) *Profile { return huawei.profile(huawei.name, opts) }

var alibaba = site{
	name: "alibaba", title: "Alibaba Cloud Container Registry",
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "alibaba.artifact-types", Sentence: "a manifest with the empty config of artifacts is DENIED: unknown manifest class",
				Source: "https://github.com/koordinator-sh/koordinator/issues/3194", Evidence: EvidenceIssue,
			},
			do: onlyConfigs(func(mediaType string) bool { return mediaType != ocispec.MediaTypeEmptyJSON },
				http.StatusForbidden, registry.CodeDenied, "unknown manifest class for "),
			probe: probeConfig(ocispec.MediaTypeEmptyJSON), want: "403 DENIED",
		},
		{
			Fact: Fact{
				Name: "alibaba.range-of-chunk", Sentence: "the Range after a chunk counts the bytes of the chunk alone, from 0",
				Source: "https://github.com/regclient/regclient/issues/627", Date: "2023-12", Evidence: EvidenceIssue,
				Breaks: []string{
					"chunk is 202 with Location and Range",
				},
			},
			do: rangeOfBody(func(*registry.Request) bool { return true }),
			probe: func(p *prober) string {
				first := p.chunk(p.start(), 0, "0123456789")
				return p.chunk(p.location(first), 10, "01234").field("Range")
			}, want: "202, Range: 0-4",
		},
	},
}

var huawei = site{
	name: "huawei", title: "Huawei Cloud SWR",
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "huawei.artifact-types", Sentence: "a manifest whose config has a media type other than that of an image is refused: Invalid image (the status 400 is inferred)",
				Source: "https://github.com/regclient/regclient/issues/720", Date: "2024-04", Evidence: EvidenceIssue,
				Breaks: []string{
					"applied filter is confirmed by OCI-Filters-Applied", "filter may have a plus sign", "image of unknown media types", "index of unknown media types",
					"referrer has the artifactType of its manifest", "referrer without artifactType has the media type of its config", "referrers can be filtered",
				},
			},
			do: onlyConfigs(mediaTypes(ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json"),
				http.StatusBadRequest, registry.CodeManifestInvalid, "Invalid image, fail to parse 'manifest.json': "),
			probe: probeConfig(ocispec.MediaTypeEmptyJSON), want: "400 MANIFEST_INVALID",
		},
		{
			Fact: Fact{
				Name: "huawei.no-oci-index", Sentence: "an OCI index is refused, while a Docker manifest list is not: Invalid image (the status 400 is inferred)",
				Source: "https://github.com/openbkn-ai/bkn-studio/pull/153", Date: "2026-07", Evidence: EvidenceIssue,
				Breaks: []string{
					"index of images", "index of unknown media types", "layer of an unknown digest algorithm is accepted or MANIFEST_BLOB_UNKNOWN",
					"manifest keeps its Content-Type", "manifest with missing content is accepted or MANIFEST_BLOB_UNKNOWN",
					"referrer has the annotations of its manifest", "referrers are of the digest and the repository", "referring index without artifactType has none",
				},
			},
			do: refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
				if d.contentType != ocispec.MediaTypeImageIndex {
					return nil
				}
				return &registry.Error{Code: registry.CodeManifestInvalid, Message: "Invalid image, fail to parse 'manifest.json'"}
			}),
			probe: func(p *prober) string {
				index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{p.image("v1").Descriptor}}
				index.SchemaVersion = 2
				return p.put(p.encode(index, index.MediaType), "v2").code()
			}, want: "400 MANIFEST_INVALID",
		},
	},
}
