package registrytest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest"
)

// tlsKinds are the ways to start a server that speaks TLS.
var tlsKinds = map[string]func(t registrytest.TB, variants ...registrytest.TLSVariant) *registrytest.Server{
	"port": func(t registrytest.TB, variants ...registrytest.TLSVariant) *registrytest.Server {
		return registrytest.NewServer(t, registrytest.WithTLS(variants...))
	},
	"in memory": func(t registrytest.TB, variants ...registrytest.TLSVariant) *registrytest.Server {
		return registrytest.NewServer(t, registrytest.WithTLS(variants...), registrytest.WithInMemory())
	},
	"by name": func(t registrytest.TB, variants ...registrytest.TLSVariant) *registrytest.Server {
		return registrytest.NewNetwork(t).Registry("registry.example.com", registrytest.WithTLS(variants...))
	},
	"by name and port": func(t registrytest.TB, variants ...registrytest.TLSVariant) *registrytest.Server {
		return registrytest.NewNetwork(t).Registry("localhost:5000", registrytest.WithTLS(variants...))
	},
}

func TestClientTrustsTheServer(t *testing.T) {
	t.Parallel()
	for name, start := range tlsKinds {
		for _, test := range []struct {
			variants []registrytest.TLSVariant
			proto    string
		}{
			{nil, "HTTP/2.0"},
			{[]registrytest.TLSVariant{registrytest.OnlyHTTP1}, "HTTP/1.1"},
		} {
			t.Run(name+" "+test.proto, func(t *testing.T) {
				t.Parallel()
				s := start(t, test.variants...)
				require.True(t, strings.HasPrefix(s.URL, "https://"), s.URL)
				resp, err := s.Client().Get(s.URL + "/v2/")
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, http.StatusOK, resp.StatusCode)
				require.Equal(t, test.proto, resp.Proto)
				require.Equal(t, test.proto, s.Requests().First().Proto)
				host, _, _ := strings.Cut(s.Host(), ":")
				require.NoError(t, resp.TLS.PeerCertificates[0].VerifyHostname(host))
			})
		}
	}
}

func TestCertificatesThatClientsRefuse(t *testing.T) {
	t.Parallel()
	for name, start := range tlsKinds {
		for _, test := range []struct {
			variant registrytest.TLSVariant
			check   func(t *testing.T, err error)
		}{
			{registrytest.ExpiredCert, func(t *testing.T, err error) {
				require.ErrorContains(t, err, "expired")
				var invalid x509.CertificateInvalidError
				require.ErrorAs(t, err, &invalid)
				require.Equal(t, x509.Expired, invalid.Reason)
				require.ErrorContains(t, err, "is after")
			}},
			{registrytest.NotYetValidCert, func(t *testing.T, err error) {
				var invalid x509.CertificateInvalidError
				require.ErrorAs(t, err, &invalid)
				require.Equal(t, x509.Expired, invalid.Reason)
				require.ErrorContains(t, err, "is before")
			}},
			{registrytest.WrongHostCert, func(t *testing.T, err error) {
				require.ErrorAs(t, err, new(x509.HostnameError))
			}},
			{registrytest.UnknownCA, func(t *testing.T, err error) {
				require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
			}},
		} {
			for _, more := range []registrytest.TLSVariant{0, registrytest.OnlyHTTP1} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := start(t, test.variant, more)
					_, err := s.Client().Get(s.URL + "/v2/")
					require.Error(t, err)
					test.check(t, err)
					require.Zero(t, s.Requests().Len())
				})
			}
		}
	}
}

