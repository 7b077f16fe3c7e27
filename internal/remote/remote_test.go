package remote_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/remote"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/conformance"
)

// beyond lists the tests of package conformance that TestStore skips, with the
// reasons.
var beyond = map[string]string{
	"check_and_write_are_one_step":        "the API has no transactions",
	"manifest_is_of_any_media_type":       "a registry refuses bytes that are not a manifest",
	"ReadFrom_gives_up_on_a_stuck_reader": "the writer is a file, which does not count empty reads",
	"many_tags_are_listed":                "each page is a request, so it takes long",
}

func TestStore(t *testing.T) {
	t.Parallel()
	conformance.Store(t, func(t *testing.T) registry.Store {
		if why := beyond[path.Base(t.Name())]; why != "" {
			t.Skip(why)
		}
		server := httptest.NewServer(registry.New(memstore.New(), registry.WithPageSize(3)))
		t.Cleanup(server.Close)
		return &remote.Store{Base: server.URL, Prefix: "some/where/", Client: server.Client()}
	})
}

// A list continues only at a link with rel="next". If the field Link is malformed,
// the list ends with an error.
func TestLinks(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]struct {
		tags []string
		err  string
	}{
		`</more>; rel="prev"`:                    {[]string{"a"}, ""},
		`</less>; rel="prev", </more>; rel=next`: {[]string{"a", "b"}, ""},
		`</more>`:                                {nil, "without rel"},
		`more; rel="next"`:                       {nil, "without a URL"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/more" {
				io.WriteString(w, `{"tags":["b"]}`)
				return
			}
			w.Header().Set("Link", link)
			io.WriteString(w, `{"tags":["a"]}`)
		}))
		t.Cleanup(server.Close)
		var tags []string
		var failed error
		for tag, err := range (&remote.Store{Base: server.URL, Client: server.Client()}).Tags(t.Context(), "app", "") {
			if failed = err; err == nil {
				tags = append(tags, tag)
			}
		}
		require.Equal(t, want.tags, tags, link)
		if want.err == "" {
			require.NoError(t, failed, link)
		} else {
			require.ErrorContains(t, failed, want.err, link)
		}
	}
}

// StatBlob returns an error if the response has a content encoding other than identity,
// since its Content-Length is then not the size of the blob.
func TestStatBlobRefusesEncodings(t *testing.T) {
	t.Parallel()
	for encoding, want := range map[string]string{"": "", "identity": "", "gzip": "Content-Encoding"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			w.Header().Set("Content-Length", "7")
		}))
		t.Cleanup(server.Close)
		store := &remote.Store{Base: server.URL, Client: server.Client()}
		size, err := store.StatBlob(t.Context(), "app", digest.FromString("content"))
		if want != "" {
			require.ErrorContains(t, err, want, encoding)
			continue
		}
		require.NoError(t, err, encoding)
		require.Equal(t, int64(7), size, encoding)
	}
}
