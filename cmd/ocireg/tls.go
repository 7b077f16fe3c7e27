package main

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/ocireg/registry/internal/ca"
)

// certificates holds the server's certificate, which the command made itself.
type certificates struct {
	config *tls.Config
	caFile string
	remove func() // removes the temporary files
}

// makeCertificates makes a CA and a certificate for the server, and writes both
// to the directory of the settings. It writes no key, and drops the key of the
// CA, so clients that trust the CA trust only this server.
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
	authority, err := ca.New("ocireg CA")
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, host := range append([]string{host}, s.hosts...) {
		if host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	server, err := authority.Issue(ca.Server("ocireg", hosts...))
	if err != nil {
		return nil, fmt.Errorf("making certificates: %w", err)
	}
	// The directory has the form of Docker's directory for a registry, which other
	// clients accept in a flag: each *.crt file is a CA to trust. So the name of
	// the server's certificate must not have the ending of a CA's or of a client's.
	caFile := filepath.Join(dir, "ca.crt")
	for file, der := range map[string][]byte{caFile: authority.Cert.Raw, filepath.Join(dir, "server.pem"): server.Leaf.Raw} {
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return nil, err
		}
	}
	return &certificates{
		config: &tls.Config{Certificates: []tls.Certificate{*server}},
		caFile: caFile,
		remove: remove,
	}, nil
}
