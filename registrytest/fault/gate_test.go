package fault_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/faketb"
	"github.com/ocireg/registry/registrytest/fault"
)

func TestHold(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
		stored := func(tag string) bool {
			_, err := s.Store.StatManifest(t.Context(), "app", tag)
			return err == nil
		}
		hold := s.Hold(t, fault.On(registry.PutManifest).Tag("before"))
		answered := make(chan int)
		go func() { answered <- s.send(t.Context(), "PUT", "/v2/app/manifests/before", emptyIndex) }()
		r := <-hold.Entered()
		require.Equal(t, "put-manifest app:before", r.String())
		synctest.Wait()
		require.False(t, stored("before"))
		hold.Release()
		hold.Release()
		require.Equal(t, 201, <-answered)
		require.True(t, stored("before"))
		require.Equal(t, 201, s.send(t.Context(), "PUT", "/v2/app/manifests/before", emptyIndex), "the gate is open")
		require.Equal(t, 2, hold.Fired())

		after := s.Hold(t, fault.On(registry.PutManifest).Tag("after").AfterCommit())
		go func() { answered <- s.send(t.Context(), "PUT", "/v2/app/manifests/after", emptyIndex) }()
		<-after.Entered()
		require.True(t, stored("after"), "the operation was carried out")
		synctest.Wait()
		select {
		case <-answered:
			t.Fatal("the response was sent before the test released the gate")
		default:
		}
		after.Release()
		require.Equal(t, 201, <-answered)

		lost := s.Hold(t, fault.On(registry.PutManifest).Tag("lost").AfterCommit().Once().Status(502))
		go func() { answered <- s.send(t.Context(), "PUT", "/v2/app/manifests/lost", emptyIndex) }()
		<-lost.Entered()
		require.True(t, stored("lost"))
		lost.Release()
		require.Equal(t, 502, <-answered, "the other effects of the rule come after the wait")

		cut := s.Hold(t, fault.On(registry.PutManifest).Tag("cut").AfterCommit().Once().Close())
		go func() { answered <- s.send(t.Context(), "PUT", "/v2/app/manifests/cut", emptyIndex) }()
		<-cut.Entered()
		require.True(t, stored("cut"))
		cut.Release()
		require.Equal(t, 0, <-answered, "the connection ends after the wait")

		begin := time.Now()
		slow := s.Fault(t, fault.On(registry.PutManifest).Tag("slow").AfterCommit().Once().Delay(time.Hour).Reset())
		require.Equal(t, 0, s.send(t.Context(), "PUT", "/v2/app/manifests/slow", emptyIndex))
		require.Equal(t, time.Hour, time.Since(begin))
		require.Equal(t, 1, slow.Fired())

		begin = time.Now()
		late := s.Hold(t, fault.On(registry.Ping).Delay(time.Hour))
		go func() { answered <- s.send(t.Context(), "GET", "/v2/", nil) }()
		<-late.Entered()
		require.Zero(t, time.Since(begin))
		late.Release()
		require.Equal(t, 200, <-answered)
		require.Equal(t, time.Hour, time.Since(begin))
	})
}

// A gate at which no request waited, because another rule ended the connection, fails
// the test.
func TestGateThatHeldNothing(t *testing.T) {
	t.Parallel()
	s := newFaultServer(t)
	tb := faketb.New(t)
	gate := s.rules.Hold(tb, fault.On(registry.PutManifest).AfterCommit())
	s.Fault(t, fault.On(registry.PutManifest).AfterCommit().Close())
	require.Equal(t, 0, s.send(t.Context(), "PUT", "/v2/app/manifests/v1", emptyIndex))
	gate.Check(tb)
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "the gate had no effect on the 1 request that the rule hit")
}

