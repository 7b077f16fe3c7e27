package registrytest

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
	"sync"
	"time"
)

// A CA is a certificate authority in memory. It is made when it is first
// needed, which takes less than a millisecond, and trusted by the clients of
// its [Server] or [Network].
type CA struct {
	t TB

	// issuer is who signs what clients trust, stranger who signs what they do
	// not.
	issuer, stranger func() (*issuer, error)

	mu    sync.Mutex
	certs map[certName]*tls.Certificate
	dir   string
}

// A certName is what there can be a certificate for.
type certName struct {
	host    string
	variant TLSVariant
}

func newCA(t TB) *CA {
	return &CA{
		t:        t,
		issuer:   sync.OnceValues(func() (*issuer, error) { return newIssuer("registrytest CA") }),
		stranger: sync.OnceValues(func() (*issuer, error) { return newIssuer("unknown CA") }),
		certs:    make(map[certName]*tls.Certificate),
	}
}

// PEM returns the certificate of the authority in PEM.
func (c *CA) PEM() []byte {
	c.t.Helper()
	return encodePEM("CERTIFICATE", c.mustIssuer().cert.Raw)
}

// Pool returns a pool with the certificate of the authority alone.
func (c *CA) Pool() *x509.CertPool {
	c.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(c.mustIssuer().cert)
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
	return i.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (c *CA) mustIssuer() *issuer {
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
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	now := time.Now()
	if v&ExpiredCert != 0 {
		template.NotAfter = now.Add(-time.Hour)
	}
	if v&NotYetValidCert != 0 {
		template.NotBefore = now.Add(24 * time.Hour)
	}
	cert, err := i.issue(template)
	if err != nil {
		return nil, err
	}
	c.certs[name] = cert
	return cert, nil
}

// What certificates are valid for: from two days ago, so that one can have
// expired, to a time that no test gets to by advancing its clock.
const (
	validBefore = 2 * 24 * time.Hour
	validAfter  = 10 * 365 * 24 * time.Hour
)

// An issuer signs certificates.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(name string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of a CA: %w", err)
	}
	i := &issuer{key: key, cert: &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}}
	if i.cert, err = i.sign(i.cert, key); err != nil {
		return nil, err
	}
	return i, nil
}

// issue returns a certificate made from the template, with a key of its own.
func (i *issuer) issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of %s: %w", template.Subject, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	cert, err := i.sign(template, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func (i *issuer) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	now := time.Now()
	if template.NotBefore.IsZero() {
		template.NotBefore = now.Add(-validBefore)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = now.Add(validAfter)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &key.PublicKey, i.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", template.Subject, err)
	}
	return x509.ParseCertificate(der)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
