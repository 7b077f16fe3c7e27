package registrytest

import (
	"crypto/tls"
	"net/http"
	"strings"
)

// A TLSVariant is a way in which the TLS of a server differs from what is
// usual, see [WithTLS].
type TLSVariant uint8

// The variants.
const (
	ExpiredCert       TLSVariant = 1 << iota // the certificate expired an hour ago
	NotYetValidCert                          // the certificate is valid from tomorrow on
	WrongHostCert                            // the certificate is for another host
	UnknownCA                                // the certificate is signed by a CA that nobody trusts
	RequireClientCert                        // the client has to show a certificate of the server's CA
	OnlyHTTP1                                // there is no HTTP/2

	badCert = ExpiredCert | NotYetValidCert | WrongHostCert | UnknownCA
)

// WithTLS has the server speak HTTPS, with HTTP/2 and with a certificate of a
// CA that [Server.Client] and [Server.Transport] trust, see [Server.CA]. If the
// server asks them for a certificate, they show one with the common name
// "client".
//
// The variants combine, also those of several WithTLS.
func WithTLS(variants ...TLSVariant) Option {
	return option{name: "WithTLS", set: func(s *settings) {
		s.tls = true
		for _, v := range variants {
			s.variant |= v
		}
	}}
}

// serveTLS prepares the service to speak TLS on the ports that do. Host is what
// a client calls it that does not say.
func (s *service) serveTLS(ca *CA, host string, v TLSVariant) {
	config := &tls.Config{
		// If it is not said here, whether there is HTTP/2 depends on which of
		// its ports a service with several begins with.
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if name := strings.ToLower(hello.ServerName); name != "" {
				return ca.serverCert(name, v)
			}
			return ca.serverCert(host, v)
		},
	}
	if v&RequireClientCert != 0 {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	}
	if v&OnlyHTTP1 != 0 {
		config.NextProtos = []string{"http/1.1"}
		s.http.Protocols = new(http.Protocols)
		s.http.Protocols.SetHTTP1(true)
	}
	s.http.TLSConfig = config
}

// clientConfig returns what the clients of a server do for TLS.
func (c *CA) clientConfig() *tls.Config {
	return &tls.Config{
		RootCAs: c.Pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.clientCert("client")
		},
	}
}
