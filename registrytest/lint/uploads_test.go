package lint

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

func TestUploadRules(t *testing.T) {
	testRules(t, []ruleTest{
		{rule: UploadStart, name: "empty", do: func(s *script) {
			s.chunk(s.start(), "a", "0-0")
		}},
		{rule: UploadStart, name: "not announced", do: func(s *script) {
			at := s.sendMessage(message{"POST", uploads, http.Header{}, "", true}).Get("Location")
			s.chunk(at, "a", "0-0")
		}, want: "1: there is no Content-Length"},
		{rule: UploadStart, name: "with a body", do: func(s *script) {
			s.chunk(s.send("POST", uploads, "abc").Get("Location"), "a", "0-0")
		}, want: "1: Content-Length is 3"},
		{rule: UploadStart, name: "not in chunks", do: func(s *script) {
			s.finish(s.sendMessage(message{"POST", uploads, http.Header{}, "", true}).Get("Location"), "abc")
		}},

		{rule: UploadAlgorithm, name: "sha256 needs none", do: func(s *script) {
			s.close(s.chunk(s.start(), "a", "0-0"), "a")
		}},
		{rule: UploadAlgorithm, name: "sha512 with it", do: func(s *script) {
			at := s.send("POST", uploads+"?digest-algorithm=sha512", "").Get("Location")
			s.send("PUT", withParam(s.chunk(at, "a", "0-0"), "digest", string(digest.SHA512.FromString("a"))), "")
		}},
		{rule: UploadAlgorithm, name: "sha512 without it", do: func(s *script) {
			s.send("PUT", withParam(s.chunk(s.start(), "a", "0-0"), "digest", string(digest.SHA512.FromString("a"))), "")
		}, want: `1: digest-algorithm is "", and the session was closed with sha512`},
		{rule: UploadAlgorithm, name: "another than announced", do: func(s *script) {
			at := s.send("POST", uploads+"?digest-algorithm=sha512", "").Get("Location")
			s.close(s.chunk(at, "a", "0-0"), "a")
		}, want: `1: digest-algorithm is "sha512", and the session was closed with sha256`},

		{rule: UploadLocation, name: "as given", do: func(s *script) {
			at := s.start()
			s.send("GET", at, "")
			s.close(s.chunk(at, "a", "0-0"), "a")
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
		}, want: "1: the registry sent no Location for this session"},
		{rule: UploadLocation, name: "in another repository", do: func(s *script) {
			s.finish(strings.Replace(s.start(), "/app/", "/other/", 1), "a")
		}, want: "2: the URL is /v2/other/blobs/uploads/"},
		{rule: UploadLocation, name: "of a mount that was not possible", do: func(s *script) {
			s.finish(s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "").Get("Location"), "a")
		}},

		{rule: LatestLocation, name: "the last", do: func(s *script) {
			s.close(s.chunk(s.chunk(s.start(), "a", "0-0"), "b", "1-1"), "ab")
		}},
		{rule: LatestLocation, name: "the first", do: func(s *script) {
			at := s.start()
			s.chunk(at, "a", "0-0")
			s.chunk(at, "b", "1-1")
		}, want: "3: the URL is from the response to request 1, but the response to request 2 came after it"},
		{
			rule: LatestLocation, name: "the last that the client got",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				s.chunk(at, "a", "0-0")
				s.finish(at, "b")
			},
		},
		{
			rule: LatestLocation, name: "another one in a response that failed",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Header: func(int, http.Header) int { return 500 }})},
			do: func(s *script) {
				at := s.start()
				s.chunk(at, "a", "0-0")
				s.finish(at, "b")
			},
		},

		{rule: UploadType, name: "octets", do: func(s *script) {
			s.finish(s.chunk(s.start(), "a", "0-0"), "b")
			s.send("POST", uploads+"?digest="+dig("a"), "a", "Content-Type", octets)
		}},
		{rule: UploadType, name: "an empty body", do: func(s *script) {
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
			s.chunk(s.start(), "a", "0-0")
		}, want: "3: the session was left open after 1 more request"},
		{rule: UploadOpen, name: "of a mount that was not possible", do: func(s *script) {
			s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "")
		}, want: "1: the session was left open after 0 more requests"},
		{
			rule: UploadOpen, name: "at another host", do: func(s *script) { s.start() },
			opts: []registry.Option{failing(registry.StartUpload, movedTo("https://other.example.com"))},
		},
		{
			rule: UploadOpen, name: "without TLS", do: func(s *script) { s.start() },
			opts: []registry.Option{failing(registry.StartUpload, movedTo("ftp://registry.test"))},
		},
		{
			rule: UploadOpen, name: "at another host after a chunk", do: func(s *script) { s.chunk(s.start(), "a", "0-0") },
			opts: []registry.Option{failing(registry.PatchUpload, movedTo("https://other.example.com"))},
		},
		{
			rule: UploadOpen, name: "at its own host", do: func(s *script) { s.start() },
			opts: []registry.Option{failing(registry.StartUpload, movedTo("http://registry.test"))},
			want: "1: the session was left open after 0 more requests",
		},
		{rule: UploadOpen, name: "ended by the wrong digest", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", dig("b")), "a")
		}},
		{
			rule: UploadOpen, name: "ended by the registry", do: func(s *script) { s.send("PATCH", s.start(), "a") },
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{LoseUpload: true})},
		},
		{
			rule: UploadOpen, name: "it may be closed", do: func(s *script) { s.finish(s.start(), "a") },
			opts: []registry.Option{failing(registry.PutUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
		},
		{
			rule: UploadOpen, name: "the client does not know of it", do: func(s *script) { s.start() },
			opts: []registry.Option{failing(registry.StartUpload, registry.Fault{Serve: unavailable, AfterCommit: true})},
		},
		{
			rule: UploadOpen, name: "given up after a failure", do: func(s *script) { s.send("PATCH", s.start(), "a") },
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Serve: unavailable})},
			want: "1: the session was left open after 1 more request",
		},

		{rule: UploadAgain, name: "it was not there", do: func(s *script) {
			s.send("HEAD", "/v2/app/blobs/"+dig("a"), "")
			s.finish(s.start(), "a")
		}},
		{rule: UploadAgain, name: "it was there", do: func(s *script) {
			s.finish(s.start(), "a")
			s.send("HEAD", "/v2/app/blobs/"+dig("a"), "")
			s.finish(s.start(), "a")
		}, want: "5: the response to request 3, HEAD /v2/app/blobs/"},
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
		}, want: "3: the response to request 2, POST /v2/app/blobs/uploads/?mount="},
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
	})
}
