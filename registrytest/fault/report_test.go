package fault

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest/inject"
)

// checked sets a rule in a new test and runs it. It returns the failures and the log
// lines of the new test.
func checked(t *testing.T, rule Rule, test func(tb *faketb.TB, f *inject.Rules)) (errors, logs []string) {
	tb := faketb.New(t)
	var f inject.Rules
	f.Set(tb, rule)
	test(tb, &f)
	tb.End()
	return tb.Errors(), tb.Lines()
}

func TestFaultThatDidNotHappen(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		rule    string
		targets []string
		want    string
	}{
		"no request": {"ping once status=503", nil, `fault "ping once status=503", set at fault_test.go:0, did not happen as it says:
	ping once status=503 hit 0 requests, not 1
	there was no request`},
		"near misses": {
			"get-blob repo=team/* times=2 status=503",
			[]string{"/v2/other/blobs/" + digest, "/v2/other/blobs/" + digest, "/v2/team/app/blobs/" + digest, "HEAD /v2/team/app/blobs/" + digest, "/v2/"},
			`fault "get-blob repo=team/* times=2 status=503", set at fault_test.go:0, did not happen as it says:
	get-blob repo=team/* times=2 status=503 hit 1 request, not 2
	it nearly hit these requests:
		2 × get-blob other@` + digest + `, but not repo=team/*
		1 × head-blob team/app@` + digest + `, but not get-blob`,
		},
		"far misses": {
			"get-blob repo=team/* status=503",
			append(times(20, "/v2/"), "/v2/_catalog", "/v2/a/tags/list", "/v2/b/tags/list", "/v2/c/tags/list", "/v2/d/tags/list",
				"/v2/e/tags/list", "/v2/f/tags/list", "/v2/g/tags/list", "/v2/h/tags/list", "/v2/a/tags/list"),
			`fault "get-blob repo=team/* status=503", set at fault_test.go:0, did not happen as it says:
	get-blob repo=team/* status=503 hit 0 requests, not 1
	none of these requests met its conditions:
		20 × ping
		1 × catalog
		2 × list-tags a
		1 × list-tags b
		1 × list-tags c
		1 × list-tags d
		1 × list-tags e
		1 × list-tags f
		2 others`,
		},
		"before its turn": {"ping after=3 status=503", times(2, "/v2/"), `fault "ping after=3 status=503", set at fault_test.go:0, did not happen as it says:
	ping after=3 status=503 hit 0 requests, not 1
	it nearly hit these requests:
		2 × ping, but it was not its turn`},
		"a later part": {"ping times=2 status=503 then once status=429", times(2, "/v2/"), `fault "ping times=2 status=503 then once status=429", set at fault_test.go:0, did not happen as it says:
	once status=429 hit 0 requests, not 1`},
		"a part that passes": {"ping once then once status=500", times(1, "/v2/"), `fault "ping once then once status=500", set at fault_test.go:0, did not happen as it says:
	once status=500 hit 0 requests, not 1
	ping once let 1 request pass`},
		"without effect": {"ping close=10 drop-header=Link", times(2, "/v2/"), `fault "ping close=10 drop-header=Link", set at fault_test.go:0, did not happen as it says:
	close=10 had no effect on the 2 requests that the rule hit
	drop-header=Link had no effect on the 2 requests that the rule hit`},
		"by chance":    {"ping probability=0.0001 seed=42 close=10", times(1, "/v2/"), ""},
		"after chance": {"ping probability=0.0001 times=2 close=10 then once status=503", times(1, "/v2/"), ""},
		"optional":     {"ping optional times=2 close=10", times(1, "/v2/"), ""},
		"by chance without effect": {"ping probability=0.9999 seed=42 close=10", times(1, "/v2/"), `fault "ping probability=0.9999 seed=42 close=10", set at fault_test.go:0, with seed=42 did not happen as it says:
	close=10 had no effect on the 1 request that the rule hit`},
		"other requests": {"ping times=2 status=503", []string{"/v2/", "/v2/_catalog"}, `fault "ping times=2 status=503", set at fault_test.go:0, did not happen as it says:
	ping times=2 status=503 hit 1 request, not 2
	none of the other requests met its conditions:
		1 × catalog`},
		"as it should":           {"ping times=2 status=503 then once status=429", times(4, "/v2/"), ""},
		"as it should by chance": {"ping probability=0.5 times=100 status=503", times(20, "/v2/"), ""},
	} {
		rule, err := Parse(test.rule)
		require.NoError(t, err)
		errors, logs := checked(t, rule, func(_ *faketb.TB, f *inject.Rules) { ask(f, test.targets...) })
		require.Empty(t, logs, name)
		if test.want == "" {
			require.Empty(t, errors, name)
			continue
		}
		require.Len(t, errors, 1, name)
		got := callSite.ReplaceAllString(errors[0], "fault_test.go:0")
		require.Equal(t, "fault: "+test.want, got, name)

		// In a test that has failed, the report is only logged.
		errors, logs = checked(t, rule, func(tb *faketb.TB, f *inject.Rules) {
			ask(f, test.targets...)
			tb.Errorf("it has failed")
		})
		require.Len(t, errors, 1, name)
		require.Len(t, logs, 1, name)
	}
}

// A test can call Check before it ends. The report is then not repeated at the end.
func TestCheckBeforeTheEnd(t *testing.T) {
	t.Parallel()
	tb := faketb.New(t)
	var f inject.Rules
	in := f.Set(tb, On(registry.Ping).Times(2).Status(503))
	ask(&f, "/v2/")
	in.Check(tb)
	require.Len(t, tb.Errors(), 1)
	tb.End()
	require.Len(t, append(tb.Errors(), tb.Lines()...), 1)
}

func TestSeedIsLoggedWhenTheTestFails(t *testing.T) {
	t.Parallel()
	rule := On(registry.Ping).Probability(0.5).Seed(7).Status(503)
	_, logs := checked(t, rule, func(tb *faketb.TB, f *inject.Rules) {
		ask(f, times(20, "/v2/")...)
		tb.Errorf("it has failed")
	})
	require.Len(t, logs, 1)
	require.Contains(t, logs[0], "with seed=7")
}

func TestRuleThatMakesNoSenseFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, set := range []func(f *inject.Rules, tb inject.TB){
		func(f *inject.Rules, tb inject.TB) { f.Set(tb, On(registry.Ping).Status(1)) },
		func(f *inject.Rules, tb inject.TB) { f.Hold(tb, On(registry.Ping).Times(-1)) },
	} {
		tb := faketb.New(t)
		var over sync.WaitGroup
		over.Go(func() { set(new(inject.Rules), tb) })
		over.Wait()
		require.Len(t, tb.Errors(), 1)
		require.Contains(t, tb.Errors()[0], "fault rule ")
	}
}
