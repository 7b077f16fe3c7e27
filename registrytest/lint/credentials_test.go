package lint

import (
	"testing"

	"github.com/ocireg/registry"
)

func TestCredentialsRules(t *testing.T) {
	testRules(t, []ruleTest{
		{rule: Credentials, name: "asked for", opts: []registry.Option{challenge()}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "", "Authorization", "Basic c2VjcmV0")
		}},
		{rule: Credentials, name: "not asked for", opts: []registry.Option{challenge()}, do: func(s *script) {
			s.send("GET", "/v2/", "", "Authorization", "Basic c2VjcmV0")
		}, want: `1: the registry did not ask for the credentials "Basic redacted"`},

		{rule: CredentialsInURL, name: "none", do: func(s *script) {
			s.send("GET", "/token?offline_token=true&service=x", "")
			s.finish(s.start(), "abc")
		}},
		{rule: CredentialsInURL, name: "a token", do: func(s *script) {
			s.send("GET", "/v2/?access_token=abc", "")
		}, want: "1: there is a secret in the parameter access_token"},

		{rule: CredentialsPlain, name: "a token", opts: []registry.Option{challenge()}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "", "Authorization", "Bearer abc")
		}},
		{rule: CredentialsPlain, name: "a password", opts: []registry.Option{challenge()}, do: func(s *script) {
			s.send("GET", "/v2/", "")
			s.send("GET", "/v2/", "", "Authorization", "Basic c2VjcmV0")
		}, want: "2: a password is sent to registry.test in plain text"},
	})
}
