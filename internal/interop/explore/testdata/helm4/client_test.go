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

// A tester is a *testing.T or an *explore.T.
type tester interface {
	Fatalf(format string, args ...any)
	TempDir() string
}

// chart returns the archive of a chart app of version 1.2.3.
func chart(t tester) []byte {
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
func clientOf(t tester, reg *registrytest.Server) (*helm.Client, error) {
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

func pushChart(t tester, reg *registrytest.Server) error {
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

func push(t *explore.T, reg *registrytest.Server) error { return pushChart(t, reg) }

// pushed lets the client push a chart to a registry, and returns a setup that
// copies the chart from there.
func pushed(t *testing.T) func(*explore.T, *registrytest.Server) error {
	from := registrytest.NewServer(t)
	if err := pushChart(t, from); err != nil {
		t.Fatalf("pushing the chart: %v", err)
	}
	return func(_ *explore.T, reg *registrytest.Server) error {
		return content.Copy(context.Background(), reg.Store, from.Store)
	}
}

// leftUpload accepts a client that starts an upload again and does not cancel the
// previous session. The tables accept this of all clients.
var leftUpload = explore.Accept("upload left open")

func TestPush(t *testing.T) { everyFault(t, nothing, push, leftUpload) }

func TestPull(t *testing.T) { everyFault(t, pushed(t), pull, leftUpload) }

func TestHostilePush(t *testing.T) { hostile(t, nothing, push, explore.Login(user, password)) }

func TestHostilePull(t *testing.T) { hostile(t, pushed(t), pull, explore.Login(user, password)) }
