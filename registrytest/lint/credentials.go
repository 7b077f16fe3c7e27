package lint

import (
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/names"
)

// These rules are for credentials. Each comment describes the requests that break the
// rule.
const (
	Credentials      Rule = "credentials"        // credentials before a challenge; a Linter checks it only if its Rules have it
	CredentialsInURL Rule = "credentials-in-url" // a password or a token in the URL
	CredentialsPlain Rule = "credentials-plain"  // a password over HTTP to another machine
)

var credentialsChecks = []check{
	{
		Credentials, "RFC 9110, section 11.6.2",
		"A client usually sends credentials after a challenge, a response with WWW-Authenticate.",
		(*run).credentials,
	},
	{
		CredentialsInURL, "RFC 6750, section 2.3; RFC 9110, section 4.2.4",
		"Passwords and tokens are not in URLs, which end up in logs.",
		(*run).credentialsInURL,
	},
	{
		CredentialsPlain, "RFC 7617, section 4",
		"A client sends Basic credentials over HTTPS, or to a loopback address.",
		(*run).credentialsPlain,
	},
}

func (l *run) credentials() {
	challenged := false
	for _, r := range l.records {
		if !challenged && r.RequestHeader.Get("Authorization") != "" {
			l.found(r, "the registry did not ask for the credentials %q", r.RequestHeader.Get("Authorization"))
		}
		challenged = challenged || !r.Ongoing && r.ResponseHeader.Get("WWW-Authenticate") != ""
	}
}

func (l *run) credentialsInURL() {
	for _, r := range l.records {
		if r.Session != "" && r.Op != registry.StartUpload {
			continue // The client has the query from a Location of the registry.
		}
		if _, ok := r.URL.User.Password(); ok {
			l.found(r, "there is a password before the host")
		}
		for name := range r.URL.Query() {
			if field.Secret(name) && !strings.EqualFold(name, "offline_token") {
				l.found(r, "there is a secret in the parameter %s", name)
			}
		}
	}
}

func (l *run) credentialsPlain() {
	for _, r := range l.records {
		scheme, _, _ := strings.Cut(r.RequestHeader.Get("Authorization"), " ")
		if strings.EqualFold(scheme, "Basic") && r.URL.Scheme == "http" && !names.Loopback(r.URL.Hostname()) {
			l.found(r, "a password is sent to %s in plain text", r.URL.Host)
		}
	}
}
