// Command notation verifies an image as the command of notation does, with a
// version of notation-go. A signature is valid if it consists of the digest of
// the image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
)

func main() {
	if err := verify(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// verify verifies the tag of a repository.
func verify(ctx context.Context, repository, tag string) error {
	r, err := remote.NewRepository(repository)
	if err != nil {
		return err
	}
	r.PlainHTTP = true
	repo := notationregistry.NewRepository(r)
	desc, err := repo.Resolve(ctx, tag)
	if err != nil {
		return err
	}
	_, _, err = notation.Verify(ctx, verifier{}, repo, verifyOptions{
		ArtifactReference:    repository + "@" + string(desc.Digest),
		MaxSignatureAttempts: maxSignatureAttempts,
	})
	return err
}

type verifier struct{}

func (verifier) Verify(_ context.Context, desc ocispec.Descriptor, signature []byte, _ verifierOptions) (*notation.VerificationOutcome, error) {
	outcome := &notation.VerificationOutcome{RawSignature: signature, VerificationLevel: trustpolicy.LevelStrict}
	if string(signature) != string(desc.Digest) {
		outcome.Error = errors.New("the signature is not valid")
	}
	return outcome, outcome.Error
}
