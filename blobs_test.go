package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

func TestBlobIsServed(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, content := range []string{"", "x", "hello", strings.Repeat("0123456789", 200_000)} {
			d := string(t.pushBlob("team/app", content))
			for _, method := range []string{"GET", "HEAD"} {
				a := t.want(200, t.call(method, "/v2/team/app/blobs/"+d, ""))
				require.Equal(t, "application/octet-stream", a.Header().Get("Content-Type"))
				require.Equal(t, strconv.Itoa(len(content)), a.Header().Get("Content-Length"))
				require.Equal(t, d, a.Header().Get("Docker-Content-Digest"))
				require.Equal(t, `"`+d+`"`, a.Header().Get("ETag"))
				require.Equal(t, "bytes", a.Header().Get("Accept-Ranges"))
				if method == "GET" {
					require.True(t, content == a.Body.String())
				} else {
					require.Zero(t, a.Body.Len())
				}
			}
		}
	})
}

func TestBlobThatIsNotThere(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushBlob("app", "x")
		for _, method := range []string{"GET", "HEAD", "DELETE"} {
			t.want(404, t.call(method, "/v2/app/blobs/"+string(sum("y")), ""))
			t.want(404, t.call(method, "/v2/other/blobs/"+string(sum("x")), ""))
			t.want(400, t.call(method, "/v2/app/blobs/sha256:x", ""))
			t.want(400, t.call(method, "/v2/app/blobs/x", ""))
		}
		t.wantError(404, t.call("GET", "/v2/app/blobs/"+string(sum("y")), ""), registry.CodeBlobUnknown)
		t.wantError(404, t.call("GET", "/v2/other/blobs/"+string(sum("x")), ""), registry.CodeNameUnknown)
		t.wantError(400, t.call("GET", "/v2/app/blobs/sha256:x", ""), registry.CodeDigestInvalid)
		require.Zero(t, t.call("HEAD", "/v2/app/blobs/"+string(sum("y")), "").Body.Len())
	})
}

// A client may percent-encode any character of the path.
func TestPathMayBePercentEncoded(t *testing.T) {
	overStores(t, func(t *registryTest) {
		t.pushBlob("team/app", "x")
		m := t.pushImage("team/app", "v1.0_a-b")
		escaped := "sha256%3A" + sum("x").Encoded()
		t.wantPulled("/v2/team/app/blobs/"+escaped, "x")
		t.wantPulled("/v2/team%2Fapp/blobs/"+escaped, "x")
		t.wantPulled("/v2/team/app/manifests/v1%2E0%5Fa%2Db", m)
		t.wantPulled("/v2/team/app/manifests/sha256%3a"+sum(m).Encoded(), m)
		t.want(201, t.call("POST", "/v2/team/app/blobs/uploads/?digest="+escaped, "x"))
	})
}

