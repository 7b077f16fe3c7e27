package lint

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

// A script is a client that sends requests to a strict registry.
type script struct {
	t       *testing.T
	journal journal.Journal
	handler http.Handler
	store   registry.Store
}

// newScript makes a client of a registry that gives and records what a linter
// wants to have.
func newScript(t *testing.T, opts ...registry.Option) *script {
	s := &script{t: t, store: memstore.New()}
	opts = append([]registry.Option{
		registry.WithRecorder(&s.journal),
		registry.WithMiddleware(new(states).middleware),
	}, opts...)
	s.journal.ReadManifests()
	s.handler = s.journal.Handler(registry.New(s.store, opts...))
	return s
}

// recorded returns the records as requests.
func recorded(records ...journal.Record) journal.Requests {
	list := make([]*journal.Record, len(records))
	for i := range records {
		list[i] = &records[i]
		list[i].Number = i + 1
		if list[i].Method == "" {
			list[i].Method = "GET"
		}
		if list[i].URL == nil {
			list[i].URL = &url.URL{Scheme: "http", Host: "127.0.0.1:4321", Path: "/v2/"}
		}
	}
	return journal.NewRequests(list...)
}

// A message is a request that a script sends.
type message struct {
	method, url string
	header      http.Header
	body        string
	unannounced bool // no Content-Length
}

// send sends a request as it would come by a network, with the headers given
// in pairs.
func (s *script) send(method, target, body string, header ...string) http.Header {
	s.t.Helper()
	m := message{method, target, http.Header{}, body, false}
	for i := 0; i < len(header); i += 2 {
		m.header.Add(header[i], header[i+1])
	}
	return s.sendMessage(m)
}

func (s *script) sendMessage(m message) http.Header {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), m.method, "http://registry.test"+strings.TrimPrefix(m.url, "http://registry.test"), strings.NewReader(m.body))
	require.NoError(s.t, err)
	r.RequestURI = r.URL.RequestURI()
	r.Header = m.header
	if m.unannounced {
		r.ContentLength = -1
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
				panic(cause)
			}
		}()
		s.handler.ServeHTTP(w, r)
	}()
	return w.Header()
}

