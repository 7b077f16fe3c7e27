package fault_test

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

func wantOtherContent(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	c := clientOf(t, reg)
	for path, d := range map[string]digest.Digest{
		"/v2/app/manifests/v1":                          app.Digest,
		"/v2/app/blobs/" + string(app.Layers[0].Digest): app.Layers[0].Digest,
	} {
		require.Equal(t, d, digest.FromString(c.Get(path).Body))
		for _, rule := range []fault.Rule{fault.On().Corrupt(5), fault.On().Corrupt(-1), fault.On().Body(fault.Text("other")), fault.On().Body(fault.Append("more"))} {
			in := reg.Fault(t, rule)
			got := c.Get(path)
			require.NoError(t, got.Err)
			require.Equal(t, string(d), got.Header.Get("Docker-Content-Digest"))
			require.NotEqual(t, d, digest.FromString(got.Body))
			in.Remove()
		}
		for _, tampering := range []registrytest.Tampering{registrytest.BitFlipped(1), registrytest.Truncated(1), registrytest.Replaced([]byte("{}"))} {
			undo := reg.Tamper(t, "app", d, tampering)
			require.NotEqual(t, d, digest.FromString(c.Get(path).Body))
			undo()
		}
		require.Equal(t, d, digest.FromString(c.Get(path).Body))
	}
}

func wantRanges(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(1000)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)
	whole := c.Get(path).Body

	for spec, want := range map[string]string{"bytes=0-": whole, "bytes=999-": whole[999:], "bytes=-1": whole[999:], "bytes=10-19": whole[10:20]} {
		got := c.Get(path, "Range", spec)
		require.Equal(t, 206, got.Status)
		require.Equal(t, want, got.Body, spec)
	}
	got := c.Get(path, "Range", "bytes=0-4,10-14")
	_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	require.NoError(t, err)
	part, err := multipart.NewReader(strings.NewReader(got.Body), params["boundary"]).NextPart()
	require.NoError(t, err)
	content, err := io.ReadAll(part)
	require.NoError(t, err)
	require.Equal(t, whole[:5], string(content))

	ranged := fault.On(registry.GetBlob).HasHeader("Range", "**").Once()
	for _, test := range []struct {
		rule   fault.Rule
		status int
		body   string
	}{
		{ranged.Ignore("Range"), 200, whole},
		{ranged.SetHeader("Content-Range", "bytes 0-9/1000"), 206, whole[10:20]},
		{ranged.DropHeader("Content-Range"), 206, whole[10:20]},
		{ranged.DropHeader("Content-Length"), 206, whole[10:20]},
		{ranged.Status(400).Body(fault.Empty), 400, ""},
		{ranged.Status(416).Body(fault.Empty), 416, ""},
	} {
		reg.Fault(t, test.rule)
		got := c.Get(path, "Range", "bytes=10-19")
		require.Equal(t, test.status, got.Status, test.rule.String())
		require.Equal(t, test.body, got.Body, test.rule.String())
		require.Equal(t, 206, c.Get(path, "Range", "bytes=10-19").Status)
	}
}

func wantUnauthorizedRange(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(1000)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	c := clientOf(t, reg)
	reg.Fault(t, fault.On(registry.GetBlob).HasHeader("Range", "bytes=500-*").Once().Status(401).SetHeader("WWW-Authenticate", `Basic realm="x"`))
	got := c.Get(path, "Range", "bytes=500-")
	require.Equal(t, 401, got.Status)
	require.Equal(t, `Basic realm="x"`, got.Header.Get("WWW-Authenticate"))
	require.Len(t, c.Get(path, "Range", "bytes=500-").Body, 500)
}

func wantCuts(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	c := clientOf(t, reg)
	for path, size := range map[string]int64{
		"/v2/app/manifests/v1":                          app.Size,
		"/v2/app/blobs/" + string(app.Layers[0].Digest): app.Layers[0].Size,
	} {
		for _, rule := range []fault.Rule{fault.On().Close(fault.AtByte(5)), fault.On().Close(fault.AtByte(-1)), fault.On().ContentLength(10)} {
			in := reg.Fault(t, rule)
			require.ErrorIs(t, c.Get(path).Err, io.ErrUnexpectedEOF, rule.String())
			in.Remove()
		}
		in := reg.Fault(t, fault.On().ContentLength(-3))
		got := c.Get(path)
		require.NoError(t, got.Err, "the client cannot notice a body that is too short")
		require.Len(t, got.Body, int(size)-3)
		in.Remove()
	}
}

func wantBreaks(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	for _, rule := range []fault.Rule{
		fault.On().Close(), fault.On().Reset(), fault.On().HalfClose(), fault.On().Close(fault.InHeader(20)), fault.On().Reset(fault.InHeader(20)),
		fault.On().Close(fault.AtByte(10)), fault.On().Reset(fault.AtByte(10)), fault.On().HalfClose(fault.AtByte(10)),
	} {
		in := reg.Fault(t, rule)
		require.Error(t, clientOf(t, reg).Get(path).Err, rule.String())
		in.Remove()
	}
	// These rules end the connection in the middle of the request's body.
	for _, rule := range []fault.Rule{fault.On(registry.PatchUpload).Close(fault.AtByte(10)), fault.On(registry.PatchUpload).Reset(fault.AtByte(10))} {
		in := reg.Fault(t, rule)
		c := clientOf(t, reg)
		location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
		require.Error(t, c.Do("PATCH", location, strings.Repeat("x", 1000)).Err)
		require.Equal(t, "0-9", c.Get(location).Header.Get("Range"))
		in.Remove()
	}
}

func wantStallPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := registrytest.NewServer(t, registrytest.WithInMemory())
		app := reg.Push(t, "app:v1", content.Image(content.LayerSizes(5_000_000)))
		path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
		reg.Fault(t, fault.On(registry.GetBlob).Conn(1).Stall(3_000_000, 100*time.Second))
		begin := time.Now()
		got := clientOf(t, reg).Get(path)
		require.Len(t, got.Body, 5_000_000)
		require.Equal(t, 100*time.Second, time.Since(begin))
		reg.Client().CloseIdleConnections()
		begin = time.Now()
		clientOf(t, reg).Get(path)
		require.Zero(t, time.Since(begin), "the rule does not hit the second connection")
	})
}

func wantEncodings(t *testing.T) {
	reg := registrytest.NewServer(t)
	app := reg.Push(t, "app:v1", content.Image(content.Layers(1)))
	path := "/v2/app/blobs/" + string(app.Layers[0].Digest)
	transport := reg.Transport().Clone()
	transport.DisableCompression = true // The client accepts no encoding, and gets one.
	defer transport.CloseIdleConnections()
	c := clientOf(t, reg)
	c.Client = &http.Client{Transport: transport}
	whole := c.Get(path).Body
	for _, codings := range [][]string{{"gzip"}, {"deflate"}, {"zstd"}, {"gzip", "gzip"}, {"deflate", "gzip", "zstd"}} {
		rule := fault.On().Once()
		for _, coding := range codings {
			rule = rule.Body(fault.Body(coding))
		}
		reg.Fault(t, rule)
		got := c.Get(path)
		require.Equal(t, codings, got.Header.Values("Content-Encoding"))
		body := []byte(got.Body)
		for i := len(codings) - 1; i >= 0; i-- {
			body = decode(t, codings[i], body)
		}
		require.Equal(t, whole, string(body))
	}
}
