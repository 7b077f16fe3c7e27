package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client that trusts only the CA file reaches the registry by each of its
// names, over HTTP/2 and HTTP/1.1.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	i := start(t, "-tls-dir", dir)
	require.True(t, strings.HasPrefix(i.url, "https://127.0.0.1:"), i.url)
	require.Equal(t, filepath.Join(dir, "ca.crt"), i.caFile())

	_, err := i.client.Get(i.url)
	require.ErrorContains(t, err, "certificate")

	_, port, _ := strings.Cut(i.host, ":")
	for _, http2 := range []bool{false, true} {
		for _, name := range []string{"127.0.0.1", "localhost"} {
			transport := i.trusting(t)
			transport.ForceAttemptHTTP2 = http2
			i.client.Transport = transport
			a := i.do(t, "GET", "https://"+name+":"+port+"/v2/", "")
			require.Equal(t, http.StatusOK, a.StatusCode)
			require.Equal(t, http2, a.ProtoMajor == 2)
			transport.CloseIdleConnections()
		}
	}

	// The directory has the server's certificate, which clients can pin, and no key.
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	serverText, err := os.ReadFile(filepath.Join(dir, "server.pem"))
	require.NoError(t, err)
	block, rest := pem.Decode(serverText)
	require.Empty(t, rest)
	require.Equal(t, "CERTIFICATE", block.Type)

	require.Equal(t, 0, i.stop(t))
	require.FileExists(t, filepath.Join(dir, "ca.crt"))
}

// Without -tls-dir, the command writes the certificates to a temporary directory,
// and removes it at the end.
func TestTLSTemporary(t *testing.T) {
	t.Parallel()
	i := start(t, "-tls")
	require.FileExists(t, i.caFile())
	require.Equal(t, 0, i.stop(t))
	require.NoDirExists(t, filepath.Dir(i.caFile()))
}

// The certificate is valid for the host of -addr as well.
func TestCertificateNames(t *testing.T) {
	t.Parallel()
	for addr, host := range map[string]string{
		"registry.example:443": "registry.example",
		"192.0.2.1:443":        "192.0.2.1",
		"[2001:db8::1]:443":    "2001:db8::1",
		":443":                 "::1",
	} {
		certs, err := (&settings{addr: addr, tlsDir: t.TempDir()}).makeCertificates()
		require.NoError(t, err)
		leaf, err := x509.ParseCertificate(certs.config.Certificates[0].Certificate[0])
		require.NoError(t, err)
		for _, name := range []string{"localhost", "127.0.0.1", "::1", host} {
			require.NoError(t, leaf.VerifyHostname(name))
		}
		require.Error(t, leaf.VerifyHostname("elsewhere.example"))
	}
}

// If the directory of -tls-dir cannot be written, the command prints one line.
func TestTLSDirFails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	require.Contains(t, refused(t, "-addr", ":0", "-tls-dir", file), file)
}
