package client

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	helm "helm.sh/helm/v4/pkg/registry"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// The credentials of the client, which it uses only if a registry asks for some.
const user, password = "ci", "secret-of-ci"

// TestMain keeps the client from asking servers on the network for names, and
// prepares the resolver: its first use must not be in a bubble.
func TestMain(m *testing.M) {
	net.DefaultResolver.PreferGo = true
	net.DefaultResolver.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	_, _ = net.DefaultResolver.LookupIPAddr(context.Background(), "registry.invalid")
	m.Run()
}

// chart returns the archive of a chart app of version 1.2.3.
func chart(t *explore.T) []byte {
	yaml := "apiVersion: v2\nname: app\nversion: 1.2.3\n"
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(yaml))})
	if err == nil {
		_, err = io.WriteString(w, yaml)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b.Bytes()
}

// clientOf returns a client whose transport retries, as Helm's does by default.
func clientOf(t *explore.T, reg *registrytest.Server) (*helm.Client, error) {
	options := []helm.ClientOption{
		helm.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")),
		helm.ClientOptWriter(io.Discard),
		helm.ClientOptHTTPClient(&http.Client{Transport: retry.NewTransport(reg.Transport())}),
		helm.ClientOptBasicAuth(user, password),
	}
	if strings.HasPrefix(reg.URL, "http:") {
		options = append(options, helm.ClientOptPlainHTTP())
	}
	return helm.NewClient(options...)
}

func push(t *explore.T, reg *registrytest.Server) error {
	client, err := clientOf(t, reg)
	if err != nil {
		return err
	}
	_, err = client.Push(chart(t), reg.Ref("charts/app:1.2.3"), helm.PushOptCreationTime("2026-01-01T00:00:00Z"))
	return err
}

func pull(t *explore.T, reg *registrytest.Server) error {
	client, err := clientOf(t, reg)
	if err != nil {
		return err
	}
	pulled, err := client.Pull(reg.Ref("charts/app:1.2.3"))
	if err != nil {
		return err
	}
	t.Result("chart", pulled.Chart.Data)
	t.Result("config", pulled.Config.Data)
	return nil
}

// tags lists the versions of a chart.
func tags(t *explore.T, reg *registrytest.Server) error {
	client, err := clientOf(t, reg)
	if err != nil {
		return err
	}
	tags, err := client.Tags(reg.Ref("charts/app"))
	if err == nil && len(tags) != 5 { // those of versions
		t.Errorf("the client lists %d versions, want 5: %v", len(tags), tags)
	}
	t.Result("tags", tags)
	return err
}

// pushed fills the registry with a chart that the client pushed.
func pushed(t *explore.T, reg *registrytest.Server) error { return push(t, reg) }

// versions fills the registry with versions of a chart.
func versions(t *explore.T, reg *registrytest.Server) error {
	for _, v := range []string{"1.2.3", "1.2.4", "1.3.0", "2.0.0", "2.0.1"} {
		reg.Push(t, "charts/app:"+v, content.Image())
	}
	return nil
}

func TestPush(t *testing.T) { everyFault(t, nothing, push) }

func TestPull(t *testing.T) { everyFault(t, pushed, pull) }

func TestHostilePush(t *testing.T) { hostile(t, nothing, push, explore.Login(user, password)) }

func TestHostilePull(t *testing.T) { hostile(t, pushed, pull, explore.Login(user, password)) }
