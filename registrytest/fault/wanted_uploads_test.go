package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// pushChunks pushes a blob in chunks. After a failure it gets the offset from the
// registry, and goes on from there.
func pushChunks(c testclient.Client, content string, size int) (failures int, err error) {
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	for offset := 0; offset < len(content); {
		chunk := content[offset:min(offset+size, len(content))]
		got := c.Do("PATCH", location, chunk, "Content-Range", fmt.Sprintf("%d-%d", offset, offset+len(chunk)-1), "Content-Type", "application/octet-stream")
		if got.Status != 202 {
			if failures++; failures > 10 {
				return failures, errors.New("too many failures")
			}
		}
		if got.Status != 202 && got.Status != 416 {
			if got = c.Get(location); got.Status != 204 {
				return failures, fmt.Errorf("the status of the upload is unknown: %d", got.Status)
			}
		}
		location = got.Header.Get("Location")
		var last int
		if _, err := fmt.Sscanf(got.Header.Get("Range"), "0-%d", &last); err != nil {
			return failures, err
		}
		if last == 0 {
			last = -1 // A Range of 0-0 means that no bytes have arrived.
		}
		offset = last + 1
	}
	got := c.Do("PUT", location+"?digest="+string(digest.FromString(content)), "")
	if got.Status != 201 {
		return failures, fmt.Errorf("closing the session: %d %s", got.Status, got.Body)
	}
	return failures, nil
}

func wantResume(t *testing.T) {
	content := strings.Repeat("0123456789", 100)
	for rule, failures := range map[string]int{
		// The response is 416 with the true Range.
		"patch-upload after=1 once keep=100": 1,
		// The response is 202 with the Range of a part of the chunk.
		"patch-upload after=1 once acknowledge=100": 0,
		// After the 429, the client gets the offset.
		"patch-upload after=1 once status=429":    1,
		"patch-upload after=2 times=2 status=504": 2,
		"patch-upload after=1 once reset=100":     1,
		"patch-upload after=1 once close=299":     1,
		"patch-upload after=1 once status=401":    1,
		"patch-upload every=2 times=2 keep=1":     2,
		// The whole chunk is stored, but the client does not learn of it.
		"patch-upload after=1 once after-commit reset":      1,
		"patch-upload after=1 once after-commit status=500": 1,
	} {
		reg := registrytest.NewServer(t)
		parsed, err := fault.Parse(rule)
		require.NoError(t, err)
		reg.Fault(t, parsed)
		got, err := pushChunks(clientOf(t, reg), content, 300)
		require.NoError(t, err, rule)
		require.Equal(t, failures, got, rule)
		size, err := reg.Store.StatBlob(t.Context(), "app", digest.FromString(content))
		require.NoError(t, err)
		require.EqualValues(t, len(content), size)
	}

	reg := registrytest.NewServer(t)
	reg.Fault(t, fault.On(registry.PatchUpload).After(2).Once().LoseUpload())
	_, err := pushChunks(clientOf(t, reg), content, 300)
	require.ErrorContains(t, err, "the status of the upload is unknown: 404", "a lost session cannot be resumed")

	// An upload may have a digest algorithm other than sha256, or be cancelled.
	c := clientOf(t, reg)
	location := c.Do("POST", "/v2/app/blobs/uploads/?digest-algorithm=sha512", "").Header.Get("Location")
	sum := digest.SHA512.FromString(content)
	require.Equal(t, 201, c.Do("PUT", location+"?digest="+string(sum), content).Status)
	location = c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	reg.Fault(t, fault.On(registry.CancelUpload).Once().Status(500))
	require.Equal(t, 500, c.Do("DELETE", location, "").Status)
	require.Equal(t, 204, c.Do("DELETE", location, "").Status)
	require.Equal(t, 404, c.Get(location).Status)
}

func wantFallback(t *testing.T) {
	reg := registrytest.NewServer(t)
	c := clientOf(t, reg)
	content := strings.Repeat("0123456789", 100)
	// A proxy in front of this registry refuses large requests.
	reg.Fault(t, fault.On(registry.PutUpload).Where(fault.BodyOver(500)).Status(504).Body(fault.HTML))
	location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
	require.Equal(t, 504, c.Do("PUT", location+"?digest="+string(digest.FromString(content)), content).Status)
	_, err := pushChunks(c, content, 300)
	require.NoError(t, err)
}

func wantPatch504(t *testing.T) {
	reg := registrytest.NewServer(t)
	in := reg.Fault(t, fault.On(registry.PatchUpload).Times(3).Status(504))
	_, err := pushChunks(clientOf(t, reg), "0123456789", 4)
	require.NoError(t, err)
	require.Equal(t, 3, in.Fired())
	require.Equal(t, 6, reg.Requests().Op(registry.PatchUpload).Len())
}

func want503(t *testing.T) {
	reg := registrytest.NewServer(t)
	patch := reg.Fault(t, fault.On(registry.PatchUpload).Times(2).Status(503))
	_, err := pushChunks(clientOf(t, reg), "0123456789", 10)
	require.NoError(t, err)
	require.Equal(t, 2, patch.Fired(), "if the rule hit fewer requests, the test would fail at its end")
	require.Equal(t, 2, reg.Requests().Where((*journal.Record).Faulted).Status(503).Len())
	require.Equal(t, 3, reg.Requests().Op(registry.PatchUpload).Len())
}
