package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// wantUpload fails the test unless the response has the status, the Location of
// an upload session of the repository, and a Range for size bytes. It returns
// the Location.
func (t *registryTest) wantUpload(status int, a *httptest.ResponseRecorder, repo string, size int) string {
	t.Helper()
	t.want(status, a)
	location := a.Header().Get("Location")
	require.Regexp(t, `^/v2/`+repo+`/blobs/uploads/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, location)
	require.Equal(t, location[strings.LastIndex(location, "/")+1:], a.Header().Get("Docker-Upload-UUID"))
	require.Equal(t, fmt.Sprintf("0-%d", max(size-1, 0)), a.Header().Get("Range"))
	return location
}

// finish closes an upload with a PUT whose body is rest.
func (t *registryTest) finish(location string, d digest.Digest, rest string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return t.call("PUT", location+"?digest="+url.QueryEscape(string(d)), rest, header...)
}

// wantNoUpload fails the test unless every request to the upload session gets
// BLOB_UPLOAD_UNKNOWN.
func (t *registryTest) wantNoUpload(location string) {
	t.Helper()
	t.wantError(404, t.call("GET", location, ""), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.call("PATCH", location, "x"), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.chunk(location, 0, "x"), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.finish(location, sum("x"), "x"), registry.CodeBlobUploadUnknown)
	t.wantError(404, t.call("DELETE", location, ""), registry.CodeBlobUploadUnknown)
}

// A client can push a blob by a POST and a PUT (the spec's section POST then
// PUT).
func TestUploadAtOnce(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, path := range []string{"/v2/team/app/blobs/uploads/", "/v2/team/app/blobs/uploads"} {
			for _, content := range []string{"", "hello", strings.Repeat("large", 100_000)} {
				a := t.call("POST", path, "")
				location := t.wantUpload(202, a, "team/app", 0)
				require.Equal(t, "0", a.Header().Get("Content-Length"))
				require.Empty(t, a.Header().Get("OCI-Chunk-Min-Length"))
				d := sum(content)
				a = t.want(201, t.finish(location, d, content, "Content-Type", "application/octet-stream"))
				require.Equal(t, "/v2/team/app/blobs/"+string(d), a.Header().Get("Location"))
				require.Equal(t, string(d), a.Header().Get("Docker-Content-Digest"))
				require.Equal(t, "0", a.Header().Get("Content-Length"))
				t.wantPulled("/v2/team/app/blobs/"+string(d), content)
				t.wantNoUpload(location)
			}
		}
	})
}

// A client can push a blob in chunks (the spec's section Pushing a blob in
// chunks). The PUT may have the last chunk or no body, and chunks may have no
// Content-Range.
func TestUploadInChunks(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		d := sum(content)
		blob := "/v2/app/blobs/" + string(d)
		for _, tt := range []struct{ chunks, last string }{
			{"5,5", ""}, {"5", "5"}, {"1,1,1,1,1,1,1,1,1,1", ""}, {"9", "1"}, {"", "10"}, {"10", ""},
		} {
			for _, ranged := range []bool{true, false} {
				location := t.start("app")
				sent := 0
				for size := range strings.SplitSeq(tt.chunks, ",") {
					n, _ := strconv.Atoi(size)
					if n == 0 {
						continue
					}
					var header []string
					if ranged {
						header = []string{"Content-Range", fmt.Sprintf("%d-%d", sent, sent+n-1)}
					}
					a := t.call("PATCH", location, content[sent:sent+n], header...)
					sent += n
					require.Equal(t, location, t.wantUpload(202, a, "app", sent))
					require.Equal(t, "0", a.Header().Get("Content-Length"))
					require.Equal(t, location, t.wantUpload(204, t.call("GET", location, ""), "app", sent))
					t.wantUpload(204, t.call("HEAD", location, ""), "app", sent)
				}
				var header []string
				if ranged && tt.last != "" {
					header = []string{"Content-Range", fmt.Sprintf("%d-%d", sent, len(content)-1)}
				}
				t.want(404, t.call("GET", blob, ""))
				t.want(201, t.finish(location, d, content[sent:], header...))
				t.wantPulled(blob, content)
				t.wantNoUpload(location)
				t.want(202, t.call("DELETE", blob, ""))
			}
		}
	})
}

// The response to a chunk out of order is 416. It tells the client where to
// continue.
func TestChunkOutOfOrder(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		location := t.start("app")
		refused := func(a *httptest.ResponseRecorder, size int) {
			t.Helper()
			t.wantError(416, a, registry.CodeBlobUploadInvalid)
			require.Equal(t, location, t.wantUpload(416, a, "app", size))
		}
		refused(t.chunk(location, 1, "1"), 0)
		t.want(202, t.chunk(location, 0, content[:4]))
		for _, first := range []int{0, 3, 5, 100} {
			refused(t.chunk(location, first, "4"), 4)
			refused(t.finish(location, sum(content), "4", "Content-Range", fmt.Sprintf("%d-%d", first, first)), 4)
		}
		t.want(202, t.chunk(location, 4, content[4:]))
		t.want(201, t.finish(location, sum(content), ""))
		t.wantPulled("/v2/app/blobs/"+string(sum(content)), content)
	})
}

func TestContentRangeMustBeOne(t *testing.T) {
	overStores(t, func(t *registryTest) {
		location := t.start("app")
		for _, header := range []string{
			"bytes 0-4/5", "bytes=0-4", "0-4/5", "0-", "-4", "0", "4-0", "a-b", "0 - 4", "+0-4", "0--4", "0-99999999999999999999", "0-4,5-9", "0-4-",
		} {
			// The Docker Registry HTTP API V2, PATCH Blob Upload, requires 416 for a
			// Content-Range if "it is invalid".
			for _, a := range []*httptest.ResponseRecorder{
				t.call("PATCH", location, "01234", "Content-Range", header), t.finish(location, sum("01234"), "01234", "Content-Range", header),
			} {
				t.wantError(416, a, registry.CodeBlobUploadInvalid)
				t.wantUpload(416, a, "app", 0)
			}
		}
		for _, header := range []string{"0-3", "0-5", "0-9223372036854775807"} {
			t.wantError(400, t.call("PATCH", location, "01234", "Content-Range", header), registry.CodeSizeInvalid)
		}
		// The registry has stored none of these chunks.
		t.wantUpload(204, t.call("GET", location, ""), "app", 0)
		t.want(202, t.call("PATCH", location, "01234", "Content-Range", "0-4"))
		t.want(201, t.finish(location, sum("01234"), ""))
	})
}

// If the length of a body is unknown and does not match its Content-Range, the
// registry notices only after the body has arrived. The session then ends.
func TestBodyIsNotAsLongAsItsContentRange(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, body := range []string{"0123", "012345"} {
			location := t.start("app")
			r := httptest.NewRequest("PATCH", location, strings.NewReader(body))
			r.ContentLength = -1
			r.Header.Set("Content-Range", "0-4")
			w := httptest.NewRecorder()
			t.ServeHTTP(w, r)
			t.wantError(400, w, registry.CodeSizeInvalid)
			t.wantNoUpload(location)
			t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum(body)), ""))
		}
	})
}

func TestContentOfAnotherDigestIsNotStored(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, chunks := range []bool{true, false} {
			location, rest := t.start("app"), "content"
			if chunks {
				t.want(202, t.chunk(location, 0, rest))
				rest = ""
			}
			t.wantError(400, t.finish(location, sum("other"), rest), registry.CodeDigestInvalid)
			for _, content := range []string{"other", "content"} {
				t.want(404, t.call("GET", "/v2/app/blobs/"+string(sum(content)), ""))
			}
			t.wantNoUpload(location)
		}
		// After a malformed digest, the session continues.
		location := t.start("app")
		for _, d := range []digest.Digest{"", "x", "sha256:x", "md5:9a0364b9e99bb480dd25e1f0284c8555", "sha256-" + digest.Digest(sum("x").Encoded())} {
			t.wantError(400, t.finish(location, d, "content"), registry.CodeDigestInvalid)
		}
		t.wantError(400, t.call("PUT", location, "content"), registry.CodeDigestInvalid)
		t.wantUpload(204, t.call("GET", location, ""), "app", 0)
		t.want(201, t.finish(location, sum("content"), "content"))
	})
}

// With WithMinChunk, the registry sends OCI-Chunk-Min-Length and refuses a chunk
// that follows one below this minimum.
func TestMinimumOfChunks(t *testing.T) {
	overStores(t, func(t *registryTest) {
		start := func() string {
			a := t.want(202, t.call("POST", "/v2/app/blobs/uploads/", ""))
			require.Equal(t, "5", a.Header().Get("OCI-Chunk-Min-Length"))
			return a.Header().Get("Location")
		}
		// The last chunk may be shorter, even if it is the only one.
		location := start()
		t.want(202, t.chunk(location, 0, "01234"))
		t.want(202, t.chunk(location, 5, "567890"))
		t.want(202, t.chunk(location, 11, "1"))
		t.want(201, t.finish(location, sum("012345678901"), ""))
		location = start()
		t.want(202, t.chunk(location, 0, "01234"))
		t.want(201, t.finish(location, sum("012345"), "5", "Content-Range", "5-5"))
		t.want(201, t.finish(start(), sum("0"), "0"))

		// The registry refuses a chunk that follows one below the minimum.
		for _, finish := range []bool{true, false} {
			for _, header := range [][]string{{"Content-Range", "3-7"}, nil} {
				location = start()
				t.want(202, t.chunk(location, 0, "012"))
				if finish {
					t.wantError(400, t.finish(location, sum("01234567"), "34567", header...), registry.CodeSizeInvalid)
				} else {
					t.wantError(400, t.call("PATCH", location, "34567", header...), registry.CodeSizeInvalid)
				}
				// A closing PUT without a body can still follow a short chunk.
				t.wantUpload(204, t.call("GET", location, ""), "app", 3)
				t.want(201, t.finish(location, sum("012"), ""))
			}
		}
		// If a chunk is out of order, the response is 416, even if it also follows a
		// short chunk.
		location = start()
		t.want(202, t.chunk(location, 0, "012"))
		t.want(416, t.chunk(location, 0, "01234"))

		// If a chunk breaks off, the client may send its rest.
		location = start()
		t.want(202, t.chunk(location, 0, "01234"))
		r := httptest.NewRequest("PATCH", location, io.MultiReader(strings.NewReader("5"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		r.Header.Set("Content-Range", "5-7")
		w := httptest.NewRecorder()
		t.ServeHTTP(w, r)
		t.wantUpload(416, w, "app", 6)
		t.want(202, t.chunk(location, 6, "67"))
		t.want(201, t.finish(location, sum("01234567"), ""))
	}, registry.WithMinChunk(5))
}

// Over a network, a client can push a large blob in two streams, each to the
// Location of the previous response.
func TestUploadOverANetwork(t *testing.T) {
	overStores(t, func(t *registryTest) {
		server := httptest.NewServer(t)
		t.Cleanup(server.Close)
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		d := sum(content)
		a, err := server.Client().Post(server.URL+"/v2/app/blobs/uploads/", "", nil)
		require.NoError(t, err)
		a.Body.Close()
		location, err := a.Location()
		require.NoError(t, err)
		// Like Docker, send the blob as a stream of unknown length.
		for half := range 2 {
			r, err := http.NewRequest("PATCH", location.String(), unknownLength{bytes.NewReader(content[half*len(content)/2 : (half+1)*len(content)/2])})
			require.NoError(t, err)
			a, err = server.Client().Do(r)
			require.NoError(t, err)
			a.Body.Close()
			require.Equal(t, 202, a.StatusCode)
			location, err = a.Location()
			require.NoError(t, err)
		}
		location.RawQuery = "digest=" + string(d)
		r, err := http.NewRequest("PUT", location.String(), nil)
		require.NoError(t, err)
		a, err = server.Client().Do(r)
		require.NoError(t, err)
		a.Body.Close()
		require.Equal(t, 201, a.StatusCode)
		require.True(t, bytes.Equal(content, t.call("GET", "/v2/app/blobs/"+string(d), "").Body.Bytes()))
	})
}

// A closing PUT without a body has no chunk, so the registry ignores its
// Content-Range, as other registries do. The client of package cue sends an
// empty range.
func TestClosingPUTWithoutBodyMayHaveAContentRange(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for content, ranges := range map[string][]string{"012345678": {"9-8", "9-9", "0-8"}, "": {"0-0", "0--1"}} {
			for _, r := range ranges {
				location := t.start("app")
				if content != "" {
					t.want(202, t.chunk(location, 0, content))
				}
				t.want(201, t.finish(location, sum(content), "", "Content-Range", r))
				t.wantPulled("/v2/app/blobs/"+string(sum(content)), content)
			}
		}
		// The Content-Range of a PUT with a body must fit the body.
		t.wantError(416, t.finish(t.start("app"), sum("x"), "x", "Content-Range", "1-1"), registry.CodeBlobUploadInvalid)
	})
}

// http.NewRequest sets ContentLength to 0 if it does not know the length of a
// reader. A handler must treat that as an unknown length.
func TestBodyOfUnknownLengthOfANewRequest(t *testing.T) {
	overStores(t, func(t *registryTest) {
		send := func(method, target, body string, header ...string) *httptest.ResponseRecorder {
			r, err := http.NewRequest(method, target, struct{ *strings.Reader }{strings.NewReader(body)})
			require.NoError(t, err)
			require.Zero(t, r.ContentLength)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			t.ServeHTTP(w, r)
			return w
		}
		t.want(201, send("POST", "/v2/app/blobs/uploads/?digest="+string(sum("x")), "x"))
		t.want(201, send("PUT", t.start("app")+"?digest="+string(sum("y")), "y"))
		location := t.start("app")
		t.want(202, send("PATCH", location, "abc", "Content-Range", "0-2"))
		t.want(202, send("PATCH", location, "d"))
		t.want(201, send("PUT", location+"?digest="+string(sum("abcd")), "", "Content-Range", "4-3"))
		m := t.image("app")
		t.want(201, send("PUT", "/v2/app/manifests/v1", m, "Content-Type", imageType))
		t.wantPulled("/v2/app/manifests/v1", m)
		// If the request has a Content-Length of 0 in its header, the length is
		// known.
		t.wantError(400, send("POST", "/v2/app/blobs/uploads/?digest="+string(sum("x")), "x", "Content-Length", "0"), registry.CodeSizeInvalid)
	})
}

// If a chunk is out of order, the response is 416, even if its length is also
// wrong. Pushing a blob in chunks: "If a chunk is uploaded out of order, the
// registry MUST respond with a 416".
func TestChunkOutOfOrderThatDoesNotFit(t *testing.T) {
	overStores(t, func(t *registryTest) {
		location := t.start("app")
		t.wantError(416, t.call("PATCH", location, "abc", "Content-Range", "5-9"), registry.CodeBlobUploadInvalid)
		t.wantError(400, t.call("PATCH", location, "abc", "Content-Range", "0-9"), registry.CodeSizeInvalid)
	})
}
