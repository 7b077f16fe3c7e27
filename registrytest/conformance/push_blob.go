package conformance

import (
	"net/http"
	"regexp"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

const (
	pushingBlobs  = "Pushing blobs"
	postThenPut   = "POST then PUT"
	singlePost    = "Single POST"
	mountingABlob = "Mounting a blob from another repository"
)

// uuid matches a UUID (RFC 9562, section 4), with or without hyphens.
var uuid = regexp.MustCompile(`(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}`)

// blobRequirements are the requirements of blobs pushed with one POST, or with
// POST and PUT.
var blobRequirements = []Requirement{
	{
		Category: "push", Name: "upload starts with 202 and Location", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "Upon success, the response MUST have a code of `202 Accepted`, and MUST include the following header: Location: <blob-push-location>",
		check: func(t *registryTest) {
			r := t.post(uploadsURL(t.repo()))
			t.want(r, http.StatusAccepted)
			t.location(r)
		},
	},
	{
		Category: "push", Name: "upload has a UUID", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "The `<blob-push-location>` MUST contain a UUID representing a unique session ID for the upload to follow.",
		check: func(t *registryTest) {
			r := t.post(uploadsURL(t.repo()))
			t.want(r, http.StatusAccepted)
			if location := t.location(r); !uuid.MatchString(location) {
				t.violated("the Location %s has no UUID", location)
			}
		},
	},
	{
		Category: "push", Name: "each upload has its own session", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "The `<blob-push-location>` MUST contain a UUID representing a unique session ID for the upload to follow.",
		check: func(t *registryTest) {
			repo := t.repo()
			one, two := t.start(repo), t.start(repo)
			if one == two {
				t.violated("two uploads have the same Location: %s", one)
			}
			contents := [][]byte{t.bytes(100), t.bytes(200)}
			for i, location := range []string{two, one} {
				t.want(t.end(location, digest.FromBytes(contents[i]), contents[i]), http.StatusCreated)
			}
			for _, content := range contents {
				t.wantContent(blobURL(repo, digest.FromBytes(content)), content)
			}
		},
	},
	{
		Category: "push", Name: "upload ends with 201 and the Location of the blob", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "Upon successful completion of the request, the response MUST have code `201 Created` and MUST have the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			content := t.bytes(100_000)
			t.wantCreated(t.end(t.start(t.repo()), digest.FromBytes(content), content), content)
		},
	},
	{
		Category: "push", Name: "blob may be pushed again", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "Upon successful completion of the request, the response MUST have code `201 Created` and MUST have the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(repo, content)
			t.wantPushed(t.end(t.start(repo), d, content), blobURL(repo, d), content)
		},
	},
	{
		Category: "push", Name: "invalid digest is 400", Section: pushingBlobs, Level: Should, Since: "main",
		Text: "In each implementation, if the client provided digest is invalid or uses an unsupported algorithm, the registry SHOULD respond with a response code `400 Bad Request`.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			for _, d := range []digest.Digest{"sha256:0123", "sha256:" + digest.Digest(digest.FromBytes(content).Encoded()[1:]) + "g", "nothing", "md4:d79e1c308aa5bbcdeea8ed63df412da9"} {
				t.want(t.end(t.start(repo), d, content), http.StatusBadRequest)
			}
		},
	},
	{
		Category: "push", Name: "unsupported algorithm is 400", Section: pushingBlobs, Level: Should, Since: "main",
		Text: "In each implementation, if the client provided digest is invalid or uses an unsupported algorithm, the registry SHOULD respond with a response code `400 Bad Request`.",
		check: func(t *registryTest) {
			t.want(t.post(param(uploadsURL(t.repo()), "digest-algorithm", "md4")), http.StatusBadRequest)
		},
	},
	{
		Category: "push", Name: "blob that does not match its digest is refused", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "`DIGEST_INVALID` provided digest did not match uploaded content",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.absentDigest()
			t.wantRefused(t.end(t.start(repo), d, content), "content that does not match the digest")
			t.wantAbsent(repo, d, digest.FromBytes(content))
		},
	},
	{
		Category: "push", Name: "single POST ends with 201 and the Location of the blob", Section: singlePost, Level: Must, Since: "1.0", with: features{registry.PostBlob},
		Text: "Successful completion of the request MUST return a `201 Created` and MUST include the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			content := t.bytes(1000)
			t.wantCreated(t.postBlob(t.repo(), digest.FromBytes(content), content), content)
		},
	},
	{
		Category: "push", Name: "single POST that does not match its digest is refused", Section: singlePost, Level: Must, Since: "1.0", with: features{registry.PostBlob},
		Text: "Likewise, the `<digest>` MUST match the blob's digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.absentDigest()
			t.wantRefused(t.postBlob(repo, d, content), "content that does not match the digest")
			t.wantAbsent(repo, d, digest.FromBytes(content))
		},
	},
	{
		Category: "push", Name: "single POST is 202 if unsupported", Section: singlePost, Level: Should, Since: "1.0", without: features{registry.PostBlob},
		Text: "Registries that do not support single request monolithic uploads SHOULD return a `202 Accepted` status code and `Location` header and clients SHOULD proceed with a subsequent PUT request, as described by the POST then PUT upload method.",
		check: func(t *registryTest) {
			content := t.bytes(1000)
			t.wantUpload(t.postBlob(t.repo(), digest.FromBytes(content), content), content)
		},
	},
}

