package profile

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// The behaviours in this file concern pushes, and are shared by several
// registries.

// mountIf returns the behaviour of a registry that mounts a blob only if the
// function met returns true, and otherwise starts an upload session.
func mountIf(met func(b *build, r *registry.Request) bool) behaviour {
	return behaviour{{decides: "mounts", build: func(b *build, q *quirk) {
		b.addFault([]registry.Op{registry.MountBlob}, func(r *registry.Request) *registry.Fault {
			if r.From == "" || !mountable(r) || met(b, r) {
				return nil // For a missing blob, the registry starts a session anyway.
			}
			return &registry.Fault{Quirk: true, Before: func(r *registry.Request) error {
				r.Note(q.receipt())
				r.Digest = "" // a mount without a digest starts a session
				return nil
			}}
		})
	}}}
}

// mountable reports whether the registry can mount the blob: the named
// repository has it or, if the request names none, any repository. Otherwise
// every registry starts an upload session.
func mountable(r *registry.Request) bool {
	has := func(repo string) bool {
		_, err := r.Store().StatBlob(r.Context(), repo, r.Digest)
		return err == nil
	}
	if r.Digest == "" || r.From != "" {
		return r.Digest != "" && has(r.From)
	}
	for repo, err := range r.Store().Repositories(r.Context(), "") {
		if err == nil && has(repo) {
			return true
		}
	}
	return false
}

// immutableTags returns the behaviour of a registry that refuses to move a tag
// to another manifest. The function find returns the error.
func immutableTags(find func(r *registry.Request) *registry.Error) behaviour {
	return behaviour{{decides: "tags that move", build: func(b *build, q *quirk) {
		b.others = append(b.others, registry.WithTagCheck(func(r *registry.Request, _ string, current, next digest.Digest) error {
			if current == "" || current == next {
				return nil
			}
			r.Note(q.receipt())
			return find(r)
		}))
	}}}
}

// probeMovedTag is a probe of a push of another image with an existing tag.
func probeMovedTag(p *prober) string {
	p.image("v1")
	return p.put(p.build(nil), "v1").code()
}

// probePushTo returns a probe of a request for an upload session. The function
// choose returns the name of the repository.
func probePushTo(choose func(*prober) string) probe {
	return func(p *prober) string {
		to := *p
		to.repo = choose(p)
		return to.do("POST", to.path("blobs", "uploads/"), "").code()
	}
}

// absent returns the name of a repository that does not exist.
func absent(p *prober) string { return p.absent }

// elsewhere returns the name of a repository whose namespace does not exist.
func elsewhere(p *prober) string { return "missing/" + p.repo }

// sha256Only returns the behaviour of a registry that refuses digests other than
// sha256.
func sha256Only() behaviour {
	return without(registry.SHA512, func(r *registry.Request, status int, _ http.Header) bool {
		return r.Digest != "" && r.Digest.Algorithm() != digest.SHA256 && status == http.StatusBadRequest
	}, registry.PutUpload, registry.PostBlob, registry.PutManifest)
}

// probeSHA512 is a probe of a push of a blob with a sha512 digest.
func probeSHA512(p *prober) string {
	text := p.text(20)
	return p.do("PUT", param(p.start(), "digest", string(digest.SHA512.FromString(text))), text).only()
}

// emptyBlob400 returns the behaviour of a registry that refuses an empty blob
// with 400.
func emptyBlob400(message string) behaviour {
	return refuse(func(_ *build, r *registry.Request) *registry.Error {
		if r.Digest != digest.FromString("") {
			return nil
		}
		return &registry.Error{Code: registry.CodeBlobUploadInvalid, Message: message}
	}, registry.PutUpload, registry.PostBlob).deciding("empty blobs")
}

// probeEmptyBlob is a probe of a push of an empty blob.
func probeEmptyBlob(p *prober) string {
	return p.do("PUT", param(p.start(), "digest", string(digest.FromString(""))), "").code()
}

// noLayersInIndexes returns the behaviour of a registry that refuses an index if
// one of its children is a blob and not a manifest, as in a build cache.
func noLayersInIndexes(status int, code registry.Code, message string) behaviour {
	return refuseManifest(func(_ *build, r *registry.Request, d document) *registry.Error {
		for _, child := range d.Manifests {
			if _, err := r.Store().StatManifest(r.Context(), r.Repo, string(child.Digest)); err == nil {
				continue
			}
			if _, err := r.Store().StatBlob(r.Context(), r.Repo, child.Digest); err == nil {
				return &registry.Error{Status: status, Code: code, Message: message}
			}
		}
		return nil
	}).deciding("layers in indexes")
}

// onlyConfigs returns the behaviour of a registry that refuses a manifest if the
// function known returns false for its artifactType or the type of its config.
func onlyConfigs(known func(mediaType string) bool, status int, code registry.Code, message string) behaviour {
	return refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
		for _, t := range d.types() {
			if t != "" && !known(t) {
				return &registry.Error{Status: status, Code: code, Message: message + t}
			}
		}
		return nil
	}).deciding("types of configs")
}

// onlyManifests returns the behaviour of a registry that refuses a manifest if
// the function known returns false for its media type.
func onlyManifests(known func(mediaType string) bool, status int, message string) behaviour {
	return refuseManifest(func(_ *build, _ *registry.Request, d document) *registry.Error {
		if d.contentType == "" || known(d.contentType) {
			return nil
		}
		return &registry.Error{Status: status, Code: registry.CodeManifestInvalid, Message: message}
	}).deciding("types of manifests")
}

// typeWithoutParameters returns the behaviour of a registry that refuses a
// manifest if its Content-Type has a parameter.
func typeWithoutParameters(e registry.Error) behaviour {
	return refuse(func(_ *build, r *registry.Request) *registry.Error {
		if !strings.Contains(r.Header.Get("Content-Type"), ";") {
			return nil
		}
		refusal := e
		return &refusal
	}, registry.PutManifest)
}

// probeTypeParameter is a probe of a push of a manifest whose Content-Type has a
// charset.
func probeTypeParameter(p *prober) string {
	i := p.build(nil)
	i.MediaType += "; charset=utf-8"
	return p.put(i, "v1").only()
}

// probeManifestType returns a probe of a push of an image manifest with the
// media type.
func probeManifestType(mediaType string) probe {
	return func(p *prober) string {
		return p.put(p.build(func(m *ocispec.Manifest) { m.MediaType = mediaType }), "v1").code()
	}
}

// probeMissingBlob is a probe of a push of an image manifest whose layer is
// missing.
func probeMissingBlob(p *prober) string {
	i := p.build(nil)
	i.manifest.Layers[0].Digest = i.Digest
	return p.put(p.encode(i.manifest, i.MediaType), "v1").code()
}
