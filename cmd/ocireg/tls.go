package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// certificates are those that the command has made for itself.
type certificates struct {
	config *tls.Config
	caFile string
	remove func() // removes what is of no use when the server has ended
}

// makeCertificates makes a certificate for the server and a CA that has issued
// it, and writes them to the directory that the settings name. The keys are
// never written: that of the CA is gone when this returns, so that to trust
// the CA is to trust this one server.
func (s *settings) makeCertificates() (_ *certificates, err error) {
	dir, remove := s.tlsDir, func() {}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ocireg-tls-"); err != nil {
			return nil, err
		}
		remove = func() { os.RemoveAll(dir) }
	} else if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()

	host, _, err := net.SplitHostPort(s.addr)
	if err != nil {
		return nil, err
	}
	ca, server, key, err := issue([]string{"localhost", "127.0.0.1", "::1", host})
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	// In a directory of this form, of which Docker has one for each registry
	// and other clients take a flag, *.crt are the CAs to trust. The server's
	// own must not look like one, nor like a client's.
	caFile := filepath.Join(dir, "ca.crt")
	for file, der := range map[string][]byte{caFile: ca, filepath.Join(dir, "server.pem"): server} {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return nil, err
		}
	}
	return &certificates{
		config: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{server}, PrivateKey: key}}},
		caFile: caFile,
		remove: remove,
	}, nil
}

// issue makes a CA and a certificate for the hosts that it has issued, both in
// DER, and the key of the latter.
func issue(hosts []string) (ca, server []byte, key *ecdsa.PrivateKey, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "ocireg CA"},
		NotBefore:             now.Add(-time.Hour), // the clocks of containers and virtual machines are not always right
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	if ca, err = x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey); err != nil {
		return nil, nil, nil, err
	}
	parent, err := x509.ParseCertificate(ca)
	if err != nil {
		return nil, nil, nil, err
	}
	template = &x509.Certificate{
		Subject:               pkix.Name{CommonName: "ocireg"},
		NotBefore:             template.NotBefore,
		NotAfter:              template.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	slices.Sort(hosts)
	for _, host := range slices.Compact(hosts) {
		if ip, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
		} else if host != "" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	server, err = x509.CreateCertificate(rand.Reader, template, parent, key.Public(), caKey)
	return ca, server, key, err
}
