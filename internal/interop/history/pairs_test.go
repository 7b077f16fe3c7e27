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
}
