package fault_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// Each rule imitates a deviation of a real registry from the spec, as the quirks of
// package profile do.
func TestQuirksAsRules(t *testing.T) {
	t.Parallel()
	const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for quirk, text := range map[string]string{
		"a chunk is 201":                              "patch-upload after-commit status=201 body=own",
		"a single POST starts a session":              "post-blob ignore=?digest",
		"a large chunk is refused":                    "patch-upload where=body>4194304 status=416",
		"a large blob is refused":                     "put-upload,post-blob where=body>20000000 status=413",
		"an empty blob is refused":                    "put-upload,post-blob digest=" + empty + " status=400 code=BLOB_UPLOAD_INVALID",
		"the order of chunks does not matter":         "patch-upload ignore=Content-Range",
		"the least size of chunks is not announced":   "start-upload drop-header=OCI-Chunk-Min-Length",
		"the range of an upload has a unit":           "patch-upload,get-upload set-header=Range:bytes={*}",
		"the range of an upload is missing":           "patch-upload,get-upload drop-header=Range",
		"the status of an upload is 404":              "get-upload status=404",
		"the URL of an upload has a state":            "any location=?_state={state}",
		"the URL of an upload is absolute":            "start-upload,patch-upload location={origin}",
		"the URL of a manifest has its tag":           "put-manifest tag=** location=/v2/{repo}/manifests/{tag}",
		"repositories have to be created":             "start-upload,post-blob,mount-blob,put-manifest where=!repo-exists status=404 code=NAME_UNKNOWN",
		"repositories have two components":            "start-upload,post-blob,mount-blob,put-manifest repo=*/*/** status=400 code=NAME_INVALID",
		"what is missing needs a login":               `get-manifest,head-manifest where=!found user="" status=401`,
		"what is missing is forbidden":                "get-manifest,head-manifest where=!found status=403",
		"404 has another code":                        "get-manifest where=!found status=404 code=NOT_FOUND",
		"errors are pages":                            "any body=errors:html",
		"errors have no codes":                        "any body=errors:no-code",
		"large pages are refused":                     "list-tags,catalog has-header=?n:????* status=405 code=UNSUPPORTED",
		"large pages are shorter":                     "list-tags has-header=?n:???* ignore=?n=100",
		"pages are ignored":                           "list-tags ignore=?n,?last",
		"the link to the next page is absolute":       "list-tags,catalog location={origin}",
		"the link to the next page is missing":        "list-tags drop-header=Link",
		"the list of repositories is off":             "catalog status=404 body=plain",
		"no referrers API":                            "list-referrers status=404",
		"referrers of what is missing are refused":    "list-referrers where=!found status=400 code=MANIFEST_INVALID",
		"referrers are behind a login page":           "list-referrers status=303 location=https://login.example.com/",
		"subjects are refused":                        `put-manifest where=body:"subject" status=405`,
		"an empty config is refused":                  "put-manifest where=body:application/vnd.oci.empty.v1+json status=403 code=DENIED",
		"a media type is refused":                     "put-manifest has-header=Content-Type:application/vnd.oci.image.index.** status=415",
		"blobs are mounted if an image has them":      "mount-blob where=!referenced ignore=?mount",
		"blobs are mounted without asking from where": "mount-blob ignore=?from",
		"a mount is refused":                          "mount-blob where=!found status=401",
		"tags cannot move":                            "put-manifest tag=** where=found status=409",
		"a tagged manifest cannot be deleted":         "delete-manifest where=tagged status=400",
		"a child of an index cannot be deleted":       "delete-manifest where=referenced status=405",
		"blobs are elsewhere":                         "get-blob where=found status=307 location=https://cdn.example.com/{digest}?sig={repo}",
		"HEAD is refused":                             "head-blob,head-manifest status=403",
		"GET by tag has no digest":                    "get-manifest tag=** drop-header=Docker-Content-Digest",
		"ranges are ignored":                          "get-blob ignore=Range",
		"a range is refused":                          "get-manifest has-header=Range status=400",
		"an image is only what Accept says":           "get-manifest has-header=!Accept:**oci.image** status=404",
		"POST of a password is refused":               "token method=POST where=body:grant_type=password status=400 body=empty",
		"a cookie comes back as an attack":            "any has-header=Cookie method=POST status=403",
		"sha512 is unknown":                           "put-manifest,put-upload digest=sha512:* status=400",
	} {
		rule, err := fault.Parse(text)
		require.NoError(t, err, quirk)
		require.Equal(t, text, rule.String(), quirk)
		_, err = new(inject.Rules).Add(rule)
		require.NoError(t, err, quirk)
	}
}
