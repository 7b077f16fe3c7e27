package conformance

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

const (
	pushingInChunks = "Pushing a blob in chunks"
	cancelAnUpload  = "Cancel a blob upload"
	streamUpload    = dockerAPI + "Stream upload"
)

// uploadRequirements are the requirements of blobs pushed in several requests.
var uploadRequirements = []Requirement{
	{
		Category: "push", Name: "chunk is 202 with Location and Range", Section: pushingInChunks, Level: Must, Since: "1.1",
		Text: "The response for each successful chunk upload MUST be `202 Accepted`, and MUST have the following headers: Location: <blob-push-location> Range: 0-<end-of-range>",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(3 * u.chunk)
			for first := 0; first < len(content); first += u.chunk {
				r := t.sendChunk(u, content, first, first+u.chunk)
				t.want(r, http.StatusAccepted)
				u.location = t.location(r)
				t.wantHeader(r, "Range", fmt.Sprintf("0-%d", first+u.chunk-1))
			}
		},
	},
	{
		Category: "push", Name: "upload in chunks ends with 201 and the Location of the blob", Section: pushingInChunks, Level: Must, Since: "1.0",
		Text: "The response to a successful closing of the session MUST be `201 Created`, and MUST contain the following header: Location: <blob-location>",
		check: func(t *registryTest) {
			repo := t.repo()
			for _, inPut := range []int{0, 1, 100} {
				u := t.chunked(repo)
				sent := 2 * u.chunk
				content := t.bytes(sent + inPut)
				t.sendChunks(u, content[:sent])
				t.wantCreated(t.finish(u, content, sent), content)
			}
		},
	},
	{
		Category: "push", Name: "minimum chunk size is announced", Section: pushingInChunks, Level: Should, Since: "1.1",
		Text: "If the registry has a minimum chunk size, the `POST` response SHOULD include the following header, where `<size>` is the size in bytes (see the blob `PATCH` definition for usage): OCI-Chunk-Min-Length: <size>",
		check: func(t *registryTest) {
			repo := t.repo()
			u := t.chunked(repo)
			if u.chunk == defaultChunk {
				u.chunk = 1 // The registry announced no minimum above defaultChunk.
			}
			content := t.bytes(2*u.chunk + 1)
			t.sendChunks(u, content[:2*u.chunk])
			t.wantPushed(t.finish(u, content, 2*u.chunk), blobURL(repo, digest.FromBytes(content)), content)
		},
	},
	{
		Category: "push", Name: "chunk out of order is 416", Section: pushingInChunks, Level: Must, Since: "1.0",
		Text: "If a chunk is uploaded out of order, the registry MUST respond with a `416 Requested Range Not Satisfiable` code.",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(3 * u.chunk)
			t.want(t.sendChunk(u, content, u.chunk, 2*u.chunk), http.StatusRequestedRangeNotSatisfiable)
			t.sendChunks(u, content[:u.chunk])
			for _, first := range []int{0, u.chunk - 1, u.chunk + 1, 2 * u.chunk} {
				t.want(t.sendChunk(u, content, first, first+u.chunk-1), http.StatusRequestedRangeNotSatisfiable)
			}
		},
	},
	{
		Category: "push", Name: "chunk out of order is 416 whatever its length", Section: pushingInChunks, Level: Must, Since: "1.0",
		Text: "If a chunk is uploaded out of order, the registry MUST respond with a `416 Requested Range Not Satisfiable` code.",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(2 * u.chunk)
			t.sendChunks(u, content[:u.chunk])
			for _, header := range []string{fmt.Sprintf("%d-%d", 2*u.chunk, 2*u.chunk), "0-0", fmt.Sprintf("0-%d", 5*u.chunk)} {
				t.want(t.patch(u.location, content[u.chunk:], "Content-Type", octetStream, "Content-Range", header), http.StatusRequestedRangeNotSatisfiable)
			}
		},
	},
	{
		Category: "push", Name: "invalid Content-Range is 416", Section: dockerAPI + "Chunked Upload", Level: Should, Since: "1.0",
		Text: "A 416 will be returned under the following conditions: - Invalid Content-Range header format",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(u.chunk)
			for _, header := range []string{"x", "0-", "-5", "5-1", "0--1", "+0-9"} {
				t.want(t.patch(u.location, content, "Content-Type", octetStream, "Content-Range", header), http.StatusRequestedRangeNotSatisfiable)
			}
		},
	},
	{
		Category: "push", Name: "upload continues after a chunk out of order", Section: pushingInChunks, Level: Must, Since: "1.1",
		Text: "A GET request may be used to retrieve the current valid offset and upload location.",
		check: func(t *registryTest) {
			repo := t.repo()
			u := t.chunked(repo)
			content := t.bytes(3 * u.chunk)
			t.sendChunks(u, content[:u.chunk])
			t.want(t.sendChunk(u, content, 2*u.chunk, 3*u.chunk), http.StatusRequestedRangeNotSatisfiable)
			r := t.get(u.location)
			t.want(r, http.StatusNoContent)
			t.wantHeader(r, "Range", fmt.Sprintf("0-%d", u.chunk-1))
			u.location = t.location(r)
			r = t.sendChunk(u, content, u.chunk, len(content))
			t.want(r, http.StatusAccepted)
			u.location = t.location(r)
			t.wantPushed(t.finish(u, content, len(content)), blobURL(repo, digest.FromBytes(content)), content)
		},
	},
	{
		Category: "push", Name: "final chunk out of order is 416", Section: pushingInChunks, Level: Must, Since: "main",
		Text: "If the final chunk is uploaded out of order, the registry MUST respond with a `416 Requested Range Not Satisfiable` code.",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(3 * u.chunk)
			t.sendChunks(u, content[:u.chunk])
			t.want(t.finish(u, content, 2*u.chunk), http.StatusRequestedRangeNotSatisfiable)
		},
	},
	{
		Category: "push", Name: "status of an upload is 204 with Location and Range", Section: pushingInChunks, Level: Must, Since: "1.1",
		Text: "The response to an active upload `<blob-push-location>` MUST be a `204 No Content` response code, and MUST have the following headers: Location: <blob-push-location> Range: 0-<end-of-range>",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(2 * u.chunk)
			for end := u.chunk; end <= len(content); end += u.chunk {
				t.prepare("uploading a chunk", func() {
					r := t.sendChunk(u, content, end-u.chunk, end)
					t.want(r, http.StatusAccepted)
					u.location = t.location(r)
				})
				r := t.get(u.location)
				t.want(r, http.StatusNoContent)
				u.location = t.location(r)
				t.wantHeader(r, "Range", fmt.Sprintf("0-%d", end-1))
			}
		},
	},
	{
		Category: "push", Name: "digest algorithm other than sha256", Section: pushingInChunks, Level: Must, Since: "main", with: features{registry.SHA512},
		Text: "Here, `<digest-algorithm>` is the algorithm the registry should use for the blob, e.g. `digest-algorithm=sha512`.",
		check: func(t *registryTest) {
			repo := t.repo()
			r := t.post(param(uploadsURL(repo), "digest-algorithm", "sha512"))
			t.want(r, http.StatusAccepted)
			content := t.bytes(1000)
			d := digest.SHA512.FromBytes(content)
			t.wantPushed(t.end(t.location(r), d, content), blobURL(repo, d), content)
		},
	},
	{
		Category: "push", Name: "chunk without Content-Range is appended", Section: streamUpload, Level: Must, Since: "1.0", with: features{registry.StreamUpload},
		Text: "The stream of data has been accepted and the current progress is available in the range header. The updated upload location is available in the `Location` header.",
		check: func(t *registryTest) {
			repo := t.repo()
			u := t.chunked(repo)
			content := t.bytes(2 * u.chunk)
			r := t.patch(u.location, content, "Content-Type", octetStream)
			t.want(r, http.StatusAccepted)
			u.location = t.location(r)
			t.wantHeader(r, "Range", fmt.Sprintf("0-%d", len(content)-1))
			t.wantPushed(t.finish(u, content, len(content)), blobURL(repo, digest.FromBytes(content)), content)
		},
	},
	{
		Category: "push", Name: "cancelling an upload is 204", Section: cancelAnUpload, Level: Should, Since: "main", with: features{registry.CancelUpload},
		Text: "If successful, the response SHOULD be a `204 No Content` response code.",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			t.sendChunks(u, t.bytes(u.chunk))
			t.want(t.delete(u.location), http.StatusNoContent)
		},
	},
	{
		Category: "push", Name: "cancelled upload is unknown", Section: cancelAnUpload, Level: Must, Since: "main", with: features{registry.CancelUpload},
		Text: "During a blob upload, the session may be canceled with a `DELETE` request",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(2 * u.chunk)
			t.sendChunks(u, content[:u.chunk])
			t.prepare("cancelling the upload", func() {
				if r := t.delete(u.location); r.StatusCode/100 != 2 {
					t.violated("the status is %s, not 2xx", r.Status)
				}
			})
			t.wantUnknown(u, content, u.chunk)
		},
	},
	{
		Category: "push", Name: "finished upload is unknown", Section: errorCodes, Level: Must, Since: "1.0",
		Text: "`BLOB_UPLOAD_UNKNOWN` blob upload unknown to registry",
		check: func(t *registryTest) {
			u := t.chunked(t.repo())
			content := t.bytes(2 * u.chunk)
			t.sendChunks(u, content[:u.chunk])
			t.prepare("finishing the upload", func() {
				t.want(t.finish(u, content[:u.chunk], u.chunk), http.StatusCreated)
			})
			t.wantUnknown(u, content, u.chunk)
		},
	},
}

