package auth_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/auth"
)

func TestBasic(t *testing.T) {
	r := newReg(t, auth.Basic())
	ci := r.User("ci")

	w := r.do("GET", "/v2/", nil, "")
	require.Equal(t, 401, w.Code)
	require.Equal(t, `Basic realm="registry"`, w.Header().Get("WWW-Authenticate"))
	require.Equal(t, "UNAUTHORIZED", code(t, w))
	require.Equal(t, "registry/2.0", w.Header().Get("Docker-Distribution-Api-Version"))

	require.Equal(t, 200, r.do("GET", "/v2/", basic(ci), "").Code)
	require.Equal(t, 200, r.do("GET", blobPath("team/app"), basic(ci), "").Code)
	lower := header{"Authorization": {strings.Replace(basic(ci).Get("Authorization"), "Basic", "bAsIc", 1)}}
	require.Equal(t, 200, r.do("GET", "/v2/", lower, "").Code, "RFC 9110, section 11.1: the scheme is case-insensitive")

	for name, h := range map[string]header{
		"another password": basic(auth.Credentials{Username: "ci", Password: "x"}),
		"no password":      basic(auth.Credentials{Username: "ci"}),
		"unknown user":     basic(auth.Credentials{Username: "nobody", Password: ci.Password}),
		"empty":            basic(auth.Credentials{}),
		"not base64":       {"Authorization": {"Basic %%%"}},
		"no colon":         {"Authorization": {"Basic Y2k="}},
		"bearer":           bearer("x"),
		"nothing":          {"Authorization": {""}},
		"twice":            {"Authorization": {basic(ci).Get("Authorization"), basic(ci).Get("Authorization")}},
	} {
		for _, path := range []string{"/v2/", blobPath("team/app"), "/v2/_catalog"} {
			w := r.do("GET", path, h, "")
			require.Equal(t, 401, w.Code, "%s %s", name, path)
			require.NotEmpty(t, w.Header().Get("WWW-Authenticate"), name)
		}
	}

	r.Revoke("ci")
	require.Equal(t, 401, r.do("GET", "/v2/", basic(ci), "").Code)
	again := r.User("ci")
	require.NotEqual(t, ci.Password, again.Password)
	require.Equal(t, 200, r.do("GET", "/v2/", basic(again), "").Code)
}

func TestClientCertificate(t *testing.T) {
	r := newReg(t, auth.Basic())
	r.User("ci", "pull **")
	verified := func(name string) *tls.ConnectionState {
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}}}}}
	}
	get := func(method string, state *tls.ConnectionState) int {
		req := httptest.NewRequest(method, "https://"+host+"/v2/team/app/manifests/v1", nil)
		req.TLS = state
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		return w.Code
	}
	require.Equal(t, 200, get("GET", verified("ci")))
	require.Equal(t, 403, get("DELETE", verified("ci")))
	require.Equal(t, 401, get("GET", verified("nobody")))
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "ci"}}}}
	require.Equal(t, 401, get("GET", unverified), "a certificate counts only if the TLS server verified it")
	r.Revoke("ci")
	require.Equal(t, 401, get("GET", verified("ci")))
}

func TestHtpasswd(t *testing.T) {
	const file = `# made by htpasswd
anna:secret:with:colons

bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=
`
	r := newReg(t, auth.Basic())
	require.NoError(t, r.AddHtpasswd(strings.NewReader(file), "pull team/**"))
	get := func(name, password string) int {
		return r.do("GET", "/v2/team/app/manifests/v1", basic(auth.Credentials{Username: name, Password: password}), "").Code
	}
	require.Equal(t, 200, get("anna", "secret:with:colons"))
	require.Equal(t, 401, get("anna", "secret"))
	require.Equal(t, 200, get("bob", "secret"))
	require.Equal(t, 401, get("bob", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="), "the hash is not a password")
	require.Equal(t, 401, get("bob", ""))
	require.Equal(t, 403, r.do("DELETE", "/v2/team/app/manifests/v1", basic(auth.Credentials{Username: "bob", Password: "secret"}), "").Code)
	r.Revoke("bob")
	require.Equal(t, 401, get("bob", "secret"))

	hashed := newReg(t, auth.Basic())
	hashed.CheckHash = func(hash, password string) bool { return hash == "$2y$"+password }
	require.NoError(t, hashed.AddHtpasswd(strings.NewReader("anna:$2y$secret")))
	h := basic(auth.Credentials{Username: "anna", Password: "secret"})
	require.Equal(t, 200, hashed.do("GET", "/v2/", h, "").Code)
	h = basic(auth.Credentials{Username: "anna", Password: "$2y$secret"})
	require.Equal(t, 401, hashed.do("GET", "/v2/", h, "").Code)

	for file, want := range map[string]string{
		"a:b\nanna":        "htpasswd file, line 2: want NAME:PASSWORD",
		"anna:":            "line 1: want NAME:PASSWORD",
		"anna:$2y$05$x":    "line 1: the password is neither plain text nor {SHA}",
		"anonymous:secret": `line 1: "anonymous" cannot be the name of a user`,
	} {
		a := auth.Basic()
		err := a.AddHtpasswd(strings.NewReader(file))
		require.ErrorContains(t, err, want)
		require.Equal(t, err, a.Err())
	}
	require.ErrorContains(t, auth.Basic().AddHtpasswd(strings.NewReader("a:b"), "*"), `rule "*" of user a`)
	require.ErrorIs(t, auth.Basic().AddHtpasswd(iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF)
}
