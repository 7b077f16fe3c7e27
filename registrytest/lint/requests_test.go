package lint

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ocireg/registry"
)

func TestRequestRules(t *testing.T) {
	testRules(t, []ruleTest{
		{rule: Link, name: "followed", do: func(s *script) {
			s.pushTags()
			first := s.send("GET", "/v2/app/tags/list?n=1", "")
			again := s.send("GET", "/v2/app/tags/list?n=1", "")
			s.send("GET", nextLink(s.send("GET", nextLink(first), "")), "")
			s.send("GET", nextLink(again), "")
		}},
		{rule: Link, name: "continued by last", do: func(s *script) {
			s.pushTags()
			s.send("GET", "/v2/app/tags/list?n=1", "")
			s.send("GET", "/v2/app/tags/list?n=1&last=a", "")
		}, want: "2: the URL is /v2/app/tags/list?n=1&last=a, but Link was /v2/app/tags/list?_state="},
		{rule: Link, name: "a parameter is lost", do: func(s *script) {
			s.pushTags()
			target := nextLink(s.send("GET", "/v2/app/tags/list?n=1", ""))
			s.send("GET", strings.ReplaceAll(strings.ReplaceAll(target, "&n=1", ""), "last=a", "last=b"), "")
		}, want: "2: the URL is /v2/app/tags/list?_state="},
		{rule: Link, name: "last was never in a Link", do: func(s *script) {
			s.pushTags()
			s.send("GET", "/v2/app/tags/list?last=a", "")
			s.send("GET", "/v2/app/tags/list?n=1&last=b", "")
			s.send("GET", "/v2/other/tags/list?n=1&last=a", "")
		}},

		{rule: Name, name: "as they should be", do: func(s *script) {
			s.send("GET", "/v2/a/b-c/d__e.f/manifests/V_1.2-3", "")
			s.send("GET", "/v2/app/blobs/"+dig("a"), "")
			s.send("PUT", manifests+dig("a")+"?tag=a&tag=b", "")
			s.send("POST", uploads+"?mount="+dig("a")+"&from=other", "")
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/_catalog", "")
			s.send("GET", "/token?service=x", "")
		}},
		{rule: Name, name: "an algorithm that is not registered", do: func(s *script) {
			s.send("GET", "/v2/app/blobs/blake3:"+strings.Repeat("a", 64), "")
		}},
		{rule: Name, name: "upper case", do: func(s *script) {
			s.send("GET", "/v2/App/manifests/v1", "")
		}, want: "1: the name of the repository in /v2/App/manifests/v1 is not valid"},
		{rule: Name, name: "a tag with a plus", do: func(s *script) {
			s.send("GET", manifests+"1.0+2", "")
		}, want: `1: "1.0+2" is neither a tag nor a digest`},
		{rule: Name, name: "a digest that is too short", do: func(s *script) {
			s.send("GET", "/v2/app/blobs/sha256:123", "")
		}, want: `1: "sha256:123" is not a digest`},
		{rule: Name, name: "a digest in upper case", do: func(s *script) {
			s.send("PUT", withParam(s.start(), "digest", "sha256:"+strings.Repeat("A", 64)), "a")
		}, want: `2: "sha256:AAAA`},
		{rule: Name, name: "a parameter that is no tag", do: func(s *script) {
			s.send("PUT", manifests+dig("a")+"?tag=.a", "")
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
		}, want: "1: the spec does not define GET /v1/search"},
		{rule: Endpoint, name: "a method that it has not", do: func(s *script) {
			s.send("POST", manifests+"v1", "")
		}, want: "1: the spec does not define POST /v2/app/manifests/v1"},
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

		{rule: RetryAfter, name: "waited", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			time.Sleep(10 * time.Second)
			s.send("GET", "/v2/", "")
		}},
		{rule: RetryAfter, name: "too early", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			time.Sleep(9 * time.Second)
			s.send("GET", "/v2/", "")
		}, want: "2: the response to request 1 was 429 with Retry-After: 10, and this request is 1s too early"},
		{
			rule: RetryAfter, name: "too early for a date",
			opts: []registry.Option{busy(503, time.Date(2000, 1, 1, 0, 0, 30, 0, time.UTC).Format(http.TimeFormat))},
			do: func(s *script) {
				s.send("GET", "/v2/", "")
				time.Sleep(28 * time.Second)
				s.send("GET", "/v2/", "")
			},
			want: "2: the response to request 1 was 503 with Retry-After: Sat, 01 Jan 2000 00:00:30 GMT, and this request is 2s too early",
		},
		{rule: RetryAfter, name: "too early, and then the next part", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.pushTags()
			for _, part := range []string{"bytes=0-9", "bytes=10-19", "bytes=0-9", "bytes=0-9", "bytes=10-19"} {
				s.send("GET", manifests+"a", "", "Range", part)
			}
		}, want: "3: the response to request 1 was 429 with Retry-After: 10, and this request is 10s too early"},
		{rule: RetryAfter, name: "another page", opts: []registry.Option{busy(429, "10")}, do: func(s *script) {
			s.pushTags()
			s.send("GET", "/v2/app/tags/list?n=1", "")
			s.send("GET", "/v2/app/tags/list?n=1&last=a", "")
		}},
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
	})
}
