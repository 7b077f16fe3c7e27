package explore

import (
	"testing"

	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/explore"
)

const docs = "../../../docs/clients.md"

func seed(t *explore.T, reg *registrytest.Server) { reg.Push(t, "team/app:v1", image()) }

// TestNewest explores the newest versions of clients, for the tables of outcomes
// and findings in docs/clients.md. With -short it explores only one client.
func TestNewest(t *testing.T) {
	matrix.EveryFault(t, docs, "explored", []matrix.Operation{
		{Name: "go-containerregistry pull", Setup: seed, Run: ggcrPull, Cancelled: true, Short: 1 << 30},
		{Name: "go-containerregistry push", Run: ggcrPush, Cancelled: true},
		{Name: "oras-go pull", Setup: seed, Run: orasPull, Cancelled: true},
		{Name: "oras-go push", Run: orasPush, Cancelled: true},
		{Name: "regclient pull", Setup: seed, Run: regclientPull, Cancelled: true},
		{Name: "regclient push", Run: regclientPush, Cancelled: true},
		{Name: "containerd pull", Setup: seed, Run: containerdPull, Cancelled: true},
		{Name: "containerd push", Run: containerdPush, Cancelled: true},
		{Name: "Helm 4 pull", Explored: helm4Explored("TestPull")},
		{Name: "Helm 4 push", Explored: helm4Explored("TestPush"), Random: true},
	})
}

// TestNewestAtHostileRegistries runs the newest versions of clients against hostile
// registries, for docs/clients.md. With -short it runs only one client.
func TestNewestAtHostileRegistries(t *testing.T) {
	login := []explore.Option{explore.Login(user, password)}
	matrix.Hostile(t, docs, "hostile", []matrix.Operation{
		{Name: "go-containerregistry pull", Setup: seed, Run: ggcrPull, Options: login, Short: 1},
		{Name: "go-containerregistry push", Run: ggcrPush, Options: login},
		{Name: "go-containerregistry lists", Setup: seedLists, Run: ggcrLists, Options: login},
		{Name: "oras-go pull", Setup: seed, Run: orasPull, Options: login},
		{Name: "oras-go push", Run: orasPush, Options: login},
		{Name: "oras-go lists", Setup: seedLists, Run: orasLists, Options: login},
		{Name: "regclient pull", Setup: seed, Run: regclientPull, Options: login},
		{Name: "regclient push", Run: regclientPush, Options: login},
		{Name: "regclient lists", Setup: seedLists, Run: regclientLists, Options: login},
		{Name: "containerd pull", Setup: seed, Run: containerdPull, Options: login},
		{Name: "containerd push", Run: containerdPush, Options: login},
		{Name: "Helm 4 pull", Met: helm4Met("TestHostilePull")},
		{Name: "Helm 4 push", Met: helm4Met("TestHostilePush")},
	})
}

// helm4 is the version of Helm 4. Its tests are a program of their own, since Helm's
// package for registries requires all types of Kubernetes, which take minutes to
// compile.
const helm4 = "v4.3.2"

func helm4Explored(test string) func(*testing.T) *explore.Matrix {
	return func(t *testing.T) *explore.Matrix { return exploreBinary(t, build(t, "helm4", helm4), test, "") }
}

func helm4Met(test string) func(*testing.T) *explore.TrapReport {
	return func(t *testing.T) *explore.TrapReport { return meetHostile(t, build(t, "helm4", helm4), test) }
}