// RFC 9110, section 14: a GET request with a Range gets a part of the blob or
// manifest.
func TestPartsOfABlob(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const content = "0123456789"
		path := "/v2/app/blobs/" + string(t.pushBlob("app", content))
		for _, tt := range []struct {
			header      string
			first, last int // the first and last byte of the part; first is -1 if the range is not satisfiable
		}{
			{"bytes=0-", 0, 9}, {"bytes=0-0", 0, 0}, {"bytes=5-9", 5, 9}, {"bytes=5-5", 5, 5}, {"bytes=9-", 9, 9},
			{"bytes=5-100", 5, 9}, {"bytes=-3", 7, 9}, {"bytes=-10", 0, 9}, {"bytes=-100", 0, 9}, {"bytes= 1-2 ", 1, 2},
			{"bytes=10-", -1, 0}, {"bytes=10-20", -1, 0}, {"bytes=99999999999999999999-", -1, 0}, {"bytes=11-,20-", -1, 0}, {"bytes=-0", -1, 0},
		} {
			a := t.call("GET", path, "", "Range", tt.header)
			if tt.first < 0 {
				t.wantError(416, a, registry.CodeSizeInvalid)
				require.Equal(t, "bytes */10", a.Header().Get("Content-Range"), tt.header)
				continue
			}
			t.want(206, a)
			require.Equal(t, content[tt.first:tt.last+1], a.Body.String(), tt.header)
			require.Equal(t, fmt.Sprintf("bytes %d-%d/10", tt.first, tt.last), a.Header().Get("Content-Range"))
			require.Equal(t, strconv.Itoa(tt.last+1-tt.first), a.Header().Get("Content-Length"))
			require.Equal(t, string(sum(content)), a.Header().Get("Docker-Content-Digest"))
			require.Equal(t, "application/octet-stream", a.Header().Get("Content-Type"))
		}
		// The registry ignores a Range that does not begin with "bytes=", and the Range
		// of a HEAD request. A server may ignore any Range (RFC 9110, section 14.2).
		for _, header := range []string{"lines=1-2", "octets", "Bytes=0-1", "x"} {
			require.Equal(t, content, t.want(200, t.call("GET", path, "", "Range", header)).Body.String(), header)
		}
		for _, header := range []string{"bytes=0-1", "bytes=20-", "bytes=0-1,3-4", "lines=1-2"} {
			a := t.want(200, t.call("HEAD", path, "", "Range", header))
			require.Equal(t, "10", a.Header().Get("Content-Length"))
			require.Empty(t, a.Header().Get("Content-Range"))
		}
		// An empty blob has no ranges; the response is the whole blob.
		empty := "/v2/app/blobs/" + string(t.pushBlob("app", ""))
		require.Equal(t, "0", t.want(200, t.call("GET", empty, "", "Range", "bytes=0-")).Header().Get("Content-Length"))
		// A Range works for manifests too.
		m := t.pushImage("app", "v1")
		require.Equal(t, m[2:5], t.want(206, t.call("GET", "/v2/app/manifests/v1", "", "Range", "bytes=2-4")).Body.String())
	})
}

func TestSeveralPartsOfABlob(t *testing.T) {
	overStores(t, func(t *registryTest) {
		content := strings.Repeat("0123456789", 100)
		path := "/v2/app/blobs/" + string(t.pushBlob("app", content))
		a := t.want(206, t.call("GET", path, "", "Range", "bytes=0-4, 10-14,-5"))
		kind, parameters, err := mime.ParseMediaType(a.Header().Get("Content-Type"))
		require.NoError(t, err)
		require.Equal(t, "multipart/byteranges", kind)
		require.Equal(t, strconv.Itoa(a.Body.Len()), a.Header().Get("Content-Length"))
		parts := multipart.NewReader(a.Body, parameters["boundary"])
		for _, first := range []int{0, 10, 995} {
			p, err := parts.NextPart()
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("bytes %d-%d/1000", first, first+4), p.Header.Get("Content-Range"))
			got, err := io.ReadAll(p)
			require.NoError(t, err)
			require.Equal(t, content[first:first+5], string(got))
		}
		_, err = parts.NextPart()
		require.ErrorIs(t, err, io.EOF)
	})
}

// RFC 9110, section 13: a blob is not sent if a condition of the request does
// not hold.
func TestBlobIsNotSentIfTheClientHasIt(t *testing.T) {
	overStores(t, func(t *registryTest) {
		d := string(t.pushBlob("app", "0123456789"))
		path, etag := "/v2/app/blobs/"+d, `"`+d+`"`
		for _, method := range []string{"GET", "HEAD"} {
			a := t.want(304, t.call(method, path, "", "If-None-Match", etag))
			require.Equal(t, d, a.Header().Get("Docker-Content-Digest"))
			require.Zero(t, a.Body.Len())
			t.want(200, t.call(method, path, "", "If-None-Match", `"x"`))
			t.want(304, t.call(method, path, "", "If-None-Match", etag, "Range", "bytes=0-1"))
			t.want(412, t.call(method, path, "", "If-Match", `"x"`))
		}
		t.wantError(412, t.call("GET", path, "", "If-Match", `"x"`), registry.CodeDigestInvalid)
		// With If-Range, the registry sends the range only if the entity tag is that
		// of the blob.
		t.want(206, t.call("GET", path, "", "Range", "bytes=0-1", "If-Range", etag))
		for _, other := range []string{`"x"`, "W/" + etag, "Sun, 06 Nov 1994 08:49:37 GMT"} {
			a := t.want(200, t.call("GET", path, "", "Range", "bytes=0-1", "If-Range", other))
			require.Equal(t, "0123456789", a.Body.String())
		}
		t.want(206, t.call("GET", path, "", "Range", "bytes=0-1", "If-Match", etag))
	})
}