// defaultChunk is the size in bytes of chunks for a registry without a minimum.
const defaultChunk = 100

// A chunkedUpload is an upload session to which a check sends a blob in chunks.
type chunkedUpload struct {
	location string
	chunk    int // size in bytes of chunks that the registry accepts
}

// chunked starts an upload session in the repository.
func (t *registryTest) chunked(repo string) *chunkedUpload {
	t.Helper()
	u := &chunkedUpload{chunk: defaultChunk}
	t.prepare("starting an upload", func() {
		r := t.post(uploadsURL(repo))
		t.want(r, http.StatusAccepted)
		u.location = t.location(r)
		if text := r.Header.Get("OCI-Chunk-Min-Length"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n <= 0 {
				t.violated("OCI-Chunk-Min-Length is %q, not a positive number", text)
			}
			u.chunk = max(n, u.chunk)
		}
	})
	return u
}

// sendChunk sends bytes first to end-1 of the content in a PATCH. Bytes beyond
// the end of the content are zero.
func (t *registryTest) sendChunk(u *chunkedUpload, content []byte, first, end int) *response {
	t.Helper()
	if end > len(content) {
		content = append(content[:len(content):len(content)], make([]byte, end-len(content))...)
	}
	return t.patch(u.location, content[first:end], "Content-Type", octetStream, "Content-Range", fmt.Sprintf("%d-%d", first, end-1))
}

