// Program notation-client signs and verifies images with the library notation-go: it is
// the smallest client, for ocireg check. Each key is used once.
//
//	notation-client version
//	notation-client sign REF
//	notation-client verify REF
//
// To verify, it signs first. A reference has a tag or a digest.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"os"
	"runtime/debug"
	"time"

	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "notation-client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		return printVersion()
	case len(args) == 2 && args[0] == "sign":
		_, err := sign(ctx, args[1])
		return err
	case len(args) == 2 && args[0] == "verify":
		cert, err := sign(ctx, args[1])
		if err != nil {
			return err
		}
		return verify(ctx, args[1], cert)
	}
	return fmt.Errorf("no such task: %v", args)
}

func printVersion() error {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/notaryproject/notation-go" {
			fmt.Println(m.Version)
			return nil
		}
	}
	return fmt.Errorf("the program was built without notation-go")
}

// open returns the repository of a reference, with the credentials of Docker's
// config.json, over HTTP. The client retries, as that of notation does by default.
func open(ref string) (*remote.Repository, error) {
	repo, err := remote.NewRepository(ref)
	if err != nil {
		return nil, err
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, err
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(store)}
	return repo, nil
}

// sign signs an image with a new key, and returns the certificate.
func sign(ctx context.Context, ref string) (*x509.Certificate, error) {
	repo, err := open(ref)
	if err != nil {
		return nil, err
	}
	key, cert, err := newKey()
	if err != nil {
		return nil, err
	}
	s, err := signer.NewGenericSigner(key, []*x509.Certificate{cert})
	if err != nil {
		return nil, err
	}
	_, err = notation.Sign(ctx, s, registry.NewRepository(repo), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: jws.MediaTypeEnvelope},
		ArtifactReference: repo.Reference.Reference,
	})
	return cert, err
}

func newKey() (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "ci", Organization: []string{"example"}, Country: []string{"NZ"}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	return key, cert, err
}

// A trusted is a trust store that contains one certificate.
type trusted struct{ cert *x509.Certificate }

func (s trusted) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return []*x509.Certificate{s.cert}, nil
}

// verify resolves the reference, as the command notation does, and verifies the
// signatures of the image.
func verify(ctx context.Context, ref string, cert *x509.Certificate) error {
	repo, err := open(ref)
	if err != nil {
		return err
	}
	v, err := verifier.New(&trustpolicy.Document{
		Version: "1.0",
		TrustPolicies: []trustpolicy.TrustPolicy{{
			Name:                  "all",
			RegistryScopes:        []string{"*"},
			SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: trustpolicy.LevelStrict.Name},
			TrustStores:           []string{"ca:test"},
			TrustedIdentities:     []string{"*"},
		}},
	}, trusted{cert}, nil)
	if err != nil {
		return err
	}
	signed := registry.NewRepository(repo)
	desc, err := signed.Resolve(ctx, repo.Reference.Reference)
	if err != nil {
		return err
	}
	_, _, err = notation.Verify(ctx, v, signed, notation.VerifyOptions{
		ArtifactReference:    fmt.Sprintf("%s/%s@%s", repo.Reference.Registry, repo.Reference.Repository, desc.Digest),
		MaxSignatureAttempts: 10,
	})
	return err
}
