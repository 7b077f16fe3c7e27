package profile

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// These probes are shared by quirks of several registries.

// local replaces the host of the registry and the name of the repository in a
// text, since they differ in each run.
func (p *prober) local(text string) string {
	u, _ := url.Parse(p.base)
	pairs := []string{p.base, "<registry>", u.Host, "<host>", p.repo, "<repo>"}
	for _, realm := range p.realms {
		pairs = append(pairs, realm, "<registry>")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// probeChallenge is a probe of the challenge to an anonymous pull.
func probeChallenge(p *prober) string {
	p.image("v1")
	r := p.anonymous("GET", p.path("manifests", "v1"), "")
	return p.local(r.field("WWW-Authenticate"))
}

// probeSinglePost is a probe of the response to a blob in a single POST.
func probeSinglePost(p *prober) string {
	text := p.text(20)
	r := p.do("POST", param(p.path("blobs", "uploads/"), "digest", string(digest.FromString(text))), text, "Content-Type", "application/octet-stream")
	return r.only()
}

// probeMount returns a probe of a mount of a blob from another repository. If
// the parameter from is false, the request does not name that repository.
func probeMount(from bool) probe {
	return func(p *prober) string {
		i := p.image("v1")
		other := *p
		other.repo += "/other"
		target := param(other.path("blobs", "uploads/"), "mount", string(i.manifest.Layers[0].Digest))
		if from {
			target = param(target, "from", p.repo)
		}
		return p.do("POST", target, "").only()
	}
}

// probeReferrers is a probe of the list of referrers of an image.
func probeReferrers(p *prober) string {
	i := p.image("v1")
	r := p.do("GET", p.path("referrers", string(i.Digest)), "")
	if r.status == http.StatusOK {
		return "200 " + r.header.Get("Content-Type")
	}
	return r.code()
}

// probeDelete returns a probe of the deletion of a manifest, a tag or a blob.
func probeDelete(kind string) probe {
	return func(p *prober) string {
		i := p.image("v1")
		switch kind {
		case "tag":
			return p.do("DELETE", p.path("manifests", "v1"), "").code()
		case "blob":
			return p.do("DELETE", p.path("blobs", string(i.manifest.Layers[0].Digest)), "").code()
		}
		return p.do("DELETE", p.path("manifests", string(i.Digest)), "").code()
	}
}

// probeBlobRedirect returns a probe of a request for a blob and, after a
// redirect, of an anonymous request to the storage with the header.
func probeBlobRedirect(method string, header ...string) probe {
	return func(p *prober) string {
		layer := p.push(p.text(20))
		r := p.do(method, p.path("blobs", string(layer.Digest)), "")
		if r.status/100 != 3 {
			return r.only()
		}
		return r.only() + ", storage " + p.anonymous(method, p.location(r), "", header...).only()
	}
}

// probeIllegalName is a probe of a request with an invalid repository name.
func probeIllegalName(p *prober) string {
	r := p.do("GET", "/v2/"+p.repo+"_/manifests/v1", "")
	return r.field("Content-Type")
}

// probeTokenPost is a probe of a POST to the token service.
func probeTokenPost(p *prober) string {
	return p.anonymous("POST", p.realm(), "grant_type=password&username=nobody&password=x", "Content-Type", "application/x-www-form-urlencoded").code()
}

// realm returns the URL of the token service. If the registry names none, it
// returns a URL of the registry.
func (p *prober) realm() string {
	r := p.anonymous("GET", "/v2/", "")
	_, rest, ok := strings.Cut(r.header.Get("WWW-Authenticate"), `realm="`)
	realm, _, _ := strings.Cut(rest, `"`)
	if !ok || !strings.Contains(realm, "://") {
		return p.base + "/token"
	}
	return realm
}

// token sends the token service an anonymous request for a token with the
// scopes, and returns the response.
func (p *prober) token(scopes ...string) reply {
	target := p.realm()
	for _, s := range scopes {
		target = param(target, "scope", s)
	}
	return p.anonymous("GET", target, "")
}

// probeSubject returns a probe of a push of a manifest whose subject exists or
// does not exist. The function observe describes the response.
func probeSubject(exists bool, observe func(reply) string) probe {
	return func(p *prober) string {
		subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(p.text(20)), Size: 20}
		if exists {
			subject = p.image("v1").Descriptor
		}
		i := p.build(func(m *ocispec.Manifest) { m.Subject, m.ArtifactType = &subject, "application/vnd.example.signature" })
		return observe(p.put(i, string(i.Digest)))
	}
}

// probeConfig returns a probe of a push of a manifest whose config has the media
// type.
func probeConfig(mediaType string) probe {
	return func(p *prober) string {
		return p.put(p.build(func(m *ocispec.Manifest) { m.Config.MediaType = mediaType }), "v1").code()
	}
}

// probeLayersInIndex is a probe of a push of an index whose children are layers.
func probeLayersInIndex(p *prober) string {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{p.push(p.text(20))}}
	return p.put(p.encode(index, index.MediaType), "cache").code()
}

// probeTags returns a probe of a list of tags with the query, after pushes of
// v2, v10 and v1. The probe observes the tags alone, without the status.
func probeTags(query string) probe {
	return func(p *prober) string {
		for _, tag := range []string{"v2", "v10", "v1"} {
			p.image(tag)
		}
		r := p.do("GET", p.path("tags", "list")+query, "")
		_, tags, _ := strings.Cut(r.body, `"tags":`)
		tags, _, _ = strings.Cut(tags, "]")
		return tags + "]"
	}
}
