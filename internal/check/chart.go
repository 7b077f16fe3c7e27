package check

import (
	"archive/tar"
	"bytes"
	"compress/gzip"

	"github.com/ocireg/registry/registrytest/content"
)

// chartVersion is the version of the Helm chart and its tag in the registry.
const chartVersion = "1.2.3"

// ChartFile returns a packed Helm chart, like that of helm package. Its bytes
// are always the same.
func ChartFile() []byte {
	yaml := "apiVersion: v2\nname: app\nversion: " + chartVersion + "\n"
	var b bytes.Buffer // writing to a Buffer never fails
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	_ = w.WriteHeader(&tar.Header{Name: "app/Chart.yaml", Mode: 0o644, Size: int64(len(yaml))})
	_, _ = w.Write([]byte(yaml))
	_ = w.Close()
	_ = z.Close()
	return b.Bytes()
}

// Chart returns the artifact that helm push makes of the chart.
func Chart() content.Content {
	const config = "application/vnd.cncf.helm.config.v1+json"
	return content.Artifact(config,
		content.Config(content.Bytes(config, []byte(`{"name":"app","version":"`+chartVersion+`","apiVersion":"v2"}`))),
		content.Bytes("application/vnd.cncf.helm.chart.content.v1.tar+gzip", ChartFile()))
}
