package lint

import (
	"net/http"
	"testing"

	"github.com/ocireg/registry"
)

func TestChunkRules(t *testing.T) {
	testRules(t, []ruleTest{
		{rule: ContentRange, name: "first-last", do: func(s *script) {
			s.close(s.chunk(s.start(), "abc", "0-2"), "abc")
		}},
		{rule: ContentRange, name: "a unit and a total", do: func(s *script) {
			s.chunk(s.start(), "abc", "bytes 0-2/3")
		}, want: `2: Content-Range is "bytes 0-2/3"`},
		{rule: ContentRange, name: "backwards", do: func(s *script) {
			s.chunk(s.start(), "abc", "2-0")
		}, want: `2: Content-Range is "2-0", which ends before it begins`},
		{rule: ContentRange, name: "in the closing PUT", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", dig("abc")), "abc", "Content-Range", "0-")
		}, want: `2: Content-Range is "0-"`},

		{rule: ChunkLength, name: "as announced", do: func(s *script) {
			s.chunk(s.start(), "abc", "0-2")
		}},
		{rule: ChunkLength, name: "end is exclusive", do: func(s *script) {
			s.chunk(s.start(), "abc", "0-3")
		}, want: "2: Content-Range is 0-3, but Content-Length is 3"},
		{rule: ChunkLength, name: "not announced", do: func(s *script) {
			s.sendMessage(message{"PATCH", s.start(), http.Header{"Content-Range": {"0-2"}}, "abc", true})
		}},

		{rule: ChunkOrder, name: "in order", do: func(s *script) {
			at := s.chunk(s.chunk(s.start(), "abc", "0-2"), "de", "3-4")
			s.send("PUT", withParam(at, "digest", dig("abcdef")), "f", "Content-Range", "5-5")
		}},
		{rule: ChunkOrder, name: "first is not 0", do: func(s *script) {
			s.chunk(s.start(), "abc", "1-3")
		}, want: "2: the chunk begins at byte 1, but the next byte is 0"},
		{rule: ChunkOrder, name: "a gap", do: func(s *script) {
			at := s.start()
			s.chunk(at, "abc", "0-2")
			s.chunk(at, "de", "4-5")
		}, want: "3: the chunk begins at byte 4, but the next byte is 3"},
		{rule: ChunkOrder, name: "in the closing PUT", do: func(s *script) {
			at := s.chunk(s.start(), "abc", "0-2")
			s.send("PUT", withParam(at, "digest", dig("abc")), "abc", "Content-Range", "0-2")
		}, want: "3: the chunk begins at byte 0, but the next byte is 3"},
		{
			rule: ChunkOrder, name: "not after a failure",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				s.chunk(at, "abc", "0-2")
				s.chunk(at, "de", "3-4")
			},
		},
		{
			rule: ChunkOrder, name: "after a lost response",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: reset})},
			do: func(s *script) {
				at := s.start()
				for range 3 {
					s.chunk(at, "abc", "0-2")
				}
			},
			want: "4: the chunk begins at byte 0, but the next byte is 3; after request 2, which failed, a GET of the upload's Location tells",
		},
		{
			rule: ChunkOrder, name: "after a failure and the status",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{AfterCommit: true, Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				s.chunk(at, "abc", "0-2")
				at = s.send("GET", at, "").Get("Location")
				s.chunk(at, "abc", "0-2")
			},
			want: "4: the chunk begins at byte 0, but the next byte is 3",
		},
		{
			rule: ChunkOrder, name: "not after a wrong Range",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Header: func(status int, h http.Header) int {
				h.Set("Range", "0-1")
				return status
			}})},
			do: func(s *script) {
				s.chunk(s.chunk(s.start(), "abc", "0-2"), "c", "2-2")
			},
		},
		{
			rule: ChunkOrder, name: "0-0 is nothing or one byte",
			opts: []registry.Option{failing(registry.PatchUpload, registry.Fault{Serve: unavailable})},
			do: func(s *script) {
				at := s.start()
				s.chunk(at, "abc", "0-2")
				s.chunk(s.send("GET", at, "").Get("Location"), "abc", "0-2")
			},
		},
		{rule: ChunkOrder, name: "a stream", do: func(s *script) {
			at := s.send("PATCH", s.start(), "abc").Get("Location")
			s.chunk(at, "de", "3-4")
		}},

		{rule: ChunkSize, name: "large enough", opts: []registry.Option{registry.WithMinChunk(3)}, do: func(s *script) {
			at := s.chunk(s.chunk(s.start(), "abc", "0-2"), "d", "3-3")
			s.close(at, "abcd")
		}},
		{rule: ChunkSize, name: "too small", opts: []registry.Option{registry.WithMinChunk(3)}, do: func(s *script) {
			s.chunk(s.chunk(s.start(), "ab", "0-1"), "cde", "2-4")
		}, want: "2: the chunk has 2 bytes, is not the last, and should have at least 3"},
		{rule: ChunkSize, name: "the last is in the PUT", opts: []registry.Option{registry.WithMinChunk(3)}, do: func(s *script) {
			at := s.chunk(s.start(), "ab", "0-1")
			s.send("PUT", withParam(at, "digest", dig("abc")), "c", "Content-Range", "2-2")
		}, want: "2: the chunk has 2 bytes"},
	})
}
