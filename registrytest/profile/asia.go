package profile

import (
	"net/http"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// Alibaba returns the profile of Alibaba Cloud Container Registry. Its
// authentication is not known here.
func Alibaba(opts ...Option) *Profile { return alibaba.profile(alibaba.name, opts) }

// Huawei returns the profile of Huawei Cloud SoftWare Repository. Its
// authentication is not known here.
func Huawei(opts ...Option) *Profile { return huawei.profile(huawei.name, opts) }

var alibaba = site{
	name: "alibaba", title: "Alibaba Cloud Container Registry",
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "alibaba.artifact-types", Sentence: "a manifest with the empty config of artifacts is DENIED: unknown manifest class",
				Source: "https://github.com/koordinator-sh/koordinator/issues/3194", Evidence: Issue,
			},
			do: onlyConfigs(func(mediaType string) bool { return mediaType != ocispec.MediaTypeEmptyJSON },
				http.StatusForbidden, registry.CodeDenied, "unknown manifest class for "),
			probe: probeConfig(ocispec.MediaTypeEmptyJSON), want: "403 DENIED",
		},
	},
}

var huawei = site{
	name: "huawei", title: "Huawei Cloud SWR",
	quirks: []quirk{
		{
			Fact: Fact{
				Name: "huawei.artifact-types", Sentence: "a manifest whose config is none of an image is refused: Invalid image (the status 400 is inferred)",
				Source: "https://github.com/regclient/regclient/issues/720", Date: "2024-04", Evidence: Issue,
				Breaks: []string{
					"applied filter is confirmed by OCI-Filters-Applied", "filter may have a plus sign", "image of unknown media types", "index of unknown media types",
					"referrer has the artifactType of its manifest", "referrer without artifactType has the media type of its config", "referrers can be filtered",
				},
			},
			do: onlyConfigs(mediaTypes(ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json"),
				http.StatusBadRequest, registry.CodeManifestInvalid, "Invalid image, fail to parse 'manifest.json': "),
			probe: probeConfig(ocispec.MediaTypeEmptyJSON), want: "400 MANIFEST_INVALID",
		},
	},
}
