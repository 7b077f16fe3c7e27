package fault_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
)

// Keep reads the bytes that it drops, so that the client has sent its whole request
// when it gets the response. A body of at most n bytes is kept whole.
func TestKeepReadsTheRest(t *testing.T) {
	t.Parallel()
	s := registrytest.NewServer(t)
	c := clientOf(t, s)
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	s.Fault(t, fault.On(registry.PatchUpload).Keep(1000))
	require.Equal(t, 202, c.Do("PATCH", location, strings.Repeat("x", 1000)).Status)
	require.Equal(t, 416, c.Do("PATCH", location, strings.Repeat("x", 1_000_000)).Status)
	require.EqualValues(t, 1_000_000, s.Requests().Last().BytesIn)
	require.Equal(t, "0-1999", c.Get(location).Header.Get("Range"))
}
