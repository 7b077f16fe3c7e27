package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Claims are the content of a token: registered claims of RFC 7519, and the
// scopes that the token covers.
type Claims struct {
	Issuer    string
	Subject   string // name of the user, or "" for an anonymous client
	Audience  string // service that accepts the token, or "*" for any
	Expires   time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	Access    []Scope

	// Everything makes the token cover all rights of its user and ignore Access.
	// Some registries have one scope for all of their content.
	Everything bool

	number     uint64 // number of the token
	generation uint64 // generation of the user
	foreign    bool   // whether another issuer signed the token
}

// wireClaims is the form of Claims in a token.
type wireClaims struct {
	Issuer     string  `json:"iss"`
	Subject    string  `json:"sub"`
	Audience   string  `json:"aud"`
	Expires    int64   `json:"exp"`
	NotBefore  int64   `json:"nbf"`
	IssuedAt   int64   `json:"iat"`
	ID         uint64  `json:"jti,string"`
	Generation uint64  `json:"gen"`
	Access     []Scope `json:"access"`
	Everything bool    `json:"everything,omitempty"`
}

// wireHeader is the JOSE header of a token.
type wireHeader struct {
	Type      string `json:"typ"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid,omitempty"`
}

const (
	issuer    = "registry"
	algorithm = "HS256" // HMAC suffices, since the key never leaves the process

	anyService = "*"
)

// AccessToken returns a token that covers the scopes, such as
// "repository:team/app:pull,push". The token is that of the named user, or of an
// anonymous client if name is "". It is like one from the token service, but
// valid at any host, and the user may lack the rights for its scopes. Its time
// of issue is [time.Now], even if the registry has another clock. AccessToken
// panics if no user with the name was added or a scope is not valid.
func (a *Auth) AccessToken(name string, scopes ...string) string {
	access := parseScopes(scopes)
	for _, s := range scopes {
		if len(parseScopes([]string{s})) == 0 {
			panic(fmt.Sprintf("auth: AccessToken: %q is not a scope; want one like %q", s, "repository:team/app:pull"))
		}
	}
	if name != "" {
		a.mu.Lock()
		a.mustKnow("AccessToken", name)
		a.mu.Unlock()
	}
	token, err := a.sign(a.newClaims(name, anyService, access, time.Now()))
	if err != nil {
		panic("auth: " + err.Error())
	}
	return token
}

// newClaims returns the claims of a token for the named user and the service, issued
// at the given time by the registry's clock.
func (a *Auth) newClaims(name, service string, access []Scope, now time.Time) Claims {
	life := a.TokenLife
	if life == 0 {
		life = defaultTokenLife
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued++
	now = now.Add(a.skew)
	c := Claims{
		Issuer: issuer, Subject: name, Audience: service, Access: access, number: a.issued,
		IssuedAt: now, NotBefore: now, Expires: now.Add(life),
	}
	if u := a.active(name); u != nil {
		c.generation = u.generation
	}
	return c
}

// sign returns a signed token with the claims.
func (a *Auth) sign(c Claims) (string, error) {
	header, err := encodePart(wireHeader{Type: "JWT", Algorithm: algorithm})
	if err != nil {
		return "", err
	}
	payload, err := encodePart(wireClaims{
		c.Issuer, c.Subject, c.Audience, c.Expires.Unix(), c.NotBefore.Unix(), c.IssuedAt.Unix(), c.number, c.generation, c.Access, c.Everything,
	})
	if err != nil {
		return "", err
	}
	signed := header + "." + payload
	return signed + "." + base64.RawURLEncoding.EncodeToString(a.mac(signed)), nil
}

// mac returns the HMAC of the first two parts of a token.
func (a *Auth) mac(signed string) []byte {
	a.mu.Lock()
	if a.key == nil {
		a.key = make([]byte, sha256.Size)
		rand.Read(a.key) // rand.Read never returns an error.
	}
	h := hmac.New(sha256.New, a.key)
	a.mu.Unlock()
	h.Write([]byte(signed))
	return h.Sum(nil)
}

func encodePart(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// verify returns the claims of a token, or an error if the token is not valid
// for the service at that time. A client cannot confuse keys by naming another
// algorithm: only this registry's key verifies HS256, and only keys of other
// issuers verify other algorithms.
func (a *Auth) verify(token, service string, at time.Time) (Claims, error) {
	parts := strings.Split(token, ".")
	// Package base64 would ignore line breaks.
	if len(parts) != 3 || strings.ContainsAny(token, "\r\n") {
		return Claims{}, errors.New("the token is not a signed JWT")
	}
	var header wireHeader
	if err := decodePart(parts[0], &header); err != nil {
		return Claims{}, err
	}
	if header.Algorithm != algorithm {
		return a.verifyForeign(parts, header, service, at)
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || !hmac.Equal(signature, a.mac(parts[0]+"."+parts[1])) {
		return Claims{}, errors.New("the signature of the token is wrong")
	}
	var c wireClaims
	if err := decodePart(parts[1], &c); err != nil {
		return Claims{}, err
	}
	now := at.Unix()
	a.mu.Lock()
	u, expired := a.active(c.Subject), c.ID <= a.expired
	a.mu.Unlock()
	switch {
	case c.Issuer != issuer:
		return Claims{}, errors.New("the token is from another issuer")
	case c.Audience != service && c.Audience != anyService:
		return Claims{}, fmt.Errorf("the token is for %.200q, not for %q", c.Audience, service)
	case expired || now >= c.Expires:
		return Claims{}, errors.New("the token has expired")
	case now < c.NotBefore:
		return Claims{}, errors.New("the token is not valid yet")
	case c.Subject != "" && (u == nil || u.generation != c.Generation):
		return Claims{}, errors.New("the user was revoked or has a new password")
	}
	return Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, Access: c.Access, Everything: c.Everything, number: c.ID, generation: c.Generation,
		Expires: time.Unix(c.Expires, 0), NotBefore: time.Unix(c.NotBefore, 0), IssuedAt: time.Unix(c.IssuedAt, 0),
	}, nil
}

// decodePart decodes one part of a token into v. The part must be one JSON value
// in base64url.
func decodePart(part string, v any) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return errors.New("a part of the token is not base64url")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(v); err != nil || d.More() {
		return errors.New("a part of the token is not JSON")
	}
	return nil
}