// mountRequirements are the requirements of blobs mounted from another
// repository.
var mountRequirements = []Requirement{
	{
		Category: "push", Name: "mount is 201 with the Location of the blob", Section: mountingABlob, Level: Must, Since: "1.0", with: features{registry.MountBlob},
		Text: "The response to a successful mount MUST be `201 Created`, and MUST contain the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(from, content)
			t.wantCreated(t.post(mountURL(repo, d, from)), content)
			t.wantContent(blobURL(repo, d), content)
		},
	},
	{
		Category: "push", Name: "mount of an absent blob starts an upload", Section: mountingABlob, Level: Should, Since: "1.0",
		Text: "Alternatively, if a registry does not support cross-repository mounting or is unable to mount the requested blob, it SHOULD return a `202`.",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			t.pushBlob(from, t.bytes(10))
			for _, source := range []string{from, t.repo()} {
				content := t.bytes(1000)
				t.wantUpload(t.post(mountURL(repo, digest.FromBytes(content), source)), content)
			}
		},
	},
	{
		Category: "push", Name: "mount of an invalid digest starts an upload", Section: dockerAPI + "Cross Repository Blob Mount", Level: Should, Since: "1.0",
		Text: "If a mount fails due to invalid repository or digest arguments, the registry will fall back to the standard upload behavior and return a `202 Accepted` with the upload URL in the `Location` header",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(from, content)
			t.wantUpload(t.post(mountURL(repo, "sha256:0123", from)), content)
			t.wantUpload(t.post(mountURL(repo, "nothing", from)), content)
			t.wantUpload(t.post(mountURL(repo, d, "NOT/a/NAME")), content)
		},
	},
	{
		Category: "push", Name: "mount starts an upload if unsupported", Section: mountingABlob, Level: Should, Since: "1.0", without: features{registry.MountBlob},
		Text: "Alternatively, if a registry does not support cross-repository mounting or is unable to mount the requested blob, it SHOULD return a `202`.",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			t.wantUpload(t.post(mountURL(repo, t.pushBlob(from, content), from)), content)
		},
	},
	{
		Category: "push", Name: "anonymous mount finds the blob", Section: mountingABlob, Level: Must, Since: "1.1", with: features{registry.MountBlob, registry.AnonymousMount},
		Text: "The registry MAY treat the `from` parameter as optional, and it MAY cross-mount the blob if it can be found.",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(from, content)
			t.wantPushed(t.post(mountURL(repo, d, "")), blobURL(repo, d), content)
		},
	},
	{
		Category: "push", Name: "anonymous mount starts an upload if unsupported", Section: mountingABlob, Level: Should, Since: "1.1", without: features{registry.AnonymousMount},
		Text: "Alternatively, if a registry does not support cross-repository mounting or is unable to mount the requested blob, it SHOULD return a `202`.",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			t.wantUpload(t.post(mountURL(repo, t.pushBlob(from, content), "")), content)
		},
	},
}

func mountURL(repo string, d digest.Digest, from string) string {
	u := param(uploadsURL(repo), "mount", string(d))
	if from != "" {
		u = param(u, "from", from)
	}
	return u
}

// postBlob pushes a blob with a single POST and returns the response.
func (t *registryTest) postBlob(repo string, d digest.Digest, content []byte) *response {
	t.Helper()
	return t.do(call{method: "POST", url: param(uploadsURL(repo), "digest", string(d)), header: []string{"Content-Type", octetStream}, body: content})
}

// wantUpload reports a violation unless the response starts an upload session
// that accepts the content.
func (t *registryTest) wantUpload(r *response, content []byte) {
	t.Helper()
	t.want(r, http.StatusAccepted)
	t.want(t.end(t.location(r), digest.FromBytes(content), content), http.StatusCreated)
}

// wantAbsent reports a violation if the repository has one of the blobs.
func (t *registryTest) wantAbsent(repo string, blobs ...digest.Digest) {
	t.Helper()
	for _, d := range blobs {
		if r := t.head(blobURL(repo, d)); r.StatusCode == http.StatusOK {
			t.violated("the registry stored the blob that it refused")
		}
	}
}
