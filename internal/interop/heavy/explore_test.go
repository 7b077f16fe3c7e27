//go:build containers_image_openpgp

package heavy

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"testing"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	helm "helm.sh/helm/v3/pkg/registry"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/interop/matrix"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/explore"
)

// who is the user that the clients log in as, if a registry requires a login.
var who = auth.Credentials{Username: "ci", Password: "secret-of-ci"}

// TestExplored explores the newest versions of clients, for the tables of
// outcomes and findings in docs/clients.md. With -short it explores a sample of
// Helm and notation.
func TestExplored(t *testing.T) {
	signed, cert := signedImage(t)
	matrix.EveryFault(t, docs, "explored", []matrix.Operation{
		// containers/image makes its own connections, which cannot reach a
		// network in memory.
		{Name: "containers/image pull", Setup: seed, Run: imagePull, Loopback: true},
		{Name: "containers/image push", Run: imagePush, Loopback: true},
		{Name: "Helm pull", Setup: copyOf(pushedChart(t)), Run: helmPull, Short: 10},
		{Name: "Helm push", Run: helmPush, Random: true},
		{Name: "notation-go verify", Setup: copyOf(signed), Run: notationVerify(cert), Cancelled: true, Short: 10},
		{Name: "notation-go sign", Setup: seed, Run: notationSign(t), Cancelled: true, Short: 10},
		{Name: "notation-go sign, no API", Setup: seed, Run: notationSign(t), Cancelled: true, Options: []explore.Option{explore.Server(withoutReferrers)}},
	})
}

// imageLogins are the ways to log in. Each is tried with a sample of the faults only,
// since a run over loopback takes real time.
var imageLogins = []struct {
	name string
	auth func(...string) *auth.Auth
}{{"Basic", auth.Basic}, {"Bearer", auth.Bearer}}

// secured returns the options of a registry that asks for the credentials.
func secured(scheme func(...string) *auth.Auth, more ...registrytest.Option) []explore.Option {
	return []explore.Option{explore.Server(func(t *explore.T) []registrytest.Option {
		a := scheme()
		require.NoError(t, a.AddUser(who, "pull,push team/**"))
		return append([]registrytest.Option{a}, more...)
	})}
}

// TestExploredWithLogins explores containers/image against registries that ask for
// credentials.
func TestExploredWithLogins(t *testing.T) {
	var ops []matrix.Operation
	for _, login := range imageLogins {
		options := secured(login.auth)
		ops = append(ops,
			matrix.Operation{Name: "containers/image pull, " + login.name, Setup: seed, Run: imagePull, Options: options, Loopback: true, Runs: 60},
			matrix.Operation{Name: "containers/image push, " + login.name, Run: imagePush, Options: options, Loopback: true, Runs: 60})
	}
	matrix.EveryFault(t, docs, "explored logins", ops)
}

// TestExploredLists explores the list of containers/image against a registry that
// has two tags on a page.
func TestExploredLists(t *testing.T) {
	undisturbed := true
	matrix.EveryFault(t, docs, "explored lists", []matrix.Operation{{
		Name: "containers/image tags",
		Setup: func(t *explore.T, reg *registrytest.Server) {
			for i := range 5 {
				reg.Push(t, fmt.Sprintf("team/app:v%d", i+1), small())
			}
		},
		Run: func(t *explore.T, reg *registrytest.Server) error {
			tags, err := imageClientOf(t).Tags(t.Context(), reg.Ref("team/app"))
			if undisturbed && err == nil && len(tags) != 5 {
				t.Errorf("the list has %d tags, want 5: %v", len(tags), tags)
			}
			undisturbed = false
			t.Result("list", tags)
			return err
		},
		Options: secured(auth.Basic, registry.WithPageSize(2)), Loopback: true, Runs: 60,
	}, {
		Name: "containers/image referrers", Lacks: "knows nothing of referrers",
	}})
}

// withoutReferrers returns the options of a registry without the referrers API,
// where clients keep an index under the referrers tag.
func withoutReferrers(*explore.T) []registrytest.Option {
	return []registrytest.Option{registry.Without(registry.ListReferrers)}
}

// TestHostile runs the newest versions of clients against hostile registries. With
// -short it runs only Helm.
func TestHostile(t *testing.T) {
	login := explore.Login(who.Username, who.Password)
	signed, cert := signedImage(t)
	matrix.Hostile(t, docs, "hostile", []matrix.Operation{
		{Name: "containers/image pull", Setup: seed, Run: imagePull, Options: []explore.Option{login}, Loopback: true},
		{Name: "containers/image push", Run: imagePush, Options: []explore.Option{login}, Loopback: true},
		{Name: "Helm pull", Setup: copyOf(pushedChart(t)), Run: helmPull, Options: []explore.Option{login}, Short: 1},
		{Name: "Helm push", Run: helmPush, Options: []explore.Option{login}},
		{Name: "notation-go verify", Setup: copyOf(signed), Run: notationVerify(cert), Options: []explore.Option{login, explore.Verifies()}},
		{Name: "notation-go sign", Setup: seed, Run: notationSign(t), Options: []explore.Option{login}},
	})
}

