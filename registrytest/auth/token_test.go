package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newToken returns a token, and the Auth that issued it. The function change, if
// not nil, modifies the claims of the token, which are valid otherwise.
func newToken(t *testing.T, change func(*Claims)) (*Auth, string) {
	a := Bearer()
	a.User("ci")
	now := time.Now()
	c := Claims{
		Issuer: issuer, Subject: "ci", Audience: "service", IssuedAt: now, NotBefore: now, Expires: now.Add(time.Minute),
		number: 1, generation: a.users["ci"].generation,
	}
	if change != nil {
		change(&c)
	}
	token, err := a.sign(c)
	require.NoError(t, err)
	return a, token
}

func TestVerify(t *testing.T) {
	a, good := newToken(t, nil)
	c, err := a.verify(good, "service", time.Now())
	require.NoError(t, err)
	require.Equal(t, "ci", c.Subject)

	parts := strings.Split(good, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	header := func(algorithm string) string {
		text, err := json.Marshal(wireHeader{Type: "JWT", Algorithm: algorithm})
		require.NoError(t, err)
		return encode(string(text))
	}
	require.Equal(t, parts[0], header("HS256"))
	sign := func(header string, h func() hash.Hash, key []byte) string {
		m := hmac.New(h, key)
		m.Write([]byte(header + "." + parts[1]))
		return header + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	require.Equal(t, good, sign(parts[0], sha256.New, a.key))
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	root := encode(strings.Replace(string(payload), `"ci"`, `"root"`, 1))
	_, other := newToken(t, nil)

	for name, token := range map[string]string{
		"empty":                           "",
		"two parts":                       parts[0] + "." + parts[1],
		"four parts":                      good + ".",
		"no signature":                    parts[0] + "." + parts[1] + ".",
		"alg none":                        header("none") + "." + parts[1] + ".",
		"alg None with the signature":     header("None") + "." + parts[1] + "." + parts[2],
		"alg empty":                       header("") + "." + parts[1] + "." + parts[2],
		"alg none, signed":                sign(header("none"), sha256.New, a.key),
		"alg hs256, signed":               sign(header("hs256"), sha256.New, a.key),
		"alg HS512, signed":               sign(header("HS512"), sha512.New, a.key),
		"alg HS256, signed with SHA-512":  sign(parts[0], sha512.New, a.key),
		"alg ES256, signed with HMAC":     sign(header("ES256"), sha256.New, a.key),
		"alg RS256 with the signature":    header("RS256") + "." + parts[1] + "." + parts[2],
		"no key":                          sign(parts[0], sha256.New, nil),
		"a key of zeros":                  sign(parts[0], sha256.New, make([]byte, sha256.Size)),
		"the issuer as a key":             sign(parts[0], sha256.New, []byte(issuer)),
		"the key of another registry":     other,
		"another user, same signature":    parts[0] + "." + root + "." + parts[2],
		"signature of zeros":              parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, sha256.Size)),
		"half of the signature":           parts[0] + "." + parts[1] + "." + parts[2][:20],
		"padding":                         good + "=",
		"trailing bits":                   good[:len(good)-1] + flipLastBit(good[len(good)-1]),
		"standard alphabet":               strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+",
		"header is no JSON":               "e30x." + parts[1] + "." + parts[2],
		"a second value behind the first": encode(`{"alg":"HS256"}{}`) + "." + parts[1] + "." + parts[2],
		"space":                           " " + good,
		"a line end in the signature":     good[:len(good)-5] + "\n" + good[len(good)-5:],
	} {
		_, err := a.verify(token, "service", time.Now())
		require.Error(t, err, name)
	}
}

// flipLastBit returns the base64 character that differs from c in the last bit.
// At the end of a text, that bit may be unused, and a lenient decoder ignores
// it.
func flipLastBit(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func TestClaims(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Claims)
		ok     bool
	}{
		"unchanged":          {nil, true},
		"another generation": {func(c *Claims) { c.generation++ }, false},
		"another audience":   {func(c *Claims) { c.Audience = "another" }, false},
		"no audience":        {func(c *Claims) { c.Audience = "" }, false},
		"another issuer":     {func(c *Claims) { c.Issuer = "another" }, false},
		"expired":            {func(c *Claims) { c.Expires = time.Now().Add(-time.Second) }, false},
		"never expires":      {func(c *Claims) { c.Expires = time.Time{} }, false},
		"not yet":            {func(c *Claims) { c.NotBefore = time.Now().Add(time.Minute) }, false},
		"unknown user":       {func(c *Claims) { c.Subject = "nobody" }, false},
		"anonymous":          {func(c *Claims) { c.Subject, c.generation = "", 0 }, true},
		"number 0":           {func(c *Claims) { c.number = 0 }, false},
	} {
		a, token := newToken(t, c.change)
		_, err := a.verify(token, "service", time.Now())
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
}

func FuzzVerify(f *testing.F) {
	a := Bearer()
	now := time.Now()
	good, err := a.sign(Claims{Issuer: issuer, Audience: "service", NotBefore: now, Expires: now.Add(time.Hour), number: 1})
	require.NoError(f, err)
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := a.verify(token, "service", time.Now()); err == nil {
			require.Equal(t, good, token)
		}
	})
}
