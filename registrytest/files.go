package registrytest

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ocireg/registry/internal/clientfile"
)

// File returns the path of a file with the authority's certificate in PEM, for
// clients that take a file, such as those that read SSL_CERT_FILE. The file is
// removed at the end of the test.
func (c *CA) File() string {
	c.t.Helper()
	dir := c.t.TempDir()
	writeFile(c.t, dir, "ca.crt", c.PEM())
	return filepath.Join(dir, "ca.crt")
}

// ClientCertFiles returns the paths of two files in PEM, the certificate and
// the key of [CA.ClientCert]. The files are removed at the end of the test.
func (c *CA) ClientCertFiles(name string) (cert, key string) {
	c.t.Helper()
	dir := c.t.TempDir()
	c.writeClientCert(dir, name)
	return filepath.Join(dir, "client.cert"), filepath.Join(dir, "client.key")
}

func (c *CA) writeClientCert(dir, name string) {
	c.t.Helper()
	pair := c.ClientCert(name)
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		c.t.Fatalf("registrytest: encoding the key of %s: %v", name, err)
	}
	writeFile(c.t, dir, "client.cert", encodePEM("CERTIFICATE", pair.Certificate[0]))
	writeFile(c.t, dir, "client.key", encodePEM("PRIVATE KEY", key))
}

// CertsDir returns a directory in the layout of certs.d, with the files that
// clients need to connect to the server. containerd (config_path) and nerdctl
// (--hosts-dir) read its hosts.toml; Docker, Podman and Skopeo read its
// certificates. If mirrorOf names other registries, such as "docker.io",
// hosts.toml makes the server their mirror. The directory is removed at the end
// of the test.
func (s *Server) CertsDir(mirrorOf ...string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	s.writeCerts(dir, s.Host())
	for _, host := range mirrorOf {
		s.writeCerts(dir, host)
	}
	return dir
}

// CertsDir returns a directory as [Server.CertsDir] does, for all registries of
// the network.
func (n *Network) CertsDir() string {
	n.t.Helper()
	n.mu.Lock()
	servers := n.servers
	n.mu.Unlock()
	dir := n.t.TempDir()
	for _, s := range servers {
		s.writeCerts(dir, s.Host())
	}
	return dir
}

// RegistriesConf returns the path of a registries.conf for Podman and Buildah,
// which read it if CONTAINERS_REGISTRIES_CONF names it, and for Skopeo, which has
// the flag --registries-conf. All three read .config/containers/registries.conf
// in HOME. The file lets them use the server without HTTPS if it has none, and
// makes it the registry of names without a host. If insteadOf names other
// registries, such as "docker.io", the server takes their place: clients do not
// fall back to the real registries.
//
// For a server with HTTPS, the clients also need its certificate: make the
// directory from [Server.CertsDir] their .config/containers/certs.d in HOME. The
// file is removed at the end of the test.
func (s *Server) RegistriesConf(insteadOf ...string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	writeFile(s.t, dir, "registries.conf", []byte(clientfile.RegistriesConf(s.URL, insteadOf...)))
	return filepath.Join(dir, "registries.conf")
}

// DaemonJSON returns the path of a daemon.json, which dockerd reads if
// --config-file names it. If the server has no HTTPS, the file permits Docker
// to use plain HTTP. If mirrorOf is "docker.io", the server is a mirror of Docker
// Hub: Docker pulls from it first, and falls back to Docker Hub. Any other name
// fails the test, since Docker has no mirrors of other registries. For a server
// with HTTPS, Docker needs the certificates of [Server.CertsDir] in
// /etc/docker/certs.d. The file is removed at the end of the test.
func (s *Server) DaemonJSON(mirrorOf ...string) string {
	s.t.Helper()
	text, err := clientfile.DaemonJSON(s.URL, mirrorOf...)
	if err != nil {
		s.t.Fatalf("registrytest: %v", err)
	}
	dir := s.t.TempDir()
	writeFile(s.t, dir, "daemon.json", []byte(text))
	return filepath.Join(dir, "daemon.json")
}

// isPlain reports whether the server speaks HTTP without TLS.
func (s *Server) isPlain() bool { return strings.HasPrefix(s.URL, "http:") }

// writeCerts writes the directory of a host below dir, a certs.d directory. Its
// files make clients send the requests for that host to the server.
func (s *Server) writeCerts(dir, host string) {
	s.t.Helper()
	name := host
	if i := strings.LastIndexByte(host, ':'); i > 0 && runtime.GOOS == "windows" {
		name = host[:i] + "_" + host[i+1:] + "_" // the name that containerd looks for on Windows
	}
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatalf("registrytest: %v", err)
	}
	certs := ""
	if !s.isPlain() {
		writeFile(s.t, dir, "ca.crt", s.CA().PEM())
		certs += "ca = \"ca.crt\"\n"
		if s.variant&RequireClientCert != 0 {
			s.CA().writeClientCert(dir, "client")
			certs += "client = [[\"client.cert\", \"client.key\"]]\n"
		}
	}
	// The file names the server as the fallback, too. Otherwise clients would fall
	// back to the real registry of this name.
	toml := clientfile.HostsTOML(s.URL, certs, host != s.Host(), false)
	writeFile(s.t, dir, "hosts.toml", []byte(toml))
}

func writeFile(t TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatalf("registrytest: %v", err)
	}
}