// With a gate, three requests are in flight at the same time. Without it, that would
// be a matter of chance.
func TestGateHoldsConcurrentRequests(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
		hold := s.Hold(t, fault.On(registry.GetManifest, registry.GetBlob))
		answered := make(chan int)
		for i := range 3 {
			go func() { answered <- s.send(t.Context(), "GET", fmt.Sprintf("/v2/app/manifests/v%d", i+1), nil) }()
		}
		for range 3 {
			<-hold.Entered()
		}
		require.Equal(t, 3, s.Requests().MaxInFlight())
		require.Equal(t, 3, s.Requests().Op(registry.GetManifest).MaxInFlight())
		require.Zero(t, s.Requests().Op(registry.GetBlob).MaxInFlight())
		hold.Release()
		for range 3 {
			require.Equal(t, 200, <-answered)
		}
		s.send(t.Context(), "GET", "/v2/", nil)
		require.Equal(t, 3, s.Requests().MaxInFlight(), "MaxInFlight also counts requests that have ended")
		require.Equal(t, 1, s.Requests().Op(registry.Ping).MaxInFlight())
		require.Equal(t, 3, s.Requests().Op(registry.Ping, registry.GetManifest).MaxInFlight())
	})
}

func TestHoldEndsWithTheTest(t *testing.T) {
	t.Parallel()
	s := newFaultServer(t)
	answered := make(chan int)
	t.Run("with a gate", func(t *testing.T) {
		hold := s.Hold(t, fault.On(registry.Ping))
		go func() { answered <- s.send(context.Background(), "GET", "/v2/", nil) }()
		<-hold.Entered()
	})
	require.Equal(t, 200, <-answered)

	// The log says that the gate was closed, as this may be why a test fails.
	tb := faketb.New(t)
	gate := s.Hold(tb, fault.On(registry.Ping))
	go func() { answered <- s.send(context.Background(), "GET", "/v2/", nil) }()
	<-gate.Entered()
	tb.End()
	require.Equal(t, 200, <-answered)
	require.Empty(t, tb.Errors())
	require.Len(t, tb.Lines(), 1)
	require.Regexp(t, `gate "ping", set at gate_test.go:\d+, was closed until the test ended, and 1 request waited at it; call Release to let requests go on:
	ping$`, tb.Lines()[0])

	tb = faketb.New(t)
	gate = s.Hold(tb, fault.On(registry.Ping))
	go func() { answered <- s.send(context.Background(), "GET", "/v2/", nil) }()
	<-gate.Entered()
	gate.Release()
	require.Equal(t, 200, <-answered)
	tb.End()
	require.Empty(t, append(tb.Errors(), tb.Lines()...))

	tb = faketb.New(t)
	s.Hold(tb, fault.On(registry.Ping).Optional())
	tb.End()
	require.Empty(t, tb.Errors())

	tb = faketb.New(t)
	s.Hold(tb, fault.On(registry.GetBlob).Repo("other"))
	tb.End()
	require.Len(t, tb.Errors(), 1)
	require.Contains(t, tb.Errors()[0], "get-blob repo=other hit 0 requests, not 1")
	require.Contains(t, tb.Errors()[0], `gate "get-blob repo=other", set at gate_test.go:`)
}

func TestAwait(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, s *faultServer, _ bool) {
		gate := s.Hold(t, fault.On(registry.Ping))
		awaited := make(chan error)
		for n := range 3 {
			go func() { awaited <- gate.Await(t.Context(), n+1) }()
		}
		synctest.Wait()
		require.Empty(t, gate.Waiting())
		answered := make(chan int)
		for n := range 2 {
			go func() { answered <- s.send(t.Context(), "GET", "/v2/", nil) }()
			require.NoError(t, <-awaited, n)
		}
		require.Equal(t, []string{"ping", "ping"}, gate.Waiting())
		require.NoError(t, gate.Await(t.Context(), 2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, gate.Await(ctx, 3), context.DeadlineExceeded)
		require.False(t, gate.Released())
		gate.Release()
		require.True(t, gate.Released())
		require.NoError(t, <-awaited, "the gate is open")
		require.Equal(t, []int{200, 200}, []int{<-answered, <-answered})
		require.NoError(t, gate.Await(t.Context(), 3))
	})
}