// with returns the URL with one more parameter, as a client has to add it.
func withParam(location, name, value string) string {
	u, err := url.Parse(location)
	if err != nil {
		panic(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

const (
	uploads  = "/v2/app/blobs/uploads/"
	octets   = "application/octet-stream"
	testType = "application/vnd.oci.image.manifest.v1+json"
)

func (s *script) start() string { return s.send("POST", uploads, "").Get("Location") }

// finish closes the session with one chunk of content.
func (s *script) finish(location, content string) {
	s.send("PUT", withParam(location, "digest", string(digest.FromString(content))), content, "Content-Type", octets)
}

// Of each rule, what keeps it is not found, and what breaks it is, with the
// request that does and a text that says how.
func TestLintRules(t *testing.T) {
	t.Parallel()
	type session = func(s *script)
	dig := func(content string) string { return string(digest.FromString(content)) }
	image := content.Image()
	subject := content.Image(content.Seed(7))
	artifact := content.Artifact("application/vnd.example", content.Subject(subject))
	manifestURL := "/v2/app/manifests/"
	put := func(s *script, c content.Content, ref string, header ...string) {
		for b := range c.Blobs() {
			require.NoError(t, content.PutBlob(t.Context(), s.store, "app", b))
		}
		s.send("PUT", manifestURL+ref, string(c.Manifest), header...)
	}
	chunk := func(s *script, location, content string, contentRange string) string {
		return s.send("PATCH", location, content, "Content-Type", octets, "Content-Range", contentRange).Get("Location")
	}
	close := func(s *script, location, content string) {
		s.send("PUT", withParam(location, "digest", dig(content)), "")
	}
	tags := func(s *script) {
		for _, tag := range []string{"a", "b", "c"} {
			require.NoError(t, content.Put(t.Context(), s.store, "app:"+tag, image))
		}
	}
	next := func(h http.Header) string {
		target, _, _ := strings.Cut(strings.TrimPrefix(h.Get("Link"), "<"), ">")
		return target
	}
	challenge := registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Header.Get("Authorization") == "" {
				e := registry.Errorf(registry.CodeUnauthorized, "who are you?")
				e.Header = http.Header{"Www-Authenticate": {`Basic realm="x"`}}
				return e
			}
			return next(w, r)
		}
	})
	busy := func(status int, after string) registry.Option {
		first := true
		return registry.WithFaults(func(*registry.Request) *registry.Fault {
			if !first {
				return nil
			}
			first = false
			return &registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error {
				return &registry.Error{Code: registry.CodeTooManyRequests, Status: status, Header: http.Header{"Retry-After": {after}}}
			}}
		})
	}
	failing := func(op registry.Op, f registry.Fault) registry.Option {
		done := false
		return registry.WithFaults(func(r *registry.Request) *registry.Fault {
			if r.Op != op || done {
				return nil
			}
			done = true
			return &f
		})
	}
	unavailable := func(http.ResponseWriter, *registry.Request) error { return errors.New("out of order") }

	for _, c := range []struct {
		rule Rule
		name string
		opts []registry.Option
		lint Linter
		do   session
		want string // the request and what is said of it, or "" if nothing is
	}{
		{rule: ContentRange, name: "first-last", do: func(s *script) {
			close(s, chunk(s, s.start(), "abc", "0-2"), "abc")
		}},
		{rule: ContentRange, name: "a unit and a total", do: func(s *script) {
			chunk(s, s.start(), "abc", "bytes 0-2/3")
		}, want: `2: Content-Range is "bytes 0-2/3"`},
		{rule: ContentRange, name: "backwards", do: func(s *script) {
			chunk(s, s.start(), "abc", "2-0")
		}, want: `2: Content-Range is "2-0", which ends before it begins`},
		{rule: ContentRange, name: "in the closing PUT", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", dig("abc")), "abc", "Content-Range", "0-")
		}, want: `2: Content-Range is "0-"`},

		{rule: ChunkLength, name: "as announced", do: func(s *script) {
			chunk(s, s.start(), "abc", "0-2")
		}},
		{rule: ChunkLength, name: "end is exclusive", do: func(s *script) {
			chunk(s, s.start(), "abc", "0-3")
		}, want: "2: Content-Range is 0-3, but Content-Length is 3"},
		{rule: ChunkLength, name: "not announced", do: func(s *script) {
			s.sendMessage(message{"PATCH", s.start(), http.Header{"Content-Range": {"0-2"}}, "abc", true})
		}},

		{rule: ChunkOrder, name: "in order", do: func(s *script) {
			at := chunk(s, chunk(s, s.start(), "abc", "0-2"), "de", "3-4")
			s.send("PUT", withParam(at, "digest", dig("abcdef")), "f", "Content-Range", "5-5")
		}},
		{rule: ChunkOrder, name: "first is not 0", do: func(s *script) {
			chunk(s, s.start(), "abc", "1-3")
		}, want: "2: the chunk begins with byte 1, the next was 0"},
		{rule: ChunkOrder, name: "a gap", do: func(s *script) {
			at := s.start()
			chunk(s, at, "abc", "0-2")
			chunk(s, at, "de", "4-5")
		}, want: "3: the chunk begins with byte 4, the next was 3"},
		{rule: ChunkOrder, name: "in the closing PUT", do: func(s *script) {
			at := chunk(s, s.start(), "abc", "0-2")
			s.send("PUT", withParam(at, "digest", dig("abc")), "abc", "Content-Range", "0-2")
		}, want: "3: the chunk begins with byte 0, the next was 3"},
		{
			rule: ChunkOrder, name: "after a failure nobody knows",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				chunk(s, at, "abc", "0-2")
				chunk(s, at, "de", "3-4")
			},
		},
		{
			rule: ChunkOrder, name: "after the status was asked for everybody knows",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				chunk(s, at, "abc", "0-2")
				at = s.send("GET", at, "").Get("Location")
				chunk(s, at, "abc", "0-2")
			},
			want: "4: the chunk begins with byte 0, the next was 3",
		},
		{
			rule: ChunkOrder, name: "after the registry was wrong about what it has nobody knows",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Header: func(status int, h http.Header) int {
				h.Set("Range", "0-1")
				return status
			}})},
			do: func(s *script) {
				chunk(s, chunk(s, s.start(), "abc", "0-2"), "c", "2-2")
			},
		},
		{
			rule: ChunkOrder, name: "0-0 is nothing or one byte",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				chunk(s, at, "abc", "0-2")
				chunk(s, s.send("GET", at, "").Get("Location"), "abc", "0-2")
			},
		},
		{rule: ChunkOrder, name: "a stream", do: func(s *script) {
			at := s.send("PATCH", s.start(), "abc").Get("Location")
			chunk(s, at, "de", "3-4")
		}},

		{rule: ChunkSize, name: "large enough", opts: []registry.Option{registry.WithMinChunk(3)}, do: func(s *script) {
			at := chunk(s, chunk(s, s.start(), "abc", "0-2"), "d", "3-3")
			close(s, at, "abcd")
		}},
		{rule: ChunkSize, name: "too small", opts: []registry.Option{registry.WithMinChunk(3)}, do: func(s *script) {
			chunk(s, chunk(s, s.start(), "ab", "0-1"), "cde", "2-4")
		}, want: "2: the chunk has 2 bytes, is not the last, and should have at least 3"},
		{rule: ChunkSize, name: "the last is in the PUT", opts: []registry.Option{registry.WithMinChunk(3)}, do: func(s *script) {
			at := chunk(s, s.start(), "ab", "0-1")
			s.send("PUT", withParam(at, "digest", dig("abc")), "c", "Content-Range", "2-2")
		}, want: "2: the chunk has 2 bytes"},

		{rule: UploadStart, name: "empty", do: func(s *script) {
			chunk(s, s.start(), "a", "0-0")
		}},
		{rule: UploadStart, name: "not announced", do: func(s *script) {
			at := s.sendMessage(message{"POST", uploads, http.Header{}, "", true}).Get("Location")
			chunk(s, at, "a", "0-0")
		}, want: "1: there is no Content-Length"},
		{rule: UploadStart, name: "with a body", do: func(s *script) {
			chunk(s, s.send("POST", uploads, "abc").Get("Location"), "a", "0-0")
		}, want: "1: Content-Length is 3"},
		{rule: UploadStart, name: "not in chunks", do: func(s *script) {
			s.finish(s.sendMessage(message{"POST", uploads, http.Header{}, "", true}).Get("Location"), "abc")
		}},

		{rule: UploadAlgorithm, name: "sha256 needs none", do: func(s *script) {
			close(s, chunk(s, s.start(), "a", "0-0"), "a")
		}},
		{rule: UploadAlgorithm, name: "sha512 with it", do: func(s *script) {
			at := s.send("POST", uploads+"?digest-algorithm=sha512", "").Get("Location")
			s.send("PUT", withParam(chunk(s, at, "a", "0-0"), "digest", string(digest.SHA512.FromString("a"))), "")
		}},
		{rule: UploadAlgorithm, name: "sha512 without it", do: func(s *script) {
			s.send("PUT", withParam(chunk(s, s.start(), "a", "0-0"), "digest", string(digest.SHA512.FromString("a"))), "")
		}, want: `1: digest-algorithm is "", and the session was closed with sha512`},

		{rule: UploadAlgorithm, name: "another than announced", do: func(s *script) {
			at := s.send("POST", uploads+"?digest-algorithm=sha512", "").Get("Location")
			close(s, chunk(s, at, "a", "0-0"), "a")
		}, want: `1: digest-algorithm is "sha512", and the session was closed with sha256`},

		{rule: UploadLocation, name: "as given", do: func(s *script) {
			at := s.start()
			s.send("GET", at, "")
			close(s, chunk(s, at, "a", "0-0"), "a")
		}},
		{rule: UploadLocation, name: "absolute", do: func(s *script) {
			s.finish("http://registry.test"+s.start(), "a")
		}},
		{rule: UploadLocation, name: "without its query", do: func(s *script) {
			path, _, _ := strings.Cut(s.start(), "?")
			s.finish(path, "a")
		}, want: "2: the URL is " + uploads},
		{rule: UploadLocation, name: "escaped twice", do: func(s *script) {
			path, query, _ := strings.Cut(s.start(), "?")
			s.finish(path+"?"+strings.ReplaceAll(query, "%", "%25"), "a")
		}, want: "2: the URL is " + uploads},
		{rule: UploadLocation, name: "assembled", do: func(s *script) {
			s.send("PATCH", uploads+"123e4567-e89b-12d3-a456-426614174000", "a")
		}, want: "1: the registry has given no Location for this session"},
		{rule: UploadLocation, name: "in another repository", do: func(s *script) {
			s.finish(strings.Replace(s.start(), "/app/", "/other/", 1), "a")
		}, want: "2: the URL is /v2/other/blobs/uploads/"},
		{rule: UploadLocation, name: "of a mount that was not possible", do: func(s *script) {
			s.finish(s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "").Get("Location"), "a")
		}},

		{rule: LatestLocation, name: "the last", do: func(s *script) {
			close(s, chunk(s, chunk(s, s.start(), "a", "0-0"), "b", "1-1"), "ab")
		}},
		{rule: LatestLocation, name: "the first", do: func(s *script) {
			at := s.start()
			chunk(s, at, "a", "0-0")
			chunk(s, at, "b", "1-1")
		}, want: "3: the URL is from the answer to request 1, but the one to request 2 came after it"},
		{
			rule: LatestLocation, name: "the last that was heard",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				chunk(s, at, "a", "0-0")
				s.finish(at, "b")
			},
		},

		{
			rule: LatestLocation, name: "there was another in an answer that failed",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Header: func(int, http.Header) int { return 500 }})},
			do: func(s *script) {
				at := s.start()
				chunk(s, at, "a", "0-0")
				s.finish(at, "b")
			},
		},

		{rule: UploadType, name: "octets", do: func(s *script) {
			s.finish(chunk(s, s.start(), "a", "0-0"), "b")
			s.send("POST", uploads+"?digest="+dig("a"), "a", "Content-Type", octets)
		}},
		{rule: UploadType, name: "nothing to say the type of", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", dig("")), "")
		}},
		{rule: UploadType, name: "none", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", dig("a")), "a")
		}, want: `2: Content-Type is ""`},
		{rule: UploadType, name: "of a form", do: func(s *script) {
			s.send("POST", uploads+"?digest="+dig("a"), "a", "Content-Type", "application/x-www-form-urlencoded")
		}, want: `1: Content-Type is "application/x-www-form-urlencoded"`},

		{rule: UploadDigest, name: "there", do: func(s *script) { s.finish(s.start(), "a") }},
		{rule: UploadDigest, name: "missing", do: func(s *script) {
			s.send("PUT", s.start(), "a")
		}, want: `2: there is no digest in the query "_state=1`},

		{rule: UploadOpen, name: "closed", do: func(s *script) { s.finish(s.start(), "a") }},
		{rule: UploadOpen, name: "cancelled", do: func(s *script) { s.send("DELETE", s.start(), "") }},
		{rule: UploadOpen, name: "open", do: func(s *script) {
			s.finish(s.start(), "a")
			chunk(s, s.start(), "a", "0-0")
		}, want: "3: the session was left open after 1 more requests"},
		{rule: UploadOpen, name: "of a mount that was not possible", do: func(s *script) {
			s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "")
		}, want: "1: the session was left open after 0 more requests"},
		{rule: UploadOpen, name: "ended by the wrong digest", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", dig("b")), "a")
		}},
		{
			rule: UploadOpen, name: "ended by the registry", do: func(s *script) { s.send("PATCH", s.start(), "a") },
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{LoseUpload: true})},
		},
		{
			rule: UploadOpen, name: "nobody knows whether it was closed", do: func(s *script) { s.finish(s.start(), "a") },
			opts: []registry.Option{failing(registry.PutUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
		},
		{
			rule: UploadOpen, name: "nobody was told of it", do: func(s *script) { s.start() },
			opts: []registry.Option{failing(registry.StartUpload, registry.Fault{Serve: unavailable, AfterCommit: true})},
		},
		{
			rule: UploadOpen, name: "given up after a failure", do: func(s *script) { s.send("PATCH", s.start(), "a") },
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Serve: unavailable})},
			want: "1: the session was left open after 1 more requests",
		},

		{rule: UploadAgain, name: "it was not there", do: func(s *script) {
			s.send("HEAD", "/v2/app/blobs/"+dig("a"), "")
			s.finish(s.start(), "a")
		}},
		{rule: UploadAgain, name: "it was there", do: func(s *script) {
			s.finish(s.start(), "a")
			s.send("HEAD", "/v2/app/blobs/"+dig("a"), "")
			s.finish(s.start(), "a")
		}, want: "5: request 3, HEAD /v2/app/blobs/"},
		{rule: UploadAgain, name: "it was deleted", do: func(s *script) {
			s.finish(s.start(), "a")
			s.send("HEAD", "/v2/app/blobs/"+dig("a"), "")
			s.send("DELETE", "/v2/app/blobs/"+dig("a"), "")
			s.finish(s.start(), "a")
		}},
		{rule: UploadAgain, name: "it was mounted", do: func(s *script) {
			s.send("POST", "/v2/other/blobs/uploads/?digest="+dig("a"), "a", "Content-Type", octets)
			s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "")
			s.send("POST", uploads+"?digest="+dig("a"), "a", "Content-Type", octets)
		}, want: "3: request 2, POST /v2/app/blobs/uploads/?mount="},
		{rule: UploadAgain, name: "it could not be mounted", do: func(s *script) {
			s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "")
			s.send("POST", uploads+"?digest="+dig("a"), "a", "Content-Type", octets)
		}},
		{rule: UploadAgain, name: "the upload had begun", do: func(s *script) {
			s.finish(s.start(), "a")
			at := s.start()
			s.send("HEAD", "/v2/app/blobs/"+dig("a"), "")
			s.finish(at, "a")
		}},
		{rule: UploadAgain, name: "it was there elsewhere", do: func(s *script) {
			s.send("POST", "/v2/other/blobs/uploads/?digest="+dig("a"), "a", "Content-Type", octets)
			s.send("HEAD", "/v2/other/blobs/"+dig("a"), "")
			s.finish(s.start(), "a")
		}},

		{rule: Accept, name: "there", do: func(s *script) {
			s.send("GET", manifestURL+"v1", "", "Accept", testType)
			s.send("HEAD", manifestURL+"v1", "", "Accept", "*/*")
			s.send("GET", "/v2/app/blobs/"+dig("a"), "")
		}},
		{rule: Accept, name: "missing", do: func(s *script) {
			s.send("GET", manifestURL+"v1", "")
		}, want: "1: there is no Accept"},
		{rule: Accept, name: "missing from HEAD", do: func(s *script) {
			s.send("HEAD", manifestURL+"v1", "")
		}, want: "1: there is no Accept"},

		{rule: ContentType, name: "there", do: func(s *script) { put(s, image, "v1", "Content-Type", testType) }},
		{rule: ContentType, name: "missing", do: func(s *script) {
			put(s, image, "v1")
		}, want: "1: there is no Content-Type"},
		{rule: ContentType, name: "with parameters", do: func(s *script) {
			put(s, image, "v1", "Content-Type", testType+"; charset=utf-8")
		}, want: `1: Content-Type is "` + testType + `; charset=utf-8"`},

		{rule: MediaType, name: "the same", do: func(s *script) {
			put(s, image, "v1", "Content-Type", testType+"; charset=utf-8")
		}},
		{rule: MediaType, name: "another", do: func(s *script) {
			put(s, image, "v1", "Content-Type", "application/json")
		}, want: `1: Content-Type is "application/json", but mediaType is "` + testType + `"`},
		{rule: MediaType, name: "none", do: func(s *script) {
			s.send("PUT", manifestURL+"v1", `{"schemaVersion": 2}`, "Content-Type", testType)
		}},
		{rule: MediaType, name: "no manifest", do: func(s *script) {
			s.send("PUT", manifestURL+"v1", "junk", "Content-Type", testType)
		}},

		{rule: ReferrersFallback, name: "not necessary", do: func(s *script) {
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
		}},
		{rule: ReferrersFallback, name: "done", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
			s.send("GET", manifestURL+strings.Replace(dig("a"), ":", "-", 1), "")
		}},
		{rule: ReferrersFallback, name: "not done", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.send("GET", manifestURL+strings.Replace(dig("a"), ":", "-", 1), "")
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
		}, want: "2: the tag sha256-"},

		{rule: ReferrersFallback, name: "done elsewhere", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			s.send("GET", "/v2/app/referrers/"+dig("a"), "")
			s.send("GET", "/v2/other/manifests/"+strings.Replace(dig("a"), ":", "-", 1), "")
		}, want: "1: the tag sha256-"},

		{rule: ReferrersTag, name: "not necessary", do: func(s *script) {
			put(s, artifact, string(artifact.Digest), "Content-Type", testType)
		}},
		{rule: ReferrersTag, name: "no subject", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			put(s, image, "v1", "Content-Type", testType)
		}},
		{rule: ReferrersTag, name: "pushed", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			put(s, artifact, string(artifact.Digest), "Content-Type", testType)
			put(s, content.Index(), strings.Replace(string(subject.Digest), ":", "-", 1))
		}},
		{rule: ReferrersTag, name: "not pushed", opts: []registry.Option{registry.Without(registry.ListReferrers)}, do: func(s *script) {
			put(s, artifact, string(artifact.Digest), "Content-Type", testType)
		}, want: "1: the tag " + strings.Replace(string(subject.Digest), ":", "-", 1) + " was not pushed"},

		{rule: Link, name: "followed", do: func(s *script) {
			tags(s)
			first := s.send("GET", "/v2/app/tags/list?n=1", "")
			again := s.send("GET", "/v2/app/tags/list?n=1", "")
			s.send("GET", next(s.send("GET", next(first), "")), "")
			s.send("GET", next(again), "")
		}},
		{rule: Link, name: "continued by last", do: func(s *script) {
			tags(s)
			s.send("GET", "/v2/app/tags/list?n=1", "")
			s.send("GET", "/v2/app/tags/list?n=1&last=a", "")
		}, want: "2: the URL is /v2/app/tags/list?n=1&last=a, where Link was /v2/app/tags/list?_state="},
		{rule: Link, name: "a parameter is lost", do: func(s *script) {
			tags(s)
			target := next(s.send("GET", "/v2/app/tags/list?n=1", ""))
			s.send("GET", strings.ReplaceAll(strings.ReplaceAll(target, "&n=1", ""), "last=a", "last=b"), "")
		}, want: "2: the URL is /v2/app/tags/list?_state="},
		{rule: Link, name: "last was never in a Link", do: func(s *script) {
			tags(s)
			s.send("GET", "/v2/app/tags/list?last=a", "")
			s.send("GET", "/v2/app/tags/list?n=1&last=b", "")
			s.send("GET", "/v2/other/tags/list?n=1&last=a", "")
		}},

		{rule: Name, name: "as they should be", do: func(s *script) {
			s.send("GET", "/v2/a/b-c/d__e.f/manifests/V_1.2-3", "")
			s.send("GET", "/v2/app/blobs/"+dig("a"), "")
			s.send("PUT", manifestURL+dig("a")+"?tag=a&tag=b", "")
			s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "")
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/_catalog", "")
			s.send("GET", "/token?service=x", "")
		}},
		{rule: Name, name: "of an algorithm that nobody knows", do: func(s *script) {
			s.send("GET", "/v2/app/blobs/blake3:"+strings.Repeat("a", 64), "")
		}},
		{rule: Name, name: "upper case", do: func(s *script) {
			s.send("GET", "/v2/App/manifests/v1", "")
		}, want: "1: the name of the repository in /v2/App/manifests/v1 is not valid"},
		{rule: Name, name: "a tag with a plus", do: func(s *script) {
			s.send("GET", manifestURL+"1.0+2", "")
		}, want: `1: "1.0+2" is neither a tag nor a digest`},
		{rule: Name, name: "a digest that is too short", do: func(s *script) {
			s.send("GET", "/v2/app/blobs/sha256:123", "")
		}, want: `1: "sha256:123" is not a digest`},
		{rule: Name, name: "a digest in upper case", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", "sha256:"+strings.Repeat("A", 64)), "a")
		}, want: `2: "sha256:AAAA`},
		{rule: Name, name: "a parameter that is no tag", do: func(s *script) {
			s.send("PUT", manifestURL+dig("a")+"?tag=.a", "")
		}, want: `1: ".a" is not a tag`},
		{rule: Name, name: "mounted from nowhere", do: func(s *script) {
			s.send("POST", uploads+"?mount="+dig("a")+"&from=Other", "")
		}, want: `1: "Other" is not the name of a repository`},
		{rule: Name, name: "mounted nothing", do: func(s *script) {
			s.send("POST", uploads+"?mount=a", "")
		}, want: `1: "a" is not a digest`},

		{rule: Endpoint, name: "in the spec", do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.start()
			s.send("GET", "/v2/app/tags/list", "")
		}},
		{rule: Endpoint, name: "of version 1", do: func(s *script) {
			s.send("GET", "/v1/search?q=a", "")
		}, want: "1: there is no GET /v1/search"},
		{rule: Endpoint, name: "a method that it has not", do: func(s *script) {
			s.send("POST", manifestURL+"v1", "")
		}, want: "1: there is no POST /v2/app/manifests/v1"},
		{rule: Endpoint, name: "without a slash", do: func(s *script) {
			s.send("POST", strings.TrimSuffix(uploads, "/"), "")
		}, want: "1: the path is /v2/app/blobs/uploads, without the slash at its end"},

		{rule: Endpoint, name: "the first of them without a slash", do: func(s *script) {
			s.send("GET", "/v2", "")
		}, want: "1: the path is /v2, without the slash at its end"},

		{rule: NoBody, name: "none", do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("DELETE", s.start(), "")
		}},
		{rule: NoBody, name: "some", do: func(s *script) {
			s.send("HEAD", "/v2/", "abc")
		}, want: "1: there is a body of 3 bytes"},
		{rule: NoBody, name: "not announced", do: func(s *script) {
			s.sendMessage(message{"GET", "/v2/", http.Header{}, "abc", true})
		}, want: "1: there is a body"},

		{rule: Credentials, name: "asked for", opts: []registry.Option{challenge}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "", "Authorization", "Basic c2VjcmV0")
		}},
		{rule: Credentials, name: "not asked for", opts: []registry.Option{challenge}, do: func(s *script) {
			s.send("GET", "/v2/", "", "Authorization", "Basic c2VjcmV0")
		}, want: `1: the registry has not asked for the credentials "Basic redacted"`},

		{rule: CredentialsInURL, name: "none", do: func(s *script) {
			s.send("GET", "/token?offline_token=true&service=x", "")
			s.finish(s.start(), "abc")
		}},
		{rule: CredentialsInURL, name: "a token", do: func(s *script) {
			s.send("GET", "/v2/?access_token=abc", "")
		}, want: "1: there is a secret in the parameter access_token"},
		{rule: CredentialsPlain, name: "a token", opts: []registry.Option{challenge}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "", "Authorization", "Bearer abc")
		}},
		{rule: CredentialsPlain, name: "a password", opts: []registry.Option{challenge}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "", "Authorization", "Basic c2VjcmV0")
		}, want: "2: a password is sent to registry.test in plain text"},

		{rule: RetryAfter, name: "waited", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			time.Sleep(10 * time.Second)
			s.send("GET", "/v2/", "")
		}},
		{rule: RetryAfter, name: "too early", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			time.Sleep(9 * time.Second)
			s.send("GET", "/v2/", "")
		}, want: "2: request 1 was answered 429 with Retry-After: 10, which was 1s too early to ask again"},
		{
			rule: RetryAfter, name: "too early for a date",
			opts: []registry.Option{busy(503, time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC).Format(http.TimeFormat))},
			do: func(s *script) {
				s.send("GET", "/v2/", "")
				time.Sleep(28 * time.Second)
				s.send("GET", "/v2/", "")
			},
			want: "2: request 1 was answered 503 with Retry-After: Sat, 01 Jan 2000 00:00:30 GMT, which was 2s too early",
		},
		{rule: RetryAfter, name: "something else", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/_catalog", "")
		}},
		{rule: RetryAfter, name: "not a time", opts: []registry.Option{busy(429, "soon")}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "")
		}},

		{rule: Expected, name: "anything", do: func(s *script) { s.send("GET", "/v2/", "") }},
		{
			rule: Expected, name: "expected", lint: Linter{Expect: []registry.Op{registry.Ping}},
			do: func(s *script) { s.send("GET", "/v2/", "") },
		},
		{
			rule: Expected, name: "not expected", lint: Linter{Expect: []registry.Op{registry.Ping}},
			do:   func(s *script) { s.send("GET", "/v2/", ""); s.send("GET", "/v2/_catalog", "") },
			want: "2: the test does not expect catalog",
		},
		{
			rule: Expected, name: "nothing", lint: Linter{Expect: []registry.Op{}},
			do:   func(s *script) { s.send("GET", "/v2/", "") },
			want: "1: the test does not expect ping",
		},
	} {
		t.Run(fmt.Sprintf("%s, %s", c.rule, c.name), func(t *testing.T) {
			t.Parallel()
			// In a bubble, the time is the beginning of 2000.
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, c.opts...)
				c.do(s)
				var found []string
				for _, f := range c.lint.Lint(s.journal.Requests()) {
					if f.Rule == c.rule {
						found = append(found, fmt.Sprintf("%d: %s", f.Record.Number, f.Text))
					}
				}
				if c.want == "" {
					require.Empty(t, found)
				} else {
					require.Len(t, found, 1)
					require.True(t, strings.HasPrefix(found[0], c.want), "%q should begin with %q", found[0], c.want)
				}
				// What is excepted is not found.
				c.lint.Except = []Rule{c.rule}
				for _, f := range c.lint.Lint(s.journal.Requests()) {
					require.NotEqual(t, c.rule, f.Rule)
				}
			})
		})
	}
}

