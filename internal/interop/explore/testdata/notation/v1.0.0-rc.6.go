package main

import "github.com/notaryproject/notation-go"

type (
	verifyOptions   = notation.VerifyOptions
	verifierOptions = notation.VerifierVerifyOptions
)

// maxSignatureAttempts is the default of the command's flag --max-signatures.
const maxSignatureAttempts = 100
