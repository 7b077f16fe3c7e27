package main

import "github.com/notaryproject/notation-go"

type (
	verifyOptions   = notation.VerifyOptions
	verifierOptions = notation.VerifierVerifyOptions
)

// The limit of the command, unless --max-signatures says otherwise.
const maxSignatureAttempts = 100
