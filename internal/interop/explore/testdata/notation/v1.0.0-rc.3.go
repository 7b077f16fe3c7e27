package main

import (
	"math"

	"github.com/notaryproject/notation-go"
)

type (
	verifyOptions   = notation.RemoteVerifyOptions
	verifierOptions = notation.VerifyOptions
)

// The command of this version has no limit.
const maxSignatureAttempts = math.MaxInt64
