// Package ca issues certificates for tests by a certificate authority whose key
// is only in memory.
package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"time"
)

// Unless its template sets other times, a certificate is valid from validBefore
// ago until validAfter from now. It begins two days ago, because clocks of
// containers and virtual machines may be slow, and because an expired certificate
// must begin before it ends. It ends later than any test advances its clock.
const (
	validBefore = 2 * 24 * time.Hour
	validAfter  = 10 * 365 * 24 * time.Hour
)

// An Authority issues certificates.
type Authority struct {
	// Cert is the authority's own certificate.
	Cert *x509.Certificate

	key *ecdsa.PrivateKey
}

// New returns an authority with the name and a new key.
func New(name string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of %s: %w", name, err)
	}
	a := &Authority{key: key, Cert: &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}}
	if a.Cert, err = a.sign(a.Cert, key); err != nil {
		return nil, err
	}
	return a, nil
}

// Server returns the template of a server's certificate for the hosts, which are
// names or IP addresses.
func Server(name string, hosts ...string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

// Issue returns a certificate made from the template, with a new key. It sets the
// key usage of the template, and the times that the template leaves zero.
func (a *Authority) Issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of %s: %w", template.Subject, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	cert, err := a.sign(template, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func (a *Authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	now := time.Now()
	if template.NotBefore.IsZero() {
		template.NotBefore = now.Add(-validBefore)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = now.Add(validAfter)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}
