// Package referrer builds manifests that refer to another one, in the forms that
// tools push: signatures, attestations and software bills of materials (SBOM).
//
//	app := reg.Push(t, "team/app:v1", content.Image())
//	reg.Push(t, "team/app", referrer.CosignSignature(app))
//	reg.Push(t, "team/app", referrer.SPDX(app))
//
// Like the content of package content, they have the same bytes on every machine.
// With [content.Subject], any other content is a referrer, too.
package referrer

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/registrytest/content"
)

// created returns the time of creation in the documents. It is the same as in
// package content.
func created() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

const (
	sigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	inToto         = "application/vnd.in-toto+json"
)

// CosignSignature returns a signature of the subject in the form that cosign 3
// pushes: an artifact with a Sigstore bundle. The bundle is well formed, but its
// signature does not verify.
func CosignSignature(subject content.Content, parts ...content.ArtifactPart) content.Content {
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
	return artifact(sigstoreBundle, subject, parts, bundle,
		content.Annotation("dev.sigstore.bundle.content", "dsse-envelope"),
		content.Annotation("dev.sigstore.bundle.predicateType", predicate))
}

// NotationSignature returns a signature of the subject in the form that notation
// pushes: an artifact without artifactType, whose type is the media type of its
// config. The envelope is well formed, but its signature does not verify.
func NotationSignature(subject content.Content, parts ...content.ArtifactPart) content.Content {
	encode := base64.RawURLEncoding.EncodeToString
	envelope := document("application/jose+json", object{
		"payload":   encode(marshal(object{"targetArtifact": subject.Descriptor()})),
		"protected": encode(marshal(object{"alg": "PS256", "cty": "application/vnd.cncf.notary.payload.v1+json"})),
		"header":    object{"x5c": []string{}},
		"signature": encode(noSignature(subject)),
	})
	thumbprint := digest.FromString("registrytest").Encoded()
	return artifact("", subject, parts, envelope,
		content.Config(content.Bytes("application/vnd.cncf.notary.signature", []byte("{}"))),
		content.Annotation("io.cncf.notary.x509chain.thumbprint#S256", `["`+thumbprint+`"]`))
}

// Attestation returns an attestation of the subject's provenance: an artifact
// with an unsigned in-toto statement, whose predicate is that of SLSA.
func Attestation(subject content.Content, parts ...content.ArtifactPart) content.Content {
	const predicate = "https://slsa.dev/provenance/v1"
	provenance := statement(subject, predicate, object{
		"buildDefinition": object{"buildType": "https://example.com/registrytest", "externalParameters": object{}},
		"runDetails":      object{"builder": object{"id": "https://example.com/registrytest"}},
	})
	return artifact(inToto, subject, parts,
		content.Bytes(inToto, provenance).Annotated("in-toto.io/predicate-type", predicate))
}

// SPDX returns an SBOM of the subject: an artifact with an SPDX document in
// JSON.
func SPDX(subject content.Content, parts ...content.ArtifactPart) content.Content {
	const mediaType = "application/spdx+json"
	return artifact(mediaType, subject, parts, document(mediaType, object{
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
func CycloneDX(subject content.Content, parts ...content.ArtifactPart) content.Content {
	const mediaType = "application/vnd.cyclonedx+json"
	return artifact(mediaType, subject, parts, document(mediaType, object{
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

// artifact returns an artifact that refers to the subject. The parts in asked, which
// a caller of this package gave, follow those in own and override them.
func artifact(artifactType string, subject content.Content, asked []content.ArtifactPart, own ...content.ArtifactPart) content.Content {
	return content.Artifact(artifactType, append(append(own, content.Subject(subject)), asked...)...)
}

// An object is a JSON object. Its keys are encoded in ascending order.
type object map[string]any

func marshal(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // Only a bug in this package can cause this.
	}
	return raw
}

// document returns a blob with the object in JSON.
func document(mediaType string, o object) content.Blob {
	return content.Bytes(mediaType, marshal(o))
}

// statement returns an in-toto statement of the subject.
func statement(subject content.Content, predicateType string, predicate object) []byte {
	algorithm, encoded, _ := strings.Cut(string(subject.Digest), ":")
	return marshal(object{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []object{{"name": "registrytest", "digest": object{algorithm: encoded}}},
		"predicateType": predicateType,
		"predicate":     predicate,
	})
}

// noSignature returns the bytes that stand in place of a signature.
func noSignature(subject content.Content) []byte {
	return []byte("no signature of " + subject.Digest)
}