// sendChunks sends the whole content in chunks.
func (t *registryTest) sendChunks(u *chunkedUpload, content []byte) {
	t.Helper()
	t.prepare("uploading a chunk", func() {
		for first := 0; first < len(content); first += u.chunk {
			r := t.sendChunk(u, content, first, min(first+u.chunk, len(content)))
			t.want(r, http.StatusAccepted)
			u.location = t.location(r)
		}
	})
}

// finish ends an upload session with a PUT of the content from byte first on,
// and returns the response.
func (t *registryTest) finish(u *chunkedUpload, content []byte, first int) *response {
	t.Helper()
	var header []string
	if first < len(content) {
		header = []string{"Content-Type", octetStream, "Content-Range", fmt.Sprintf("%d-%d", first, len(content)-1)}
	}
	return t.put(param(u.location, "digest", string(digest.FromBytes(content))), content[first:], header...)
}

// wantUnknown reports a violation unless the registry has forgotten the upload
// session, which had received the content up to byte first.
func (t *registryTest) wantUnknown(u *chunkedUpload, content []byte, first int) {
	t.Helper()
	t.want(t.get(u.location), http.StatusNotFound)
	t.want(t.sendChunk(u, content, first, len(content)), http.StatusNotFound)
	t.want(t.finish(u, content, first), http.StatusNotFound)
}