// Deleting Blobs: a deleted blob is missing in its repository, and stays in
// others.
func TestBlobIsDeleted(t *testing.T) {
	overStores(t, func(t *registryTest) {
		path := "/blobs/" + string(t.pushBlob("app", "x"))
		t.pushBlob("other", "x")
		t.want(202, t.call("DELETE", "/v2/app"+path, ""))
		t.wantError(404, t.call("GET", "/v2/app"+path, ""), registry.CodeBlobUnknown)
		t.want(404, t.call("HEAD", "/v2/app"+path, ""))
		t.wantError(404, t.call("DELETE", "/v2/app"+path, ""), registry.CodeBlobUnknown)
		t.wantPulled("/v2/other"+path, "x")
		t.pushBlob("app", "x")
		t.wantPulled("/v2/app"+path, "x")
	})
}

// Mounting a blob from another repository: after a mount, both repositories have
// the blob.
func TestMount(t *testing.T) {
	overStores(t, func(t *registryTest) {
		d := string(t.pushBlob("from", "x"))
		uploads := "/v2/to/blobs/uploads/"
		for _, target := range []string{uploads + "?mount=" + d + "&from=from", "/v2/to/blobs/uploads?from=from&mount=" + strings.Replace(d, ":", "%3A", 1)} {
			a := t.want(201, t.call("POST", target, ""))
			require.Equal(t, "/v2/to/blobs/"+d, a.Header().Get("Location"))
			require.Equal(t, d, a.Header().Get("Docker-Content-Digest"))
			t.wantPulled("/v2/to/blobs/"+d, "x")
		}
		// If the request has no parameter from, the blob may come from any
		// repository.
		t.want(201, t.call("POST", "/v2/anonymous/blobs/uploads/?mount="+d, ""))
		t.wantPulled("/v2/anonymous/blobs/"+d, "x")
		// The mounted blob survives the deletion of its source.
		t.want(202, t.call("DELETE", "/v2/from/blobs/"+d, ""))
		t.wantPulled("/v2/to/blobs/"+d, "x")

		// If the mount fails, the client can upload the blob.
		absent := string(sum("absent"))
		for _, query := range []string{
			"?mount=" + absent, "?mount=" + absent + "&from=to", "?mount=" + d + "&from=from", "?mount=" + d + "&from=nowhere", "?mount=" + d + "&from=../to",
		} {
			a := t.want(202, t.call("POST", "/v2/new/blobs/uploads/"+query, ""))
			t.want(201, t.call("PUT", a.Header().Get("Location")+"?digest="+string(sum("y")), "y"))
		}
		t.want(404, t.call("GET", "/v2/new/blobs/"+d, ""))
		// Docker Registry HTTP API V2, Cross Repository Blob Mount: "due to
		// invalid repository or digest arguments, the registry will fall back to
		// the standard upload behavior and return a 202 Accepted".
		for _, query := range []string{"?mount=", "?mount=x&from=to", "?mount=sha256:12&from=to", "?mount=blake3:" + sum("x").Encoded() + "&from=to"} {
			t.want(202, t.call("POST", uploads+query, ""))
		}
	})
}

func TestMountThatIsNotSupportedStartsAnUpload(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		option          registry.Option
		mount, anywhere int
	}{
		{registry.Without(registry.AnonymousMount), 201, 202},
		{registry.Without(registry.MountBlob), 202, 202},
		{registry.Without(registry.MountBlob, registry.StartUpload), 405, 405},
	} {
		full := inMemory(t)
		h := full.over(tt.option)
		d := string(full.pushBlob("from", "x"))
		for query, status := range map[string]int{"&from=from": tt.mount, "": tt.anywhere} {
			a := h.want(status, h.call("POST", "/v2/to/blobs/uploads/?mount="+d+query, ""))
			if status == 202 {
				h.want(201, h.call("PUT", a.Header().Get("Location")+"?digest="+d, "x"))
				h.want(202, h.call("DELETE", "/v2/to/blobs/"+d, ""))
			}
		}
	}
}

