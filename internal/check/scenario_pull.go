package check

import (
	"context"
	"net/http"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// dockerManifest is a manifest media type other than that of the image.
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// pulls returns a function for scenario.applies. The scenario applies if the
// undisturbed run has a successful request for one of ops and, unless about is
// nil, about returns true for it.
func pulls(what string, about func(*journal.Record) bool, ops ...registry.Op) func(*run) string {
	return func(base *run) string {
		if !base.has(about, ops...) {
			return "the command pulls no " + what
		}
		return ""
	}
}

func isImage(r *journal.Record) bool {
	return r.ResponseHeader.Get("Content-Type") == ocispec.MediaTypeImageManifest
}

func byDigest(r *journal.Record) bool { return r.Digest != "" }

// largeLayer reports whether the request is for the first layer of the image, or pulled
// more than cutAt bytes.
func largeLayer(r *journal.Record) bool {
	return r.Digest == image().Layers[0].Digest || r.BytesOut > cutAt
}

// cutAt is the offset at which the registry cuts the connection while it sends a blob.
const cutAt = 5000

// The scenarios about pulls.
var pullScenarios = []scenario{
	{
		name:         "no digest header",
		requirements: []Requirement{worksWithoutDigestHeader},
		applies:      pulls("content", nil, registry.GetManifest, registry.HeadManifest, registry.GetBlob),
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.GetManifest, registry.HeadManifest, registry.GetBlob, registry.HeadBlob).DropHeader("Docker-Content-Digest"))
		},
		judge: func(j *judgement) {
			if j.succeeds(worksWithoutDigestHeader) {
				j.held(worksWithoutDigestHeader, "")
			}
		},
	},
	{
		name:         "type parameters",
		requirements: []Requirement{ignoresTypeParameters},
		applies:      pulls("manifest", nil, registry.GetManifest),
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.GetManifest, registry.HeadManifest).SetHeader("Content-Type", "{*}; charset=utf-8"))
		},
		judge: func(j *judgement) {
			if j.succeeds(ignoresTypeParameters) {
				j.held(ignoresTypeParameters, "")
			}
		},
	},
	{
		name:         "media type",
		requirements: []Requirement{rejectsWrongType},
		applies: func(base *run) string {
			if base.has(nil, registry.DeleteManifest, registry.DeleteTag) {
				return "the command deletes the content that it pulls"
			}
			return pulls("image", isImage, registry.GetManifest)(base)
		},
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.GetManifest, registry.HeadManifest).SetHeader("Content-Type", dockerManifest))
		},
		judge: func(j *judgement) {
			if j.run.ok() {
				j.violated(rejectsWrongType, j.run.requests.Op(registry.GetManifest).Records(),
					"the command accepts the Content-Type %s of a manifest whose mediaType is %s", dockerManifest, ocispec.MediaTypeImageManifest)
			} else {
				j.held(rejectsWrongType, "it is refused%s", j.said())
			}
		},
	},
	{
		name:         "corrupt manifest",
		requirements: []Requirement{verifiesManifest},
		applies:      pulls("manifest by its digest", byDigest, registry.GetManifest),
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.GetManifest).Digest("*").Body(fault.Append(alteration)))
		},
		judge: func(j *judgement) {
			if j.run.ok() && j.saysManifestsDiffer() {
				j.held(verifiesManifest, "the command succeeds without the manifest, and its output has both digests")
				return
			}
			j.refuses(verifiesManifest, "a manifest that does not match its digest", registry.GetManifest)
		},
	},
	{
		name:         "corrupt blob",
		requirements: []Requirement{verifiesBlob},
		applies:      pulls("blob", nil, registry.GetBlob),
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.GetBlob).Corrupt(-1).Optional())
		},
		judge: func(j *judgement) { j.refuses(verifiesBlob, "a blob that does not match its digest", registry.GetBlob) },
	},
	{
		name:         "cut blob",
		requirements: []Requirement{resumesBlob},
		applies:      pulls("large blob", largeLayer, registry.GetBlob),
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.GetBlob).Digest(image().Layers[0].Digest).Once().Close(fault.AtByte(cutAt)))
		},
		judge: judgeCut,
	},
}

// alteration is the text that the registry appends to a manifest, which then does
// not match its digest.
const alteration = "\n"

// saysManifestsDiffer reports whether the output has, for each altered manifest,
// a line with the digest that the command requested and the digest of the altered
// content. A command that lists several manifests may go on after such a message.
func (j *judgement) saysManifestsDiffer() bool {
	altered := j.run.requests.Op(registry.GetManifest).Status(http.StatusOK).Records()
	said := 0
	for _, r := range altered {
		if r.Digest == "" {
			continue
		}
		m, err := j.run.store.GetManifest(context.Background(), r.Repo, string(r.Digest))
		if err != nil {
			return false
		}
		got := r.Digest.Algorithm().FromString(string(m.Content) + alteration)
		if !slices.ContainsFunc(strings.Split(j.run.output, "\n"), func(line string) bool {
			return strings.Contains(line, string(r.Digest)) && strings.Contains(line, string(got))
		}) {
			return false
		}
		said++
	}
	return said > 0
}

// refuses judges whether the command failed, as it should with bad content. The
// parameter bad names that content.
func (j *judgement) refuses(req Requirement, bad string, op registry.Op) {
	switch {
	case j.run.ok():
		j.violated(req, j.run.requests.Op(op).Records(), "the command accepts %s", bad)
	default:
		j.held(req, "it is refused%s", j.said())
	}
}

func judgeCut(j *judgement) {
	gets := j.run.requests.Op(registry.GetBlob).Digest(image().Layers[0].Digest).Records()
	resumed := false
	for _, r := range gets {
		resumed = resumed || r.RequestHeader.Get("Range") != "" && r.Status == http.StatusPartialContent
	}
	switch {
	case !j.run.ok():
		j.failed(resumesBlob)
	case resumed:
		j.observed(resumesBlob, "the client requests the rest")
	default:
		j.observed(resumesBlob, "the client requests the blob again from its beginning")
	}
}