func TestOtherClientsDoNotTrustTheServer(t *testing.T) {
	t.Parallel()
	one, other := registrytest.NewServer(t, registrytest.WithTLS()), registrytest.NewServer(t, registrytest.WithTLS())
	for _, c := range []*http.Client{other.Client(), {Transport: &http.Transport{}}} {
		_, err := c.Get(one.URL + "/v2/")
		require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	for name, start := range tlsKinds {
		for _, more := range []registrytest.TLSVariant{0, registrytest.OnlyHTTP1} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := start(t, registrytest.RequireClientCert, more)
				requireUp(t, s)

				with := func(certs ...tls.Certificate) *http.Client {
					tr := s.Transport().Clone()
					tr.TLSClientConfig.GetClientCertificate = nil
					tr.TLSClientConfig.Certificates = certs
					return &http.Client{Transport: tr}
				}
				status, _ := get(t, with(s.CA().ClientCert("alice")), s.URL+"/v2/")
				require.Equal(t, http.StatusOK, status)

				_, err := with().Get(s.URL + "/v2/")
				require.Error(t, err)
				// In the other cases, a client may see that the connection was closed before it
				// reads the reason.
				if name != "port" && more == registrytest.OnlyHTTP1 {
					require.ErrorContains(t, err, "certificate required")
				}
				// The server does not name the CA of this certificate, so the client would not
				// send it if it were in TLSClientConfig.Certificates. The function returns it
				// nevertheless.
				stranger := registrytest.NewServer(t, registrytest.WithTLS()).CA().ClientCert("mallory")
				tr := with().Transport.(*http.Transport)
				tr.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &stranger, nil
				}
				_, err = (&http.Client{Transport: tr}).Get(s.URL + "/v2/")
				require.Error(t, err)
				require.Equal(t, 2, s.Requests().Len())
			})
		}
	}
}

func TestServerSeesTheClientCertificate(t *testing.T) {
	t.Parallel()
	var names []string
	s := registrytest.NewServer(t, registrytest.WithTLS(registrytest.RequireClientCert), middleware(func(r *registry.Request) {
		names = append(names, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	requireUp(t, s)
	require.Equal(t, []string{"client"}, names)
}

// HTTP at a port of HTTPS, and HTTPS at a port of HTTP, fail as with any server of
// net/http.
func TestHTTPMeetsHTTPS(t *testing.T) {
	t.Parallel()
	t.Run("HTTP at the port of HTTPS", func(t *testing.T) {
		t.Parallel()
		for name, start := range tlsKinds {
			if name == "by name" {
				continue // This server has a port for HTTP, too.
			}
			s := start(t)
			status, body := get(t, s.Client(), strings.Replace(s.URL, "https:", "http:", 1)+"/v2/")
			require.Equal(t, http.StatusBadRequest, status)
			require.Equal(t, "Client sent an HTTP request to an HTTPS server.\n", body)
		}
	})
	t.Run("HTTPS at the port of HTTP", func(t *testing.T) {
		t.Parallel()
		for _, s := range []*registrytest.Server{
			registrytest.NewServer(t),
			registrytest.NewServer(t, registrytest.WithInMemory()),
			registrytest.NewNetwork(t).Registry("localhost:5000"),
		} {
			_, err := s.Client().Get(strings.Replace(s.URL, "http:", "https:", 1) + "/v2/")
			require.ErrorContains(t, err, "server gave HTTP response to HTTPS client")
		}
	})
}

func TestCAWithoutTLSFailsTheTest(t *testing.T) {
	t.Parallel()
	tr := faketb.Try(t, func(t *faketb.TB) { registrytest.NewServer(t).CA() })
	require.Len(t, tr.Errors(), 1)
	require.Contains(t, tr.Errors()[0], "without TLS")
}

func TestPoolAndPEMAreTheSame(t *testing.T) {
	t.Parallel()
	ca := registrytest.NewServer(t, registrytest.WithTLS()).CA()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(ca.PEM()))
	require.True(t, pool.Equal(ca.Pool()))
}

// A client that sends a server name (SNI) gets a certificate for that name.
func TestCertificateOfTheNameThatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t, registrytest.WithTLS())
	for _, name := range []string{"localhost", "Registry.Example.com", "registry.example.com"} {
		conn, err := tls.Dial("tcp", s.Host(), &tls.Config{RootCAs: s.CA().Pool(), ServerName: name})
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET /v2/ HTTP/1.0\r\n\r\n")
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(answer), "200 OK")
		conn.Close()
	}
}
