package profile

// sites are all real registries, in the order of their names, followed by
// others.
var sites = []*site{
	&acr, &alibaba, &artifactRegistry, &artifactory, &distribution28, &distribution3, &dockerHub, &ecr, &ecrPublic,
	&gcr, &ghcr, &gitea, &gitlab, &harbor, &huawei, &nexus, &quay, &zot,
	&others,
}

// The sources of several quirks have URLs with these prefixes.
const (
	conformanceReports = "https://github.com/opencontainers/oci-conformance/blob/16097618fca61dc5d7aed970d61514aa8efad2c9/distribution-spec/"
	distribution283    = "https://github.com/distribution/distribution/blob/v2.8.3/"
	distribution311    = "https://github.com/distribution/distribution/blob/v3.1.1/"
)
