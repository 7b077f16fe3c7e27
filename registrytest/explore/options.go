package explore

import (
	"github.com/ocireg/registry/registrytest"
)

// An Option changes what [EveryFault] does.
type Option struct{ set func(*config) }

// A config is what the options set.
type config struct {
	loopback   bool
	server     func(*T) []registrytest.Option
	must       []string
	reportOnly bool
	seed       uint64
}

// OverLoopback runs the client outside of a bubble, at a registry on a port of
// 127.0.0.1: for a client that reaches the registry only there, such as a
// command. Everything takes as long as it takes, so this is slower by orders of
// magnitude for a client that waits before it retries. A run ends after 10
// seconds.
func OverLoopback() Option { return Option{func(c *config) { c.loopback = true }} }

// Server gives the registry of each run options: those for HTTPS, a store or
// users. The function is called for each run, so that no run sees the content
// of another.
func Server(opts func(t *T) []registrytest.Option) Option {
	return Option{func(c *config) { c.server = opts }}
}

// MustSucceed makes it a violation if the operation fails under one of the
// faults, such as "503 once", at any request. Without such a promise, a client
// that has lost its retries passes: it fails cleanly.
func MustSucceed(faults ...string) Option {
	return Option{func(c *config) { c.must = append(c.must, faults...) }}
}

// ReportOnly leaves it to the caller to look at the violations in the [Matrix]:
// the test does not fail for them.
func ReportOnly() Option { return Option{func(c *config) { c.reportOnly = true }} }
