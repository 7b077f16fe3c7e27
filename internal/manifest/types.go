package manifest

import (
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// These are the media types of manifests that image-spec does not define.
const (
	DockerManifest      = "application/vnd.docker.distribution.manifest.v2+json"
	DockerManifestList  = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	DockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	OCIArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"
)

// These are the prefixes of the media types of layers that registries need not have.
const (
	dockerForeignLayer  = "application/vnd.docker.image.rootfs.foreign."
	ociNonDistributable = "application/vnd.oci.image.layer.nondistributable."
)

// Opaque reports whether a registry cannot read the properties of manifests of the
// type. Manifests of Docker's schema 1 name their blobs in properties of their own.
func Opaque(mediaType string) bool {
	return mediaType == DockerSchema1 || mediaType == DockerSchema1Signed
}

// Index reports whether manifests of the type list other manifests.
func Index(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == DockerManifestList
}

// Image reports whether manifests of the type have a config and layers.
func Image(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == DockerManifest
}

// Known reports whether a registry knows the form of manifests of the type. The
// type must be in the form of [Canonical].
func Known(mediaType string) bool {
	return Index(mediaType) || Image(mediaType) || Opaque(mediaType) || mediaType == OCIArtifactManifest
}

// Canonical returns the media type in lower case if that form is [Known], because
// media types are compared without case (RFC 9110, section 8.3.1). It returns
// other types unchanged.
func Canonical(mediaType string) string {
	if lower := strings.ToLower(mediaType); Known(lower) {
		return lower
	}
	return mediaType
}

// ValidType reports whether s is a media type without parameters: two names in
// the form of RFC 6838, section 4.2, which image-spec demands of each mediaType.
func ValidType(s string) bool {
	major, minor, ok := strings.Cut(s, "/")
	return ok && restrictedName(major) && restrictedName(minor)
}

func restrictedName(s string) bool {
	if s == "" || len(s) > 127 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("!#$&-^_.+", c) >= 0:
		default:
			return false
		}
	}
	return true
}