// A failed mount starts no upload if the registry has no upload sessions.
func TestMountWithoutUploads(t *testing.T) {
	t.Parallel()
	full := inMemory(t)
	h := full.over(registry.Without(registry.StartUpload))
	d := string(full.pushBlob("from", "x"))
	h.want(201, h.call("POST", "/v2/to/blobs/uploads/?mount="+d+"&from=from", ""))
	h.wantError(405, h.call("POST", "/v2/to/blobs/uploads/?mount="+string(sum("absent"))+"&from=from", ""), registry.CodeUnsupported)
	h.wantError(405, h.call("POST", "/v2/to/blobs/uploads/?mount="+d+"&from=-", ""), registry.CodeUnsupported)
}

// A client can push a blob in one POST (the spec's section Single POST).
func TestBlobIsPushedInOneRequest(t *testing.T) {
	overStores(t, func(t *registryTest) {
		for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			for _, content := range []string{"", "hello"} {
				d := string(algorithm.FromString(content))
				a := t.want(201, t.call("POST", "/v2/app/blobs/uploads/?digest="+d, content))
				require.Equal(t, "/v2/app/blobs/"+d, a.Header().Get("Location"))
				require.Equal(t, d, a.Header().Get("Docker-Content-Digest"))
				t.wantPulled("/v2/app/blobs/"+d, content)
			}
		}
		wrong := string(sum("wrong"))
		t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest="+wrong, "hello2"), registry.CodeDigestInvalid)
		t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest=", "hello2"), registry.CodeDigestInvalid)
		t.wantError(400, t.call("POST", "/v2/app/blobs/uploads/?digest=md5:5d41402abc4b2a76b9719d911017c592", "hello2"), registry.CodeDigestInvalid)

		// The Content-Length differs from the length of the body.
		for _, length := range []int64{5, 7} {
			r := httptest.NewRequest("POST", "/v2/app/blobs/uploads/?digest="+string(sum("hello2")), strings.NewReader("hello2"))
			r.ContentLength = length
			w := httptest.NewRecorder()
			t.ServeHTTP(w, r)
			t.wantError(400, w, registry.CodeSizeInvalid)
		}
		for _, d := range []string{wrong, string(sum("hello2"))} {
			t.want(404, t.call("GET", "/v2/app/blobs/"+d, ""))
		}
	})
}

func TestBlobPushedInOneRequestWithoutSupportStartsAnUpload(t *testing.T) {
	t.Parallel()
	h := inMemory(t, registry.Without(registry.PostBlob))
	d := string(sum("hello"))
	a := h.want(202, h.call("POST", "/v2/app/blobs/uploads/?digest="+d, "hello"))
	h.want(404, h.call("GET", "/v2/app/blobs/"+d, ""))
	h.want(201, h.call("PUT", a.Header().Get("Location")+"?digest="+d, "hello"))
	h.wantPulled("/v2/app/blobs/"+d, "hello")
}

// A blob or manifest of one repository cannot be read or deleted in another.
func TestRepositoriesAreIsolated(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("a", "v1")
		t.pushBlob("a/b", "own")
		for _, other := range []string{"a/b", "b", "a-", "aa"} {
			if !strings.HasSuffix(other, "-") {
				t.pushBlob(other, "own")
			}
			for _, path := range []string{"/blobs/" + string(sum("layer")), "/manifests/v1", "/manifests/" + string(sum(m))} {
				for _, method := range []string{"GET", "HEAD", "DELETE"} {
					a := t.call(method, "/v2/"+other+path, "")
					require.GreaterOrEqual(t, a.Code, 400, "%s %s", method, other+path)
				}
			}
		}
		t.wantPulled("/v2/a/manifests/v1", m)
	})
}

// Over a network, a client can read a large blob whole or in part.
func TestLargeBlobOverANetwork(t *testing.T) {
	overStores(t, func(t *registryTest) {
		server := httptest.NewServer(t)
		t.Cleanup(server.Close)
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		d := string(t.pushBlob("app", string(content)))
		for header, want := range map[string][]byte{"": content, "bytes=1000-": content[1000:], "bytes=-17": content[len(content)-17:], "bytes=5-700000": content[5:700_001]} {
			r, err := http.NewRequest("GET", server.URL+"/v2/app/blobs/"+d, nil)
			require.NoError(t, err)
			if header != "" {
				r.Header.Set("Range", header)
			}
			a, err := server.Client().Do(r)
			require.NoError(t, err)
			got, err := io.ReadAll(a.Body)
			a.Body.Close()
			require.NoError(t, err)
			require.EqualValues(t, len(want), a.ContentLength)
			require.True(t, bytes.Equal(want, got), header)
		}
	})
}
