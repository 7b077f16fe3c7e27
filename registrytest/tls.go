package registrytest

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/ca"
)

// A TLSVariant changes how a server speaks TLS, see [WithTLS].
type TLSVariant uint8

// These variants make the server's certificate invalid, or restrict the clients and
// the protocol.
const (
	ExpiredCert       TLSVariant = 1 << iota // the certificate expired an hour ago
	NotYetValidCert                          // the certificate is valid from tomorrow
	WrongHostCert                            // the certificate is for another host
	UnknownCA                                // a CA that no client trusts issued the certificate
	RequireClientCert                        // the client has to show a certificate of the server's CA
	OnlyHTTP1                                // the server does not speak HTTP/2

	badCert = ExpiredCert | NotYetValidCert | WrongHostCert | UnknownCA
)

// secure makes a server speak TLS with a CA of its own, and returns the TLS
// configuration for its clients.
func secure(s *Server, host string) *tls.Config {
	s.ca = newCA(s.t)
	s.service.secure(s.ca, host, s.variant)
	return s.ca.clientConfig(s.ca.Pool())
}

// secure prepares the service for TLS. A client that sends no server name (SNI) gets
// the certificate for the host.
func (s *service) secure(ca *CA, host string, v TLSVariant) {
	config := &tls.Config{
		// If NextProtos were empty and the service had several ports, the port that it
		// serves first would decide whether it speaks HTTP/2.
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
	s.serveTLS = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
}

// CA returns the certificate authority of the server's certificate. A server at a port
// has one only with [WithTLS]; otherwise CA fails the test. A server in memory always
// has one, which is that of its network.
func (s *Server) CA() *CA {
	s.t.Helper()
	if s.ca == nil {
		s.t.Fatalf("registrytest: %s has no CA, because it was started without TLS; give the server the option WithTLS", s.Host())
	}
	return s.ca
}

// A CA is a certificate authority in memory, which the clients of its [Server]
// or [Network] trust. The CA makes its key on first use, in less than a millisecond.
type CA struct {
	t       TB
	issuer  issuer // signs certificates that clients trust
	unknown issuer // signs certificates that no client trusts

	mu    sync.Mutex
	certs map[certName]*tls.Certificate
}

// A certName is the key of a server's certificate in the cache of a CA.
type certName struct {
	host    string
	variant TLSVariant
}

// An issuer is an authority that is made when it is first needed.
type issuer struct {
	name string
	once sync.Once
	made *ca.Authority
}

func (i *issuer) authority() *ca.Authority {
	i.once.Do(func() {
		var err error
		if i.made, err = ca.New(i.name); err != nil {
			panic("registrytest: " + err.Error()) // Only a bug in this module can cause this.
		}
	})
	return i.made
}

func newCA(t TB) *CA {
	return &CA{
		t:       t,
		issuer:  issuer{name: "registrytest CA"},
		unknown: issuer{name: "unknown CA"},
		certs:   make(map[certName]*tls.Certificate),
	}
}

// PEM returns the authority's certificate in PEM.
func (c *CA) PEM() []byte {
	return encodePEM("CERTIFICATE", c.issuer.authority().Cert.Raw)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Pool returns a pool that holds only the authority's certificate.
func (c *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.issuer.authority().Cert)
	return pool
}

// ClientCert returns a certificate with the common name, for a client of a
// server with [RequireClientCert]. A clone of [Server.Transport] sends it if
// TLSClientConfig.Certificates holds it and GetClientCertificate is nil.
func (c *CA) ClientCert(name string) tls.Certificate {
	c.t.Helper()
	cert, err := c.clientCert(name)
	if err != nil {
		c.t.Fatalf("registrytest: making a client certificate for %q: %v", name, err)
	}
	return *cert
}

func (c *CA) clientCert(name string) (*tls.Certificate, error) {
	return c.issuer.authority().Issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// clientConfig returns the TLS configuration of a server's own clients, which trust
// the authorities of the pool.
func (c *CA) clientConfig(pool *x509.CertPool) *tls.Config {
	return &tls.Config{
		RootCAs: pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.clientCert("client")
		},
	}
}

// serverCert returns the certificate for a host, which is a name or an IP address. It
// issues a certificate only once.
func (c *CA) serverCert(host string, v TLSVariant) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := certName{host, v & badCert}
	if cert := c.certs[name]; cert != nil {
		return cert, nil
	}
	signer := &c.issuer
	if v&UnknownCA != 0 {
		signer = &c.unknown
	}
	if v&WrongHostCert != 0 {
		host = "wrong-host.test"
	}
	template := ca.Server(host, host)
	now := time.Now()
	if v&ExpiredCert != 0 {
		template.NotAfter = now.Add(-time.Hour)
	}
	if v&NotYetValidCert != 0 {
		template.NotBefore = now.Add(24 * time.Hour)
	}
	cert, err := signer.authority().Issue(template)
	if err != nil {
		return nil, err
	}
	c.certs[name] = cert
	return cert, nil
}