// What was on its way already, when a client was told something, is not held
// against it.
func TestLintKnowsWhatIsConcurrent(t *testing.T) {
	t.Parallel()
	start := time.Now()
	d := digest.FromString("a")
	path := &url.URL{Path: "/v2/app/blobs/" + string(d)}
	check := func(rule Rule, first journal.Record, second func(after time.Duration) journal.Record) {
		t.Helper()
		first.Start, first.Duration = start, 2*time.Second
		for after, found := range map[time.Duration]bool{time.Second: false, 2 * time.Second: true} {
			rules := []Rule{}
			for _, f := range (Linter{}).Lint(recorded(first, second(after))) {
				rules = append(rules, f.Rule)
			}
			require.Equal(t, found, slices.Contains(rules, rule), "%s, %v", rule, after)
		}
	}
	check(UploadAgain, journal.Record{Op: registry.HeadBlob, Repo: "app", Digest: d, Status: 200, URL: path}, func(after time.Duration) journal.Record {
		return journal.Record{Op: registry.PostBlob, Repo: "app", Digest: d, Status: 201, Start: start.Add(after)}
	})
	busy := journal.Record{Op: registry.HeadBlob, Status: 429, URL: path, ResponseHeader: http.Header{"Retry-After": {"9"}}}
	check(RetryAfter, busy, func(after time.Duration) journal.Record {
		return journal.Record{Op: registry.HeadBlob, Status: 200, URL: path, Start: start.Add(after)}
	})
}

