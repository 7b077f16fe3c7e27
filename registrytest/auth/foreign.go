package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // links crypto.SHA256
	_ "crypto/sha512" // links crypto.SHA384 and crypto.SHA512
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// A trustedKey is a public key of another issuer.
type trustedKey struct {
	issuer string
	id     string // key ID; "" matches any
	key    crypto.PublicKey
}

// Trust makes the registry accept tokens of another issuer that are signed with
// the key: an *[rsa.PublicKey], an *[ecdsa.PublicKey] or an [ed25519.PublicKey].
// The rights of such a token are those in its claim access, and no rules apply.
// The registry need not know its user, and [Auth.Revoke] and [Auth.ExpireTokens]
// do not invalidate it. Trust returns an error if the key has another type, or if a
// running registry cannot enforce such rights; see [Auth.CheckStore] and [Auth.Err].
func (a *Auth) Trust(issuer string, key crypto.PublicKey) error {
	return a.trust(trustedKey{issuer: issuer, key: key})
}

func (a *Auth) trust(keys ...trustedKey) error {
	for _, k := range keys {
		switch k.key.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		default:
			return a.noteErr(fmt.Errorf("the key of issuer %s is a %T; want an RSA, ECDSA or Ed25519 public key", k.issuer, k.key))
		}
	}
	return a.noteErr(a.change(func() (undo func()) {
		before := a.trusted
		a.trusted = append(a.trusted, keys...)
		return func() { a.trusted = before }
	}))
}

// TrustJWKS is like [Auth.Trust] for each key in a JSON Web Key Set (RFC 7517,
// section 5). It ignores keys that are not for signatures, and returns an error
// if the set is malformed or no key is left.
func (a *Auth) TrustJWKS(issuer string, set []byte) error {
	var s struct {
		Keys []webKey `json:"keys"`
	}
	if err := json.Unmarshal(set, &s); err != nil {
		return a.noteErr(fmt.Errorf("the keys of issuer %s: %w", issuer, err))
	}
	var keys []trustedKey
	for i, k := range s.Keys {
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		key, err := k.public()
		if err != nil {
			return a.noteErr(fmt.Errorf("key %d of issuer %s: %w", i, issuer, err))
		}
		keys = append(keys, trustedKey{issuer, k.ID, key})
	}
	if len(keys) == 0 {
		return a.noteErr(fmt.Errorf("the set of issuer %s has no key for signatures", issuer))
	}
	return a.trust(keys...)
}

// A webKey is a JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037).
type webKey struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	ID    string `json:"kid"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
	N     string `json:"n"`
	E     string `json:"e"`
}

func (k webKey) public() (crypto.PublicKey, error) {
	number := func(s string) *big.Int {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	switch k.Type {
	case "RSA":
		n, e := number(k.N), number(k.E)
		if n.Sign() == 0 || !e.IsInt64() || e.Int64() < 2 || e.Int64() > 1<<31-1 {
			return nil, errors.New("n or e is not valid for an RSA key")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Curve]
		if curve == nil {
			return nil, fmt.Errorf("curve %q is not P-256, P-384 or P-521", k.Curve)
		}
		size, x, y := (curve.Params().BitSize+7)/8, number(k.X), number(k.Y)
		if max(x.BitLen(), y.BitLen()) > 8*size {
			return nil, errors.New("x or y is too large")
		}
		point := make([]byte, 1+2*size)
		point[0] = 4 // marks an uncompressed point
		x.FillBytes(point[1 : 1+size])
		y.FillBytes(point[1+size:])
		return ecdsa.ParseUncompressedPublicKey(curve, point)
	case "OKP":
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if k.Curve != "Ed25519" || err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("the key is not an Ed25519 key")
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, fmt.Errorf("kty %q is not RSA, EC or OKP", k.Type)
}

// foreignClaims are the claims in a token of another issuer.
type foreignClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	Expires   float64  `json:"exp"`
	NotBefore float64  `json:"nbf"`
	Access    []Scope  `json:"access"`
}

// audience is the claim aud: a string or a list of strings (RFC 7519, section
// 4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// verifyForeign returns the claims of a token of another issuer, or an error if
// the token is not valid for the service at that time.
func (a *Auth) verifyForeign(parts []string, header wireHeader, service string, at time.Time) (Claims, error) {
	var c foreignClaims
	if err := decodePart(parts[1], &c); err != nil {
		return Claims{}, err
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return Claims{}, errors.New("the signature of the token is not base64url")
	}
	a.mu.Lock()
	keys := a.trusted
	a.mu.Unlock()
	signed, valid := []byte(parts[0]+"."+parts[1]), false
	for _, k := range keys {
		if k.issuer == c.Issuer && (k.id == "" || header.KeyID == "" || k.id == header.KeyID) {
			valid = valid || verifySignature(header.Algorithm, k.key, signed, signature)
		}
	}
	now := float64(at.Unix())
	switch {
	case !valid:
		return Claims{}, fmt.Errorf("no trusted key of issuer %.200q has signed the token with %.20q", c.Issuer, header.Algorithm)
	case !slices.Contains(c.Audience, service):
		return Claims{}, fmt.Errorf("the token is for %.200q, not for %q", strings.Join(c.Audience, ", "), service)
	case now >= c.Expires:
		return Claims{}, errors.New("the token has expired")
	case now < c.NotBefore:
		return Claims{}, errors.New("the token is not valid yet")
	}
	return Claims{Issuer: c.Issuer, Subject: c.Subject, Access: c.Access, foreign: true}, nil
}

// verifySignature reports whether the signature is valid for the signed bytes,
// by the JWS algorithm (RFC 7518, section 3.1, and RFC 8037) and the public key.
func verifySignature(algorithm string, key crypto.PublicKey, signed, signature []byte) bool {
	if key, ok := key.(ed25519.PublicKey); ok {
		return algorithm == "EdDSA" && ed25519.Verify(key, signed, signature)
	}
	if len(algorithm) != 5 {
		return false
	}
	kind, bits := algorithm[:2], algorithm[2:]
	hash, ok := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[bits]
	if !ok {
		return false
	}
	h := hash.New()
	h.Write(signed)
	sum := h.Sum(nil)
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch kind {
		case "RS":
			return rsa.VerifyPKCS1v15(key, hash, sum, signature) == nil
		case "PS":
			return rsa.VerifyPSS(key, hash, sum, signature, nil) == nil
		}
	case *ecdsa.PublicKey:
		curve := map[string]string{"256": "P-256", "384": "P-384", "512": "P-521"}[bits]
		params := key.Params()
		size := (params.BitSize + 7) / 8
		if kind != "ES" || params.Name != curve || len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(key, sum, r, s)
	}
	return false
}
