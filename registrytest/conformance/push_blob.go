package conformance

import (
	"encoding/json"
	"net/http"
	"regexp"

	"github.com/opencontainers/go-digest"
)

const (
	pushingBlobs  = "Pushing blobs"
	postThenPut   = "POST then PUT"
	singlePost    = "Single POST"
	mountingABlob = "Mounting a blob from another repository"
	errorCodes    = "Error Codes"
	octetStream   = "application/octet-stream"
)

// uuid is the text of a UUID (RFC 9562, section 4), of which some leave the
// hyphens out.
var uuid = regexp.MustCompile(`(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}`)

// blobRequirements are those of pushing a blob at once.
var blobRequirements = []Requirement{
	{
		Category: "push", Name: "upload starts with 202 and Location", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "Upon success, the response MUST have a code of `202 Accepted`, and MUST include the following header: Location: <blob-push-location>",
		check: func(t *registryTest) {
			a := t.post(uploadsURL(t.repo()))
			t.want(a, http.StatusAccepted)
			t.location(a)
		},
	},
	{
		Category: "push", Name: "upload has a UUID", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "The `<blob-push-location>` MUST contain a UUID representing a unique session ID for the upload to follow.",
		check: func(t *registryTest) {
			a := t.post(uploadsURL(t.repo()))
			t.want(a, http.StatusAccepted)
			if location := t.location(a); !uuid.MatchString(location) {
				t.violated("there is no UUID in the Location %s", location)
			}
		},
	},
	{
		Category: "push", Name: "upload has a session of its own", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "The `<blob-push-location>` MUST contain a UUID representing a unique session ID for the upload to follow.",
		check: func(t *registryTest) {
			repo := t.repo()
			one, two := t.start(repo), t.start(repo)
			if one == two {
				t.violated("two uploads have the same Location: %s", one)
			}
			contents := [][]byte{t.bytes(100), t.bytes(200)}
			for i, location := range []string{two, one} {
				t.want(t.put(param(location, "digest", string(digest.FromBytes(contents[i]))), contents[i], "Content-Type", octetStream), http.StatusCreated)
			}
			for _, content := range contents {
				a := t.get(blobURL(repo, digest.FromBytes(content)))
				t.want(a, http.StatusOK)
				t.wantBody(a, content)
			}
		},
	},
	{
		Category: "push", Name: "upload ends with 201 and the Location of the blob", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "Upon successful completion of the request, the response MUST have code `201 Created` and MUST have the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(100_000)
			a := t.put(param(t.start(repo), "digest", string(digest.FromBytes(content))), content, "Content-Type", octetStream)
			t.wantCreated(a, content)
		},
	},
	{
		Category: "push", Name: "blob may be pushed again", Section: postThenPut, Level: Must, Since: "1.0",
		Text: "Upon successful completion of the request, the response MUST have code `201 Created` and MUST have the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(repo, content)
			a := t.put(param(t.start(repo), "digest", string(d)), content, "Content-Type", octetStream)
			t.wantPushed(a, blobURL(repo, d), content)
		},
	},
	{
		Category: "push", Name: "invalid digest is 400", Section: pushingBlobs, Level: Should, Since: "main",
		Text: "In each implementation, if the client provided digest is invalid or uses an unsupported algorithm, the registry SHOULD respond with a response code `400 Bad Request`.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			for _, d := range []string{"sha256:0123", "sha256:" + digest.FromBytes(content).Encoded()[1:] + "g", "nothing", "md4:d79e1c308aa5bbcdeea8ed63df412da9"} {
				t.want(t.put(param(t.start(repo), "digest", d), content, "Content-Type", octetStream), http.StatusBadRequest)
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
		Category: "push", Name: "content of another digest is not taken", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "`DIGEST_INVALID` provided digest did not match uploaded content",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.absentDigest()
			a := t.put(param(t.start(repo), "digest", string(d)), content, "Content-Type", octetStream)
			t.wantRefused(a, "content that the digest is not of")
			t.wantAbsent(repo, d, digest.FromBytes(content))
		},
	},
	{
		Category: "push", Name: "single POST ends with 201 and the Location of the blob", Section: singlePost, Level: Must, Since: "1.0", with: []Feature{FeatureSinglePost},
		Text: "Successful completion of the request MUST return a `201 Created` and MUST include the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			t.wantCreated(t.postBlob(repo, digest.FromBytes(content), content), content)
		},
	},
	{
		Category: "push", Name: "single POST of another digest is not taken", Section: singlePost, Level: Must, Since: "1.0", with: []Feature{FeatureSinglePost},
		Text: "Likewise, the `<digest>` MUST match the blob's digest.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			d := t.absentDigest()
			t.wantRefused(t.postBlob(repo, d, content), "content that the digest is not of")
			t.wantAbsent(repo, d, digest.FromBytes(content))
		},
	},
	{
		Category: "push", Name: "single POST is 202 where it is not supported", Section: singlePost, Level: Should, Since: "1.0", without: []Feature{FeatureSinglePost},
		Text: "Registries that do not support single request monolithic uploads SHOULD return a `202 Accepted` status code and `Location` header and clients SHOULD proceed with a subsequent PUT request, as described by the POST then PUT upload method.",
		check: func(t *registryTest) {
			repo := t.repo()
			content := t.bytes(1000)
			a := t.postBlob(repo, digest.FromBytes(content), content)
			t.wantUpload(a, content)
		},
	},
}

