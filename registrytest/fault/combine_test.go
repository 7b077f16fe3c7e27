package fault_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/inject"
)

// The rules of an option [registry.WithFaults] combine with the rules that a test sets
// on the server, as if the test had set its rules later.
func TestRulesOfAnOption(t *testing.T) {
	t.Parallel()
	var rules inject.Rules
	reg := registrytest.NewServer(t, registry.WithFaults(rules.Inject))
	c := clientOf(t, reg)
	status := rules.Set(t, fault.On(registry.Ping).Times(2).Status(503).SetHeader("X", "option").SetHeader("Y", "option"))
	reg.Fault(t, fault.On().SetHeader("X", "server"))

	got := c.Get("/v2/")
	require.Equal(t, 503, got.Status)
	require.Equal(t, "server", got.Header.Get("X"))
	require.Equal(t, "option", got.Header.Get("Y"))

	reg.Fault(t, fault.On(registry.Ping).Times(2).Status(404))
	require.Equal(t, []int{404, 404, 503, 200}, codes(c, 4, "/v2/"), "a rule that is passed over waits")
	require.Equal(t, 2, status.Fired())
}

// If a rule of the server responds to a request, the rules of an option
// [registry.WithFaults] take effect, too. Only the rules of the option that respond
// themselves are passed over.
func TestRulesOfAnOptionAfterOneThatResponds(t *testing.T) {
	t.Parallel()
	var rules inject.Rules
	reg := registrytest.NewServer(t, registry.WithFaults(rules.Inject))
	c := clientOf(t, reg)
	header := rules.Set(t, fault.On(registry.Ping).Times(2).SetHeader("X", "1"))
	once := rules.Set(t, fault.On(registry.Ping).Once().Status(429))
	reg.Fault(t, fault.On(registry.Ping).Once().Status(500))

	got := c.Get("/v2/")
	require.Equal(t, 500, got.Status)
	require.Equal(t, "1", got.Header.Get("X"))
	require.Equal(t, 0, once.Fired(), "the rule waits for the next request")
	got = c.Get("/v2/")
	require.Equal(t, 429, got.Status)
	require.Equal(t, "1", got.Header.Get("X"))
	require.Equal(t, 200, c.Get("/v2/").Status)
	require.Equal(t, []int{2, 1}, []int{header.Fired(), once.Fired()})

	ended := rules.Set(t, fault.On(registry.Ping).Once().Close())
	reg.Fault(t, fault.On(registry.Ping).Once().AfterCommit().Status(502))
	require.Equal(t, 502, c.Get("/v2/").Status)
	require.Equal(t, 0, ended.Fired())
	c.Get("/v2/")
	require.Equal(t, 1, ended.Fired())

	// Own changes the status of the option's response, as of any other response.
	own := reg.Fault(t, fault.On(registry.Ping).Once().Status(207).Body(fault.Own))
	rules.Set(t, fault.On(registry.Ping).Once().Status(503))
	got = c.Get("/v2/")
	require.Equal(t, 207, got.Status)
	require.Contains(t, got.Body, "on purpose")
	require.Equal(t, 1, own.Fired())

	// A rule that ends the connection in the header does so even if another function
	// responds, under HTTP/2, too.
	option := registry.WithFaults(func(*registry.Request) *registry.Fault {
		return &registry.Fault{Serve: func(w http.ResponseWriter, _ *registry.Request) error {
			w.WriteHeader(http.StatusServiceUnavailable)
			return nil
		}}
	})
	var others inject.Rules
	inHeader, err := others.Add(fault.On(registry.Ping).Close(fault.InHeader(5)))
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/v2/", nil)
	r.ProtoMajor = 2
	handler := registry.New(memstore.New(), option, registry.WithFaults(others.Inject))
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { handler.ServeHTTP(httptest.NewRecorder(), r) })
	require.Equal(t, 1, inHeader.Fired())
}

// Server.Faults lists all rules that were not removed, with their counts, even those
// that have hit as many requests as they say.
func TestAllRules(t *testing.T) {
	t.Parallel()
	reg := registrytest.NewServer(t)
	require.Empty(t, reg.Faults())
	once := reg.Fault(t, fault.On(registry.Ping).Once().Status(503))
	reg.Hold(t, fault.On(registry.GetBlob).Optional())
	reg.Fault(t, fault.On(registry.Ping).AddHeader("X", "y"))
	codes(clientOf(t, reg), 3, "/v2/")
	list := func() (all []string) {
		for _, f := range reg.Faults() {
			all = append(all, fmt.Sprint(f, ": ", f.Fired()))
		}
		return all
	}
	require.Equal(t, []string{"ping once status=503: 1", "get-blob optional: 0", "ping add-header=X:y: 3"}, list())
	once.Remove()
	require.Equal(t, []string{"get-blob optional: 0", "ping add-header=X:y: 3"}, list())
}

// ContentLength takes effect after the other rules have changed the header, in any order
// of the rules. The other rules still get the true size of the body.
func TestLieOfLengthOfAnotherRule(t *testing.T) {
	t.Parallel()
	const lie, other, last = "ping content-length=+5", "ping body=text:other", "ping corrupt=-1"
	for _, texts := range [][]string{{lie, other, last}, {other, lie, last}, {other, last, lie}} {
		var rules inject.Rules
		var added []*inject.Fault
		for _, text := range texts {
			rule, err := fault.Parse(text)
			require.NoError(t, err)
			f, err := rules.Add(rule)
			require.NoError(t, err)
			added = append(added, f)
		}
		w := httptest.NewRecorder()
		registry.New(memstore.New(), registry.WithFaults(rules.Inject)).ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
		require.Equal(t, "10", w.Header().Get("Content-Length"), texts)
		require.Equal(t, "othe\x8d", w.Body.String(), texts)
		for _, f := range added {
			require.Empty(t, fault.Problem(t, f), texts)
		}
	}
}

// A rule with {state} compares the state that the client sent, even if another rule
// ignores it.
func TestStateThatAnotherRuleIgnores(t *testing.T) {
	t.Parallel()
	rules := []fault.Rule{fault.On().Location("?_state={state}"), fault.On(registry.PatchUpload).Ignore("?_state")}
	for i := range rules {
		reg := registrytest.NewServer(t)
		reg.Fault(t, rules[i])
		reg.Fault(t, rules[1-i])
		c := clientOf(t, reg)
		location := c.Do("POST", "/v2/app/blobs/uploads/", "").Header.Get("Location")
		require.Contains(t, location, "_state=1")
		require.Equal(t, 404, c.Do("PATCH", strings.Replace(location, "=1", "=0", 1), "a").Status)
		require.Equal(t, 202, c.Do("PATCH", location, "a").Status)
	}
}
