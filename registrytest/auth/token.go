package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Claims are what a token says: those of RFC 7519, and what its bearer may do.
type Claims struct {
	Issuer    string
	Subject   string // the user, "" for anonymous
	Audience  string // the service that the token is for
	Expires   time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	Access    []Access

	number uint64
}

// wireClaims is how claims are written in a token.
type wireClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expires   int64    `json:"exp"`
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        uint64   `json:"jti,string"`
	Access    []Access `json:"access"`
}

// wireHeader is the header of a token.
type wireHeader struct {
	Type      string `json:"typ"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
}

const (
	issuer    = "registry"
	algorithm = "ES256"
)

// keys is the key pair of an Auth.
type keys struct {
	private *ecdsa.PrivateKey
	id      string
}

// keyPair returns the key pair, which is made when it is first needed.
func (a *Auth) keyPair() (*keys, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.keys != nil {
		return a.keys, nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	sum := sha256.Sum256(point)
	a.keys = &keys{private, hex.EncodeToString(sum[:8])}
	return a.keys, nil
}

// sign returns the token with the claims.
func (a *Auth) sign(c Claims) (string, error) {
	k, err := a.keyPair()
	if err != nil {
		return "", err
	}
	header, err := encodePart(wireHeader{"JWT", algorithm, k.id})
	if err != nil {
		return "", err
	}
	payload, err := encodePart(wireClaims{
		c.Issuer, c.Subject, c.Audience, c.Expires.Unix(), c.NotBefore.Unix(), c.IssuedAt.Unix(), c.number, c.Access,
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(header + "." + payload))
	r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(signature[:]), nil
}

func encodePart(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

// verify returns the claims of a token, or why it is not valid for the
// service. The algorithm is ours and not the token's to choose.
func (a *Auth) verify(token, service string) (Claims, error) {
	k, err := a.keyPair()
	if err != nil {
		return Claims{}, err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, errors.New("the token is not a signed JWT")
	}
	var header wireHeader
	if err := decodePart(parts[0], &header); err != nil {
		return Claims{}, err
	}
	if header.Algorithm != algorithm || header.KeyID != k.id {
		return Claims{}, errors.New("the token is not signed with the key of this registry")
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return Claims{}, errors.New("the signature of the token is not one")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(&k.private.PublicKey, sum[:], r, s) {
		return Claims{}, errors.New("the signature of the token is wrong")
	}
	var c wireClaims
	if err := decodePart(parts[1], &c); err != nil {
		return Claims{}, err
	}
	now := time.Now().Unix()
	a.mu.Lock()
	expired := c.ID <= a.expired
	a.mu.Unlock()
	switch {
	case c.Issuer != issuer:
		return Claims{}, errors.New("the token is of another issuer")
	case c.Audience != service:
		return Claims{}, fmt.Errorf("the token is for %q, not for %q", c.Audience, service)
	case expired || now >= c.Expires:
		return Claims{}, errors.New("the token has expired")
	case now < c.NotBefore:
		return Claims{}, errors.New("the token is not valid yet")
	case c.Subject != "" && a.isRevoked(c.Subject):
		return Claims{}, errors.New("the user is known no more")
	}
	return Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, Access: c.Access, number: c.ID,
		Expires: time.Unix(c.Expires, 0), NotBefore: time.Unix(c.NotBefore, 0), IssuedAt: time.Unix(c.IssuedAt, 0),
	}, nil
}

// decodePart reads a part of a token, which must be there once and whole.
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
