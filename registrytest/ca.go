package registrytest

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"sync"
	"time"

	"github.com/ocireg/registry/internal/ca"
)

// A CA is a certificate authority in memory. It is made when it is first
// needed, which takes less than a millisecond, and trusted by the clients of
// its [Server] or [Network].
type CA struct {
	t TB

	// issuer is who signs what clients trust, stranger who signs what they do
	// not.
	issuer, stranger func() (*ca.Authority, error)

	mu    sync.Mutex
	certs map[certName]*tls.Certificate
}

// A certName is what there can be a certificate for.
type certName struct {
	host    string
	variant TLSVariant
}

func newCA(t TB) *CA {
	return &CA{
		t:        t,
		issuer:   sync.OnceValues(func() (*ca.Authority, error) { return ca.New("registrytest CA") }),
		stranger: sync.OnceValues(func() (*ca.Authority, error) { return ca.New("unknown CA") }),
		certs:    make(map[certName]*tls.Certificate),
	}
}

// PEM returns the certificate of the authority in PEM.
func (c *CA) PEM() []byte {
	c.t.Helper()
	return encodePEM("CERTIFICATE", c.mustIssuer().Cert.Raw)
}

// Pool returns a pool with the certificate of the authority alone.
func (c *CA) Pool() *x509.CertPool {
	c.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(c.mustIssuer().Cert)
	return pool
}

// ClientCert returns a certificate for a client to show to a server that asks
// for one, as those with [RequireClientCert] do. The name is its common name.
// A clone of [Server.Transport] shows it in place of its own if it is in
// TLSClientConfig.Certificates and GetClientCertificate there is nil.
func (c *CA) ClientCert(name string) tls.Certificate {
	c.t.Helper()
	cert, err := c.clientCert(name)
	if err != nil {
		c.t.Fatalf("registrytest: %v", err)
	}
	return *cert
}

func (c *CA) clientCert(name string) (*tls.Certificate, error) {
	i, err := c.issuer()
	if err != nil {
		return nil, err
	}
	return i.Issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (c *CA) mustIssuer() *ca.Authority {
	c.t.Helper()
	i, err := c.issuer()
	if err != nil {
		c.t.Fatalf("registrytest: %v", err)
	}
	return i
}

// serverCert returns the certificate of a host, which is a name or an address.
func (c *CA) serverCert(host string, v TLSVariant) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := certName{host, v & badCert}
	if cert := c.certs[name]; cert != nil {
		return cert, nil
	}
	signer := c.issuer
	if v&UnknownCA != 0 {
		signer = c.stranger
	}
	i, err := signer()
	if err != nil {
		return nil, err
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
	cert, err := i.Issue(template)
	if err != nil {
		return nil, err
	}
	c.certs[name] = cert
	return cert, nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
