package heavy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	orasremote "oras.land/oras-go/v2/registry/remote"
	orasauth "oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

// Notation pushes a signature as a referrer, and finds signatures by listing referrers.
func TestNotation(t *testing.T) {
	t.Parallel()
	key, cert := signingCert(t)
	for name, c := range map[string]struct {
		pageSize int
		opts     []registrytest.Option
	}{
		"referrers API":        {pageSize: 2},
		"referrers tag schema": {2, []registrytest.Option{registry.Without(registry.ListReferrers)}},
		"referrers over pages": {pageSize: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, c.pageSize, func(t *testing.T, reg *registrytest.Server, as auth.Credentials) {
				image := reg.Push(t, "team/app:v1", content.Image())
				repo := notationRepository(t, reg, as)
				// Verification requires a digest, so the test resolves the
				// tag, like the command.
				verify := func(trusted *x509.Certificate, reference string) error {
					v, err := verifier.New(trustPolicy(), trusts{trusted}, nil)
					require.NoError(t, err)
					resolved, err := repo.Resolve(t.Context(), reference)
					require.NoError(t, err)
					desc, outcomes, err := notation.Verify(t.Context(), v, repo, notation.VerifyOptions{
						ArtifactReference:    reg.Ref("team/app@" + resolved.Digest.String()),
						MaxSignatureAttempts: 10,
					})
					if err == nil {
						require.Equal(t, image.Digest, desc.Digest)
						require.Len(t, outcomes, 1)
					}
					return err
				}
				byTag, byDigest := "v1", image.Digest.String()
				require.ErrorAs(t, verify(cert, byTag), new(notation.SignatureRetrievalFailedError))

				s, err := signer.NewGenericSigner(key, []*x509.Certificate{cert})
				require.NoError(t, err)
				for reference, envelope := range map[string]string{byTag: jws.MediaTypeEnvelope, byDigest: cose.MediaTypeEnvelope} {
					signed, err := notation.Sign(t.Context(), s, repo, notation.SignOptions{
						SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: envelope},
						ArtifactReference: reference,
					})
					require.NoError(t, err)
					require.Equal(t, image.Digest, signed.Digest)
				}
				var envelopes []string
				require.NoError(t, repo.ListSignatures(t.Context(), image.Descriptor(), func(page []ocispec.Descriptor) error {
					for _, desc := range page {
						envelope, blob, err := repo.FetchSignatureBlob(t.Context(), desc)
						require.NoError(t, err)
						require.Equal(t, string(reg.GetBlob(t, "team/app", blob.Digest)), string(envelope))
						envelopes = append(envelopes, blob.MediaType)
					}
					return nil
				}))
				require.ElementsMatch(t, []string{jws.MediaTypeEnvelope, cose.MediaTypeEnvelope}, envelopes)
				require.NoError(t, verify(cert, byTag))
				require.NoError(t, verify(cert, byDigest))
				later := reg.Requests().Op(registry.ListReferrers).Status(http.StatusOK).Where(func(r *journal.Record) bool {
					return r.URL.Query().Has("last")
				})
				require.Equal(t, name == "referrers over pages", later.Len() > 0)

				_, stranger := signingCert(t)
				require.ErrorAs(t, verify(stranger, byDigest), new(notation.VerificationFailedError))
			}, c.opts...)
		})
	}
}

// notationRepository returns notation's view of the repository team/app. Its
// client retries, as oras-go's does by default.
func notationRepository(t tester, reg *registrytest.Server, as auth.Credentials) notationregistry.Repository {
	t.Helper()
	remote, err := orasremote.NewRepository(reg.Ref("team/app"))
	require.NoError(t, err)
	remote.PlainHTTP = !overTLS(reg)
	remote.Client = &orasauth.Client{
		Client:     &http.Client{Transport: retry.NewTransport(reg.Transport())},
		Credential: orasauth.StaticCredential(reg.Host(), orasauth.Credential{Username: as.Username, Password: as.Password}),
	}
	return notationregistry.NewRepository(remote)
}

// trustPolicy returns a policy for all repositories. It trusts all certificates in
// the trust store ca:test.
func trustPolicy() *trustpolicy.Document {
	return &trustpolicy.Document{
		Version: "1.0",
		TrustPolicies: []trustpolicy.TrustPolicy{{
			Name:                  "all",
			RegistryScopes:        []string{"*"},
			SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: trustpolicy.LevelStrict.Name},
			TrustStores:           []string{"ca:test"},
			TrustedIdentities:     []string{"*"},
		}},
	}
}

// trusts is a trust store with a single certificate.
type trusts struct{ cert *x509.Certificate }

func (s trusts) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return []*x509.Certificate{s.cert}, nil
}

func signingCert(t tester) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "ci", Organization: []string{"example"}, Country: []string{"NZ"}},
		// The clock in a bubble starts in the year 2000.
		NotBefore:   time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC),
		NotAfter:    time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return key, cert
}