// mountRequirements are those of taking a blob from another repository.
var mountRequirements = []Requirement{
	{
		Category: "push", Name: "mount is 201 with the Location of the blob", Section: mountingABlob, Level: Must, Since: "1.0", with: []Feature{FeatureMount},
		Text: "The response to a successful mount MUST be `201 Created`, and MUST contain the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(from, content)
			t.wantCreated(t.post(mountURL(repo, d, from)), content)
			a := t.get(blobURL(repo, d))
			t.want(a, http.StatusOK)
			t.wantBody(a, content)
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
		Category: "push", Name: "mount starts an upload where it is not supported", Section: mountingABlob, Level: Should, Since: "1.0", without: []Feature{FeatureMount},
		Text: "Alternatively, if a registry does not support cross-repository mounting or is unable to mount the requested blob, it SHOULD return a `202`.",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			t.wantUpload(t.post(mountURL(repo, t.pushBlob(from, content), from)), content)
		},
	},
	{
		Category: "push", Name: "anonymous mount finds the blob", Section: mountingABlob, Level: Must, Since: "1.1", with: []Feature{FeatureMount, FeatureAnonymousMount},
		Text: "The registry MAY treat the `from` parameter as optional, and it MAY cross-mount the blob if it can be found.",
		check: func(t *registryTest) {
			repo, from := t.repo(), t.repo()
			content := t.bytes(1000)
			d := t.pushBlob(from, content)
			t.wantPushed(t.post(mountURL(repo, d, "")), blobURL(repo, d), content)
		},
	},
	{
		Category: "push", Name: "anonymous mount starts an upload where it is not supported", Section: mountingABlob, Level: Should, Since: "1.1", without: []Feature{FeatureAnonymousMount},
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

// postBlob pushes a blob with a single POST.
func (t *registryTest) postBlob(repo string, d digest.Digest, content []byte) *answer {
	t.Helper()
	return t.do(call{method: "POST", url: param(uploadsURL(repo), "digest", string(d)), header: []string{"Content-Type", octetStream}, body: content})
}

// wantCreated reports a violation unless the answer is 201 and its Location
// leads to the content.
func (t *registryTest) wantCreated(a *answer, content []byte) {
	t.Helper()
	t.want(a, http.StatusCreated)
	pulled := t.get(t.location(a))
	if pulled.StatusCode != http.StatusOK {
		t.violated("the Location that was given leads to %s", pulled.Status)
	}
	t.wantBody(pulled, content)
}

// wantPushed reports a violation unless the answer is 201 and the content is
// at the URL.
func (t *registryTest) wantPushed(a *answer, url string, content []byte) {
	t.Helper()
	t.want(a, http.StatusCreated)
	pulled := t.get(url)
	t.want(pulled, http.StatusOK)
	t.wantBody(pulled, content)
}

// wantUpload reports a violation unless the answer starts an upload, to which
// the content can be pushed.
func (t *registryTest) wantUpload(a *answer, content []byte) {
	t.Helper()
	t.want(a, http.StatusAccepted)
	a = t.put(param(t.location(a), "digest", string(digest.FromBytes(content))), content, "Content-Type", octetStream)
	t.want(a, http.StatusCreated)
}

// wantAbsent reports a violation if one of the blobs is there.
func (t *registryTest) wantAbsent(repo string, blobs ...digest.Digest) {
	t.Helper()
	for _, d := range blobs {
		if a := t.head(blobURL(repo, d)); a.StatusCode == http.StatusOK {
			t.violated("what was refused is there")
		}
	}
}

// codesIn returns the codes of the errors in the body of an answer, as the
// section Error Codes has them.
func codesIn(a *answer) (codes []string, err error) {
	var body struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	err = json.Unmarshal(a.body, &body)
	for _, e := range body.Errors {
		codes = append(codes, e.Code)
	}
	return codes, err
}
