package history

var pairs = []*pair{
	{
		bug: "lists the catalog with n=10000", program: "ggcr", old: "v0.5.1", new: "v0.6.0",
		source:  "https://github.com/google/go-containerregistry/pull/1091",
		profile: "ecr", quirk: "ecr.tags-n-1000",
		do: []string{"catalog", "$HOST/team/app:v1"}, shows: "maxResults", short: true,
	},
	{
		bug: "fails if there are no referrers", program: "ggcr-referrers", old: "v0.14.0", new: "v0.15.0",
		source:  "https://github.com/google/go-containerregistry/pull/1648",
		profile: "distribution-3", quirk: "distribution.no-referrers",
		do: []string{"$HOST/team/app:v1"}, shows: "MANIFEST_UNKNOWN",
	},
	{
		bug: "needs Docker-Content-Digest in the response to a tag", program: "cue",
		old: "v0.0.0-20240214163758-5ebe80b0a9a6", new: "v0.0.0-20240314152124-224736b49f2e",
		source:  "https://github.com/cue-labs/oci/commit/5a9bab7",
		profile: "ecr", quirk: "ecr.tag-get-without-digest",
		do: []string{"$HOST/team/app:v1"}, shows: "no digest found", short: true,
	},
	{
		bug: "asks for one token with two scopes to mount a blob", program: "ggcr", old: "v0.8.0", new: "v0.9.0",
		source:  "https://github.com/google/go-containerregistry/issues/1312",
		profile: "docker-hub@2022-03", quirk: "docker-hub.first-scope",
		do: []string{"mount", "$HOST/team/new:v1", "$HOST/team/app:v1"}, shows: "UNAUTHORIZED",
	},
	{
		bug: "mounts from a repository of another registry", program: "ggcr", old: "v0.10.0", new: "v0.11.0",
		source:  "https://github.com/google/go-containerregistry/issues/1404",
		profile: "docker-hub", quirk: "docker-hub.mount-401",
		do: []string{"copy", "$HOST/team/new:v1", "$OTHER/other/app:v1"}, shows: "UNAUTHORIZED",
	},
	{
		bug: "takes a page in HTML for the list of referrers", program: "ggcr-referrers", old: "v0.19.2", new: "v0.20.0",
		source:  "https://github.com/google/go-containerregistry/pull/1968",
		profile: "artifact-registry@2023-11", quirk: "artifact-registry.referrers-html",
		do: []string{"$HOST/team/app:v1"}, shows: "invalid character '<'",
	},
	{
		bug: "takes a page in HTML for the list of referrers", program: "oras", old: "v2.3.1", new: "v2.4.0",
		source:  "https://github.com/oras-project/oras-go/pull/635",
		profile: "artifact-registry@2023-11", quirk: "artifact-registry.referrers-html",
		do: []string{"$HOST/team/app:v1"}, shows: "invalid character '<'",
	},
	{
		bug: "caches tokens by the scope of the challenge", program: "oras-rc", old: "v2.0.0-rc.1", new: "v2.0.0-rc.2",
		source:  "https://github.com/oras-project/oras/issues/456",
		profile: "ecr-public", quirk: "ecr-public.challenge",
		do: []string{"push", "$HOST/team/app:v2"}, shows: "request body is not rewindable",
	},
	{
		bug: "needs Docker-Content-Digest in the response to a tag", program: "oras-rc", old: "v2.0.0-rc.2", new: "v2.0.0-rc.3",
		source:  "https://github.com/oras-project/oras-go/issues/225",
		profile: "ecr", quirk: "ecr.tag-get-without-digest",
		do: []string{"pull", "$HOST/team/app:v1"}, shows: "Docker-Content-Digest",
	},
	{
		bug: "pushes a config without a byte", program: "oras-rc", old: "v2.0.0-rc.2", new: "v2.0.0-rc.3",
		source:  "https://github.com/oras-project/oras-go/issues/294",
		profile: "artifact-registry", quirk: "google.empty-blob-400",
		do: []string{"push", "$HOST/team/app:v2"}, shows: "400",
	},
}
