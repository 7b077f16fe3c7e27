package heavy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	orasremote "oras.land/oras-go/v2/registry/remote"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
)

// notation signs by pushing a referrer, and finds signatures by listing them.
func TestNotation(t *testing.T) {
	t.Parallel()
	key, cert := signingCert(t)
	for name, opts := range map[string][]registry.Option{
		"referrers API":        nil,
		"referrers tag schema": {registry.Without(registry.ListReferrers)},
		"referrers over pages": {registry.WithPageSize(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := registrytest.NewServer(t, opts...)
			image := reg.Push(t, "team/app:v1", registrytest.Image())
			remote, err := orasremote.NewRepository(reg.Ref("team/app"))
			require.NoError(t, err)
			remote.PlainHTTP, remote.Client = true, reg.Client()
			repo := notationregistry.NewRepository(remote)

			s, err := signer.NewGenericSigner(key, []*x509.Certificate{cert})
			require.NoError(t, err)
			for range 2 {
				_, err = notation.Sign(t.Context(), s, repo, notation.SignOptions{
					SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: jws.MediaTypeEnvelope},
					ArtifactReference: reg.Ref("team/app@" + image.Digest.String()),
				})
				require.NoError(t, err)
			}
			var signatures []ocispec.Descriptor
			require.NoError(t, repo.ListSignatures(t.Context(), image.Descriptor(), func(page []ocispec.Descriptor) error {
				signatures = append(signatures, page...)
				return nil
			}))
			require.Len(t, signatures, 2)
			for _, desc := range signatures {
				envelope, _, err := repo.FetchSignatureBlob(t.Context(), desc)
				require.NoError(t, err)
				parsed, err := jws.ParseEnvelope(envelope)
				require.NoError(t, err)
				content, err := parsed.Verify()
				require.NoError(t, err)
				require.Contains(t, string(content.Payload.Content), image.Digest.String())
			}
		})
	}
}

func signingCert(t *testing.T) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "ci", Organization: []string{"example"}, Country: []string{"NZ"}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return key, cert
}
