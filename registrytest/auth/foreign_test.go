package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/auth"
)

type object = map[string]any

// claimsOf returns claims for the scopes, as a trusted issuer puts them in a
// token.
func claimsOf(scopes ...auth.Scope) object {
	return object{"iss": "issuer", "sub": "anna", "aud": host, "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Unix(), "jti": "x", "access": scopes}
}

func scope(name string, actions ...string) auth.Scope {
	return auth.Scope{Type: "repository", Name: name, Actions: actions}
}

// signed returns a token with the header and claims, signed with the private
// key. A key of type []byte is for HMAC with SHA-256.
func signed(t testing.TB, algorithm string, key any, header, claims object) string {
	t.Helper()
	encode := func(v object) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	all := object{"typ": "JWT", "alg": algorithm}
	for k, v := range header {
		all[k] = v
	}
	text := encode(all) + "." + encode(claims)
	hash := map[string]crypto.Hash{"384": crypto.SHA384, "512": crypto.SHA512}[algorithm[len(algorithm)-3:]]
	if hash == 0 {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write([]byte(text))
	sum := h.Sum(nil)
	var signature []byte
	var err error
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(algorithm, "PS") {
			signature, err = rsa.SignPSS(rand.Reader, key, hash, sum, nil)
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, key, hash, sum)
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		r, s, err = ecdsa.Sign(rand.Reader, key, sum)
		size := (key.Params().BitSize + 7) / 8
		signature = make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(text))
	case []byte:
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		signature = m.Sum(nil)
	}
	require.NoError(t, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// A keyPair is a private key and its public key. The field web is the public key
// as a JSON Web Key.
type keyPair struct {
	private any
	public  crypto.PublicKey
	web     object
}

func newKeyPair(t *testing.T, kind string) keyPair {
	t.Helper()
	base64url := base64.RawURLEncoding.EncodeToString
	ec := func(curve elliptic.Curve) keyPair {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		point, err := k.PublicKey.Bytes() // the byte 4, x and y
		require.NoError(t, err)
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		return keyPair{k, &k.PublicKey, object{"kty": "EC", "crv": curve.Params().Name, "x": base64url(x), "y": base64url(y)}}
	}
	switch kind {
	case "P-256":
		return ec(elliptic.P256())
	case "P-384":
		return ec(elliptic.P384())
	case "P-521":
		return ec(elliptic.P521())
	case "RSA":
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		return keyPair{k, &k.PublicKey, object{"kty": "RSA", "n": base64url(k.N.Bytes()), "e": "AQAB"}}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return keyPair{private, public, object{"kty": "OKP", "crv": "Ed25519", "x": base64url(public)}}
}

func webKeys(t *testing.T, keys ...object) []byte {
	t.Helper()
	text, err := json.Marshal(object{"keys": keys})
	require.NoError(t, err)
	return text
}

// The registry accepts tokens of a trusted issuer that are signed with an RSA, ECDSA or
// Ed25519 key, whether the key comes from Trust or TrustJWKS.
func TestTrust(t *testing.T) {
	t.Parallel()
	rsaKey := newKeyPair(t, "RSA")
	for algorithm, k := range map[string]keyPair{
		"RS256": rsaKey, "RS384": rsaKey, "RS512": rsaKey, "PS256": rsaKey,
		"ES256": newKeyPair(t, "P-256"), "ES384": newKeyPair(t, "P-384"), "ES512": newKeyPair(t, "P-521"), "EdDSA": newKeyPair(t, ""),
	} {
		for _, web := range []bool{false, true} {
			r := newReg(t, auth.Bearer())
			if web {
				require.NoError(t, r.TrustJWKS("issuer", webKeys(t, object{"kty": "unknown", "use": "enc"}, k.web)))
			} else {
				require.NoError(t, r.Trust("issuer", k.public))
			}
			token := bearer(signed(t, algorithm, k.private, nil, claimsOf(scope("team/app", "pull"))))
			require.Equal(t, 200, r.do("GET", "/v2/team/app/manifests/v1", token, "").Code, algorithm)
		}
	}
}

// The rights of a client with another issuer's token are those in the token.
func TestRightsOfAnotherIssuer(t *testing.T) {
	t.Parallel()
	k := newKeyPair(t, "P-256")
	var last *registry.Exchange
	r := newReg(t, auth.Bearer(), registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { last = x })))
	require.NoError(t, r.Trust("issuer", k.public))
	token := bearer(signed(t, "ES256", k.private, nil, claimsOf(scope("team/app", "pull", "push"))))
	require.Equal(t, 200, r.do("GET", "/v2/", token, "").Code)
	require.Equal(t, 200, r.do("GET", "/v2/team/app/tags/list", token, "").Code)
	require.Equal(t, "anna", last.Request.User)
	require.Equal(t, "repository:team/app:pull,push", last.Request.Scope)
	require.Equal(t, 202, r.do("POST", "/v2/team/app/blobs/uploads/", token, "").Code)
	w := r.do("DELETE", "/v2/team/app/manifests/v1", token, "")
	require.Equal(t, 401, w.Code)
	require.Contains(t, w.Header().Get("WWW-Authenticate"), `scope="repository:team/app:delete",error="insufficient_scope"`)
	require.Equal(t, 401, r.do("GET", "/v2/secret/app/manifests/v1", token, "").Code)
	require.Equal(t, 401, r.do("GET", "/v2/_catalog", token, "").Code)
	secret := string(digest.FromBytes(blob("secret/app")))
	for _, from := range []string{"", "&from=secret/app"} {
		require.Equal(t, 202, r.do("POST", "/v2/team/app/blobs/uploads/?mount="+secret+from, token, "").Code, "a blob is not mounted from a repository that the token does not cover")
	}
	catalog := bearer(signed(t, "ES256", k.private, nil, claimsOf(auth.Scope{Type: "registry", Name: "catalog", Actions: []string{"*"}})))
	require.Contains(t, r.do("GET", "/v2/_catalog", catalog, "").Body.String(), "secret/app")
}

func TestTokensThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	k, other, rsaKey := newKeyPair(t, "P-256"), newKeyPair(t, "P-256"), newKeyPair(t, "RSA")
	a := auth.Bearer()
	require.NoError(t, a.Trust("issuer", rsaKey.public))
	web := object{"kid": "1"}
	for name, v := range k.web {
		web[name] = v
	}
	require.NoError(t, a.TrustJWKS("issuer", webKeys(t, web)))
	require.NoError(t, a.Trust("friend", other.public))
	r := newReg(t, a)
	der, err := x509.MarshalPKIXPublicKey(rsaKey.public)
	require.NoError(t, err)
	with := func(name string, value any) object {
		c := claimsOf(scope("team/app", "pull"))
		c[name] = value
		return c
	}
	good := claimsOf(scope("team/app", "pull"))
	goodToken := signed(t, "ES256", k.private, nil, good)
	parts := strings.Split(goodToken, ".")
	for name, c := range map[string]struct {
		token string
		ok    bool
	}{
		"good":                        {goodToken, true},
		"the key ID":                  {signed(t, "ES256", k.private, object{"kid": "1"}, good), true},
		"several audiences":           {signed(t, "ES256", k.private, nil, with("aud", []string{"other", host})), true},
		"another key ID":              {signed(t, "ES256", k.private, object{"kid": "2"}, good), false},
		"another key":                 {signed(t, "ES256", other.private, nil, good), false},
		"another issuer":              {signed(t, "ES256", k.private, nil, with("iss", "friend")), false},
		"an unknown issuer":           {signed(t, "ES256", k.private, nil, with("iss", "stranger")), false},
		"the issuer of this registry": {signed(t, "ES256", k.private, nil, with("iss", "registry")), false},
		"another audience":            {signed(t, "ES256", k.private, nil, with("aud", "other")), false},
		"any audience":                {signed(t, "ES256", k.private, nil, with("aud", "*")), false},
		"no audience":                 {signed(t, "ES256", k.private, nil, with("aud", nil)), false},
		"expired":                     {signed(t, "ES256", k.private, nil, with("exp", time.Now().Unix())), false},
		"no end":                      {signed(t, "ES256", k.private, nil, with("exp", nil)), false},
		"not yet":                     {signed(t, "ES256", k.private, nil, with("nbf", time.Now().Add(time.Minute).Unix())), false},
		"malformed access":            {signed(t, "ES256", k.private, nil, with("access", "all")), false},
		"no signature":                {parts[0] + "." + parts[1] + ".", false},
		"alg none":                    {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", false},
		"another algorithm":           {signed(t, "ES384", k.private, nil, good), false},
		"HMAC with the RSA key":       {signed(t, "HS256", der, nil, good), false},
		"HMAC as RS256":               {signed(t, "RS256", der, nil, good), false},
		"ECDSA as RS256":              {signed(t, "RS256", k.private, nil, good), false},
	} {
		want := map[bool]int{true: 200, false: 401}[c.ok]
		require.Equal(t, want, r.do("GET", "/v2/team/app/manifests/v1", bearer(c.token), "").Code, name)
	}
}

func TestKeysThatAreNotValid(t *testing.T) {
	t.Parallel()
	k := newKeyPair(t, "P-256")
	for name, set := range map[string]string{
		"not JSON":                 "x",
		"no keys":                  `{}`,
		"none for signatures":      `{"keys":[{"kty":"RSA","use":"enc"}]}`,
		"another type":             `{"keys":[{"kty":"oct"}]}`,
		"another curve":            `{"keys":[{"kty":"EC","crv":"P-224"}]}`,
		"a point not on the curve": `{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`,
		"a point that is too long": `{"keys":[{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("_", 90) + `","y":"AQ"}]}`,
		"no exponent":              `{"keys":[{"kty":"RSA","n":"AQAB"}]}`,
		"no modulus":               `{"keys":[{"kty":"RSA","e":"AQAB"}]}`,
		"a short Ed25519 key":      `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQ"}]}`,
	} {
		a := auth.Bearer()
		err := a.TrustJWKS("issuer", []byte(set))
		require.ErrorContains(t, err, "issuer", name)
		require.Equal(t, err, a.Err(), name)
	}
	require.ErrorContains(t, auth.Bearer().Trust("issuer", k.private), "*ecdsa.PrivateKey")
	require.ErrorContains(t, auth.Bearer().Trust("issuer", nil), "the key of issuer issuer is a <nil>")
}

func FuzzForeignToken(f *testing.F) {
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpc3N1ZXIiLCJhdWQiOlsiYSJdfQ.AAAA")
	f.Add("eyJhbGciOiJFZERTQSJ9.e30.AAAA")
	a := auth.Bearer()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(f, err)
	require.NoError(f, a.Trust("issuer", public))
	h := registry.New(memstore.New(), a.Options()...)
	f.Fuzz(func(t *testing.T, token string) {
		r := &reg{t, a, h, nil}
		require.Equal(t, 401, r.do("GET", "/v2/", bearer(token), "").Code)
	})
}
