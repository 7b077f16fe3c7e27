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

// certificates are the certificates that the command made for itself.
type certificates struct {
	config *tls.Config
	caFile string
	remove func() // removes the temporary files
}

// makeCertificates makes a CA and a certificate for the server, and writes them
// to the directory of the settings. It writes no key, and drops the key of the
// CA: a client that trusts the CA trusts this one server.
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
	// Docker has a directory of this form for each registry, and other clients
	// take it as a flag: *.crt are the CAs to trust. The server's certificate
	// must not look like the certificate of a CA or a client.
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