func TestRulesAreDocumented(t *testing.T) {
	t.Parallel()
	seen := make(map[Rule]bool)
	for _, c := range lintChecks {
		require.False(t, seen[c.rule], "%s is there twice", c.rule)
		seen[c.rule] = true
		require.NotEmpty(t, c.rule.Source(), c.rule)
		require.True(t, strings.HasSuffix(c.rule.Text(), "."), "%s has no sentence", c.rule)
		require.NotNil(t, c.check, c.rule)
	}
	require.Empty(t, Rule("no such rule").Text())
}

// A client that does all as it should is not found fault with.
func TestLintFindsNothingInAGoodClient(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.send("GET", "/v2/", "")
	app := content.Image(content.Layers(2))
	for b := range app.Blobs() {
		content := make([]byte, b.Size)
		_, err := b.Open().Read(content)
		require.NoError(t, err)
		s.send("HEAD", "/v2/app/blobs/"+string(b.Digest), "")
		s.finish(s.start(), string(content))
	}
	s.send("PUT", "/v2/app/manifests/v1", string(app.Manifest), "Content-Type", app.MediaType)
	s.send("GET", "/v2/app/manifests/v1", "", "Accept", app.MediaType)
	s.send("GET", "/v2/app/referrers/"+string(app.Digest), "")
	require.Empty(t, Linter{}.Lint(s.journal.Requests()))
	for _, r := range s.journal.Requests().Where((*journal.Record).Failed).All() {
		require.Equal(t, "HEAD", r.Method)
	}
}

