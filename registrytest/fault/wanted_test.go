package fault_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/testclient"
	"github.com/ocireg/registry/registrytest"
)

// TestWanted tries the faults that tests of other projects needed, and had to build by
// hand or give up. docs/faults.md lists them with the names of the subtests.
func TestWanted(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("../../docs/faults.md")
	require.NoError(t, err)
	_, rows, _ := strings.Cut(string(list), "## What tests have wanted")
	for _, test := range wanted {
		require.Contains(t, rows, "| `"+test.name+"` |")
		rows = strings.Replace(rows, "| `"+test.name+"` |", "", 1)
	}
	require.NotContains(t, rows, "` |", "docs/faults.md lists a test that does not exist")
	for _, test := range wanted {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t)
		})
	}
}

var wanted = []struct {
	name string
	test func(t *testing.T)
}{
	{"fails n times, then works", wantFailures},
	{"referrers API that is off, refuses, pages badly or ignores the filter", wantReferrers},
	{"headers that are wrong or missing", wantHeaders},
	{"content that does not match its digest", wantOtherContent},
	{"silence in the log", wantSilence},
	{"redirect of blobs to another host", wantRedirect},
	{"redirect in a loop", wantLoop},
	{"stall after so many bytes on each connection", wantStallPerConnection},
	{"gate until released", wantGate},
	{"listener that never responds", wantSilentListener},
	{"TLS handshake that never ends", wantHandshake},
	{"ranges", wantRanges},
	{"token service that is broken", wantTokenService},
	{"tokens that expire, or do not suffice", wantTokens},
	{"shapes of errors", wantErrors},
	{"HEAD that differs from GET", wantHead},
	{"bodies that are cut, lengths that lie", wantCuts},
	{"connections that break", wantBreaks},
	{"upload in chunks that is resumed", wantResume},
	{"upload that falls back from one request to chunks", wantFallback},
	{"content encodings", wantEncodings},
	{"failure that is not to be retried", wantNotRetried},
	{"PATCH that fails with 504", wantPatch504},
	{"unauthorized and range reads", wantUnauthorizedRange},
	{"catalog in pages", wantCatalogPages},
	{"503 that is retried for certain", want503},
	{"insecure registry with HTTPS", wantInsecure},
	{"certificate for the name asked for", wantSNI},
	{"authentication", wantAuth},
	{"tags in pages, artifactType, and blobs that are checked", wantRegistry},
	{"another status for the operation's own response", wantOwnStatus},
	{"headers computed from the real ones", wantComputed},
	{"upload state that has to come back", wantState},
	{"other bytes than were asked for", wantOtherRange},
	{"conditions on parameters, missing headers and sizes", wantConditions},
	{"conditions on the content of the registry", wantStates},
	{"hosts that are dead", wantDeadHosts},
	{"credentials at another port and at another host", wantLeaks},
}

func clientOf(t *testing.T, s *registrytest.Server) testclient.Client {
	return testclient.New(t, s.Client(), s.URL)
}

// codes sends n GET requests, and returns the statuses of the responses.
func codes(c testclient.Client, n int, target string) (codes []int) {
	for range n {
		codes = append(codes, c.Get(target).Status)
	}
	return codes
}
