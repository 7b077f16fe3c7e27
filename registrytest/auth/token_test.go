package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newToken returns a valid token, and the Auth that has made it.
func newToken(t *testing.T, change func(*Claims)) (*Auth, string) {
	a := &Auth{Scheme: SchemeBearer}
	a.User("ci")
	now := time.Now()
	c := Claims{Issuer: issuer, Subject: "ci", Audience: "service", IssuedAt: now, NotBefore: now, Expires: now.Add(time.Minute), number: 1}
	if change != nil {
		change(&c)
	}
	token, err := a.sign(c)
	require.NoError(t, err)
	return a, token
}

func TestVerify(t *testing.T) {
	a, good := newToken(t, nil)
	c, err := a.verify(good, "service")
	require.NoError(t, err)
	require.Equal(t, "ci", c.Subject)

	parts := strings.Split(good, ".")
	encode := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	k, err := a.keyPair()
	require.NoError(t, err)
	public, err := k.private.PublicKey.Bytes()
	require.NoError(t, err)
	mac := func(header, secret string) string {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(header + "." + parts[1]))
		return header + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	hs256 := encode(wireHeader{"JWT", "HS256", k.id})
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	root := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"ci"`, `"root"`, 1)))
	zero := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	forger := &Auth{keys: &keys{other, k.id}}
	forged, err := forger.sign(Claims{Issuer: issuer, Subject: "ci", Audience: "service", Expires: time.Now().Add(time.Hour), number: 1})
	require.NoError(t, err)

	for name, token := range map[string]string{
		"empty":                           "",
		"two parts":                       parts[0] + "." + parts[1],
		"four parts":                      good + ".",
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"alg none":                        encode(wireHeader{"JWT", "none", k.id}) + "." + parts[1] + ".",
		"alg None with the signature":     encode(wireHeader{"JWT", "None", k.id}) + "." + parts[1] + "." + parts[2],
		"alg empty":                       encode(wireHeader{"JWT", "", k.id}) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":       mac(hs256, string(public)),
		"HS256 with the key's name":       mac(hs256, k.id),
		"ES256 header, HMAC":              mac(parts[0], string(public)),
		"another user, same signature":    parts[0] + "." + root + "." + parts[2],
		"signature of zeros":              parts[0] + "." + parts[1] + "." + zero,
		"signed with a key of its own":    forged,
		"another key's name":              encode(wireHeader{"JWT", algorithm, "0000"}) + "." + parts[1] + "." + parts[2],
		"padding":                         good + "==",
		"trailing bits":                   good[:len(good)-1] + flipLastBit(good[len(good)-1]),
		"standard alphabet":               strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+",
		"header is no JSON":               "e30x." + parts[1] + "." + parts[2],
		"a second value behind the first": base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"`+k.id+`"}{}`)) + "." + parts[1] + "." + parts[2],
		"space":                           " " + good,
	} {
		_, err := a.verify(token, "service")
		require.Error(t, err, name)
	}
}

// flipLastBit returns another last character of base64 that a lenient decoder
// takes for the same bytes.
func flipLastBit(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func TestClaims(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Claims)
		ok     bool
	}{
		"as it is":         {nil, true},
		"another audience": {func(c *Claims) { c.Audience = "another" }, false},
		"no audience":      {func(c *Claims) { c.Audience = "" }, false},
		"another issuer":   {func(c *Claims) { c.Issuer = "another" }, false},
		"expired":          {func(c *Claims) { c.Expires = time.Now().Add(-time.Second) }, false},
		"never expires":    {func(c *Claims) { c.Expires = time.Time{} }, false},
		"not yet":          {func(c *Claims) { c.NotBefore = time.Now().Add(time.Minute) }, false},
		"unknown user":     {func(c *Claims) { c.Subject = "nobody" }, false},
		"anonymous":        {func(c *Claims) { c.Subject = "" }, true},
		"number 0":         {func(c *Claims) { c.number = 0 }, false},
	} {
		a, token := newToken(t, c.change)
		_, err := a.verify(token, "service")
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
}

func FuzzVerify(f *testing.F) {
	a := &Auth{Scheme: SchemeBearer}
	now := time.Now()
	good, err := a.sign(Claims{Issuer: issuer, Audience: "service", NotBefore: now, Expires: now.Add(time.Hour), number: 1})
	require.NoError(f, err)
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := a.verify(token, "service"); err == nil {
			require.Equal(t, good, token)
		}
	})
}
