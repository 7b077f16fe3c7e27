package content

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	sigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	inToto         = "application/vnd.in-toto+json"
)

// CosignSignature returns a signature of the subject in the form that cosign
// gives it since version 3: an artifact with a Sigstore bundle. It is made of
// the right pieces and signs nothing: it cannot be verified.
func CosignSignature(subject Content, parts ...Part) Content {
	const predicate = "https://sigstore.dev/cosign/sign/v1"
	bundle := document(sigstoreBundle, object{
		"mediaType":            sigstoreBundle,
		"verificationMaterial": object{"publicKey": object{"hint": "registrytest"}},
		"dsseEnvelope": object{
			"payload":     base64.StdEncoding.EncodeToString(statement(subject, predicate, object{})),
			"payloadType": inToto,
			"signatures":  []object{{"sig": base64.StdEncoding.EncodeToString(noSignature(subject))}},
		},
	})
	return referrer(sigstoreBundle, subject, parts, bundle,
		Annotation("dev.sigstore.bundle.content", "dsse-envelope"),
		Annotation("dev.sigstore.bundle.predicateType", predicate))
}

// NotationSignature returns a signature of the subject in the form that
// notation gives it: its type is the media type of its config, and it has no
// artifactType. It is made of the right pieces and signs nothing: it cannot be
// verified.
func NotationSignature(subject Content, parts ...Part) Content {
	encode := base64.RawURLEncoding.EncodeToString
	envelope := document("application/jose+json", object{
		"payload":   encode(marshal(object{"targetArtifact": subject.Descriptor()})),
		"protected": encode(marshal(object{"alg": "PS256", "cty": "application/vnd.cncf.notary.payload.v1+json"})),
		"header":    object{"x5c": []string{}},
		"signature": encode(noSignature(subject)),
	})
	thumbprint := digest.FromString("registrytest").Encoded()
	return referrer("", subject, parts, envelope,
		Config(Bytes("application/vnd.cncf.notary.signature", []byte("{}"))),
		Annotation("io.cncf.notary.x509chain.thumbprint#S256", `["`+thumbprint+`"]`))
}

// Attestation returns an attestation of the subject's provenance: an artifact
// with an in-toto statement, unsigned, whose predicate is SLSA's.
func Attestation(subject Content, parts ...Part) Content {
	const predicate = "https://slsa.dev/provenance/v1"
	provenance := statement(subject, predicate, object{
		"buildDefinition": object{"buildType": "https://example.com/registrytest", "externalParameters": object{}},
		"runDetails":      object{"builder": object{"id": "https://example.com/registrytest"}},
	})
	return referrer(inToto, subject, parts,
		Annotated("in-toto.io/predicate-type", predicate, Bytes(inToto, provenance)))
}

// SPDX returns an SBOM of the subject: an artifact with an SPDX document in
// JSON.
func SPDX(subject Content, parts ...Part) Content {
	const mediaType = "application/spdx+json"
	return referrer(mediaType, subject, parts, document(mediaType, object{
		"spdxVersion":       "SPDX-2.3",
		"dataLicense":       "CC0-1.0",
		"SPDXID":            "SPDXRef-DOCUMENT",
		"name":              subject.Digest,
		"documentNamespace": "https://example.com/registrytest/" + subject.Digest,
		"creationInfo":      object{"created": created(), "creators": []string{"Tool: registrytest"}},
		"packages":          []object{},
	}))
}

// CycloneDX returns an SBOM of the subject: an artifact with a CycloneDX
// document in JSON.
func CycloneDX(subject Content, parts ...Part) Content {
	const mediaType = "application/vnd.cyclonedx+json"
	return referrer(mediaType, subject, parts, document(mediaType, object{
		"bomFormat":   "CycloneDX",
		"specVersion": "1.6",
		"version":     1,
		"metadata": object{
			"timestamp": created(),
			"component": object{"type": "container", "name": subject.Digest},
		},
		"components": []object{},
	}))
}

// referrer returns an artifact that refers to the subject. What the caller
// asks for comes after its own parts, and so has the last word.
func referrer(artifactType string, subject Content, asked []Part, own ...Part) Content {
	return Artifact(artifactType, append(append(own, Subject(subject)), asked...)...)
}

// An object is a JSON object. Its keys are written in ascending order.
type object map[string]any

func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		// The documents here are made of strings, numbers and objects of them.
		return nil
	}
	return raw
}

func document(mediaType string, o object) Blob {
	return Bytes(mediaType, marshal(o))
}

// statement returns an in-toto statement of the subject.
func statement(subject Content, predicateType string, predicate object) []byte {
	algorithm, encoded, _ := strings.Cut(string(subject.Digest), ":")
	return marshal(object{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []object{{"name": "registrytest", "digest": object{algorithm: encoded}}},
		"predicateType": predicateType,
		"predicate":     predicate,
	})
}

// noSignature returns what stands where a signature of the subject would.
func noSignature(subject Content) []byte {
	return []byte("no signature of " + subject.Digest)
}