func small() content.Content { return content.Image(content.LayerSizes(5000)) }

func seed(t *explore.T, reg *registrytest.Server) { reg.Push(t, "team/app:v1", small()) }

func imageClientOf(t *explore.T) imageClient {
	return newImageClient(t, matrix.Env{Credentials: who, Sequential: true})
}

func imagePull(t *explore.T, reg *registrytest.Server) error {
	return imageClientOf(t).Pull(t.Context(), reg.Ref("team/app:v1"), func(d digest.Digest, r io.Reader) error {
		text, err := io.ReadAll(r)
		t.Result(d.String(), text)
		return err
	})
}

func imagePush(t *explore.T, reg *registrytest.Server) error {
	return imageClientOf(t).Push(t.Context(), reg.Ref("team/app:v1"), small())
}

// copyOf returns a setup for package explore that copies the content of a registry.
func copyOf(from *registrytest.Server) func(*explore.T, *registrytest.Server) {
	return func(t *explore.T, reg *registrytest.Server) {
		require.NoError(t, content.Copy(context.Background(), reg.Store, from.Store))
	}
}

// pushedChart returns a registry that has a chart pushed by Helm.
func pushedChart(t *testing.T) *registrytest.Server {
	reg := registrytest.NewServer(t)
	require.NoError(t, pushChart(t, reg))
	return reg
}

func pushChart(t tester, reg *registrytest.Server) error {
	client := helmClient(t, reg, helm.ClientOptBasicAuth(who.Username, who.Password))
	_, err := client.Push(chart(t, "1.2.3"), reg.Ref("charts/app:1.2.3"), helm.PushOptCreationTime("2026-01-01T00:00:00Z"))
	return err
}

func helmPush(t *explore.T, reg *registrytest.Server) error { return pushChart(t, reg) }

func helmPull(t *explore.T, reg *registrytest.Server) error {
	pulled, err := helmClient(t, reg, helm.ClientOptBasicAuth(who.Username, who.Password)).Pull(reg.Ref("charts/app:1.2.3"))
	if err != nil {
		return err
	}
	t.Result("chart", pulled.Chart.Data)
	t.Result("config", pulled.Config.Data)
	return nil
}

// signedImage returns a registry that has an image with a signature of notation,
// and the certificate of the key.
func signedImage(t *testing.T) (*registrytest.Server, *x509.Certificate) {
	reg := registrytest.NewServer(t)
	reg.Push(t, "team/app:v1", small())
	key, cert := signingCert(t)
	s, err := signer.NewGenericSigner(key, []*x509.Certificate{cert})
	require.NoError(t, err)
	_, err = notation.Sign(t.Context(), s, notationRepository(t, reg, who), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: jws.MediaTypeEnvelope},
		ArtifactReference: small().Digest.String(),
	})
	require.NoError(t, err)
	return reg, cert
}

// notationVerify returns an operation that resolves a tag and verifies the
// signature of the image, like the command of notation.
func notationVerify(cert *x509.Certificate) func(*explore.T, *registrytest.Server) error {
	return func(t *explore.T, reg *registrytest.Server) error {
		repo := notationRepository(t, reg, who)
		v, err := verifier.New(trustPolicy(), trusts{cert}, nil)
		require.NoError(t, err)
		resolved, err := repo.Resolve(t.Context(), "v1")
		if err != nil {
			return err
		}
		desc, _, err := notation.Verify(t.Context(), v, repo, notation.VerifyOptions{
			ArtifactReference:    reg.Ref("team/app@" + resolved.Digest.String()),
			MaxSignatureAttempts: 10,
		})
		t.Result("verified", desc.Digest)
		return err
	}
}

// A recorded is a notation signer that always returns the same signature. A new
// signature has a different time and different random numbers, so package explore
// would see wrong content.
type recorded struct {
	subject  digest.Digest
	envelope []byte
	info     *signature.SignerInfo
}

func (r recorded) Sign(_ context.Context, desc ocispec.Descriptor, _ notation.SignerSignOptions) ([]byte, *signature.SignerInfo, error) {
	if desc.Digest != r.subject {
		return nil, nil, fmt.Errorf("the manifest to sign is %s, not %s", desc.Digest, r.subject)
	}
	return r.envelope, r.info, nil
}

// notationSign returns an operation that resolves a tag and signs the image.
func notationSign(t *testing.T) func(*explore.T, *registrytest.Server) error {
	key, cert := signingCert(t)
	s, err := signer.NewGenericSigner(key, []*x509.Certificate{cert})
	require.NoError(t, err)
	options := notation.SignerSignOptions{SignatureMediaType: jws.MediaTypeEnvelope}
	r := recorded{subject: small().Digest}
	r.envelope, r.info, err = s.Sign(t.Context(), small().Descriptor(), options)
	require.NoError(t, err)
	return func(t *explore.T, reg *registrytest.Server) error {
		signed, err := notation.Sign(t.Context(), r, notationRepository(t, reg, who), notation.SignOptions{
			SignerSignOptions: options, ArtifactReference: "v1",
		})
		t.Result("signed", signed.Digest)
		return err
	}
}
