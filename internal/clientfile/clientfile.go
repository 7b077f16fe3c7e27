// Package clientfile makes the texts of configuration files with which clients find
// a registry.
package clientfile

import (
	"fmt"
	"strings"
)

// dockerHub is the name of Docker Hub in references and in configuration.
const dockerHub = "docker.io"

// HostsTOML returns the text of a hosts.toml with which containerd connects only
// to the registry at the URL. Certs contains lines about certificates, or is "".
// If mirror is set, the registry is a mirror of another registry. If readOnly is
// set, containerd pushes nothing to the registry.
func HostsTOML(url, certs string, mirror, readOnly bool) string {
	capabilities, own := "capabilities = [\"pull\", \"resolve\", \"push\"]\n", ""
	if readOnly {
		capabilities = "capabilities = [\"pull\", \"resolve\"]\n"
		own = capabilities // In hosts.toml, a server without the key capabilities has all of them.
	}
	text := fmt.Sprintf("server = %q\n%s%s", url, own, certs)
	if mirror {
		text += fmt.Sprintf("\n[host.%q]\n%s%s", url, capabilities, certs)
	}
	return text
}

// RegistryTable returns a table for registries.conf. With it, Podman, Buildah and
// Skopeo find repositories with the prefix at the location.
func RegistryTable(prefix, location string, insecure bool) string {
	return fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\ninsecure = %t\n", prefix, location, insecure)
}

// RegistriesConf returns the text of a registries.conf for the registry at the URL.
// Names without a host, and names with a prefix in insteadOf, such as docker.io or
// quay.io/team, refer to the registry.
func RegistriesConf(url string, insteadOf ...string) string {
	_, host, _ := strings.Cut(url, "://")
	text := fmt.Sprintf("unqualified-search-registries = [%q]\nshort-name-mode = \"permissive\"\n", host)
	for _, prefix := range append([]string{host}, insteadOf...) {
		text += "\n" + RegistryTable(prefix, host, strings.HasPrefix(url, "http:"))
	}
	return text
}

// DaemonJSON returns the text of a daemon.json with which Docker accepts the
// registry at the URL, even without HTTPS. If mirrorOf names Docker Hub, the
// registry is its mirror. Any other name is an error: Docker has no mirrors of other
// registries.
func DaemonJSON(url string, mirrorOf ...string) (string, error) {
	var fields []string
	if host, plain := strings.CutPrefix(url, "http://"); plain {
		fields = append(fields, fmt.Sprintf("\t\"insecure-registries\": [%q]", host))
	}
	for _, host := range mirrorOf {
		if host != dockerHub {
			return "", fmt.Errorf("daemon.json: Docker pulls from mirrors of %s only, not of %q; for other clients, use RegistriesConf or CertsDir", dockerHub, host)
		}
	}
	if len(mirrorOf) > 0 {
		fields = append(fields, fmt.Sprintf("\t\"registry-mirrors\": [%q]", url))
	}
	return "{\n" + strings.Join(fields, ",\n") + "\n}\n", nil
}