func TestFindingSaysItAll(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.send("PUT", "/v2/app/manifests/v1", "{}")
	s.send("GET", "/v2/app/manifests/v1", "")
	findings := Linter{}.Lint(s.journal.Requests())
	require.Len(t, findings, 2)
	require.Equal(t, `request 2, GET /v2/app/manifests/v1 404 NAME_UNKNOWN
	breaks the rule accept: there is no Accept
	A request for a manifest says in Accept which types the client supports. (Pulling manifests)`, findings[1].String())
	require.True(t, slices.IsSortedFunc(findings, func(a, b Finding) int { return a.Record.Number - b.Record.Number }))
}

func TestReferrersTag(t *testing.T) {
	t.Parallel()
	// The examples of the spec, section Referrers Tag Schema.
	for d, want := range map[string]string{
		"sha256:" + strings.Repeat("a", 64):  "sha256-" + strings.Repeat("a", 64),
		"sha512:" + strings.Repeat("a", 128): "sha512-" + strings.Repeat("a", 64),
		"test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation:alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcerciseEncodedTruncation": "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot",
	} {
		require.Equal(t, want, referrersTag(digest.Digest(d)))
	}
}

// Whatever records there are, a linter has something to say about them, and no
// more than that.
func FuzzLint(f *testing.F) {
	f.Add(uint8(registry.PatchUpload), "/v2/a/blobs/uploads/x?_state=1", "0-1", "/v2/a/blobs/uploads/x?_state=2", 202, "x")
	f.Add(uint8(registry.ListTags), "/v2/a/tags/list?last=b", "", `<?last=b>; rel="next"`, 200, "")
	f.Add(uint8(registry.Ping), "/v2/", "10", "%zz", 429, "")
	f.Fuzz(func(t *testing.T, op uint8, target, field, link string, status int, session string) {
		u, err := url.Parse(target)
		if err != nil {
			t.Skip()
		}
		var records []journal.Record
		for range 3 {
			records = append(records, journal.Record{
				Op: registry.Op(op), URL: u, Status: status, Session: session, Repo: "a",
				RequestHeader:  http.Header{"Content-Range": {field}, "Content-Type": {field}},
				ResponseHeader: http.Header{"Location": {link}, "Link": {link}, "Range": {field}, "Retry-After": {field}, "Oci-Chunk-Min-Length": {field}},
			})
		}
		for _, finding := range (Linter{Expect: []registry.Op{}}).Lint(recorded(records...)) {
			_ = finding.String()
		}
	})
}
