package explore

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
)

// redirect makes the registry redirect requests for the operations to a URL. If
// the registry asks for credentials, it redirects only requests that have them.
func (w *hostileWorld) redirect(to string, ops ...registry.Op) {
	r := fault.On(ops...).Status(http.StatusTemporaryRedirect).Location(to)
	if w.login != nil {
		r = r.User("*")
	}
	w.fault(r)
}

// overTLS limits a rule to requests over TLS. Without the limit, a redirect to
// plain HTTP would lead to the next redirect, and so on.
func overTLS(r fault.Rule) fault.Rule {
	return r.Where("with TLS", func(r *registry.Request) bool { return r.TLS != nil })
}

const advisoryPort = "GHSA-vh4v-2xq2-g5cg"

// credentialTraps returns the traps that lure credentials to another host or to
// plain HTTP.
func credentialTraps() []trap {
	plain := "http://" + registryHost
	return []trap{
		{
			name: "redirect of blobs to another host", reference: "distribution-spec, API",
			needs: needsLogin("the operation pulls no blob", registry.GetBlob),
			set:   func(w *hostileWorld) { w.redirect(w.attacker(), registry.GetBlob, registry.HeadBlob) },
			twin:  redirectToCDN,
		},
		{
			name: "redirect of manifests to another host", reference: "distribution-spec, API",
			needs: needsLogin("the operation pulls no manifest", registry.GetManifest, registry.HeadManifest),
			set:   func(w *hostileWorld) { w.redirect(w.attacker(), registry.GetManifest, registry.HeadManifest) },
			twin:  redirectOfManifests,
		},
		{
			name: "redirect of manifests to another port", reference: advisoryPort,
			needs: needsLogin("the operation pulls no manifest", registry.GetManifest, registry.HeadManifest),
			set: func(w *hostileWorld) {
				w.redirect(w.host(otherPort, w.mirror(), false), registry.GetManifest, registry.HeadManifest)
			},
			twin: manifestsMoved, // A client that drops credentials at every redirect fails here.
		},
		{
			name: "redirect of blobs to another port", reference: advisoryPort,
			needs: needsLogin("the operation pulls no blob", registry.GetBlob),
			set: func(w *hostileWorld) {
				w.redirect(w.host(otherPort, w.mirror(), false), registry.GetBlob, registry.HeadBlob)
			},
			twin: blobsMoved,
		},
		{
			name: "redirect from HTTPS to HTTP", reference: "RFC 9110, section 4.2.2",
			needs: needsTLS(needsLogin("the operation pulls nothing", pulls...)),
			set: func(w *hostileWorld) {
				w.fault(overTLS(fault.On(pulls...).User("*").Status(http.StatusTemporaryRedirect).Location(plain)))
			},
			twin: allMoved,
		},
		{
			name: "Location of an upload at another host", reference: "CVE-2026-50151",
			needs: needsLogin("the operation uploads no blob in a session", uploads...),
			set: func(w *hostileWorld) {
				w.fault(fault.On(registry.StartUpload, registry.MountBlob, registry.PatchUpload).User("*").Location(w.host(attackerHost, uploader(), false)))
			},
			twin: absoluteLocation,
		},
		{
			name: "Location of an upload without TLS", reference: "CVE-2026-50151",
			needs: needsTLS(needsLogin("the operation uploads no blob in a session", uploads...)),
			set:   func(w *hostileWorld) { w.fault(fault.On(uploads...).User("*").Location(plain)) },
			twin:  absoluteLocation,
		},
		{
			name: "Link at another host", reference: "RFC 9110, section 11.5",
			needs: needsLogin("the operation lists nothing", lists...),
			set: func(w *hostileWorld) {
				w.options = append(w.options, registry.WithPageSize(1))
				w.moreToList()
				w.fault(fault.On(lists...).User("*").Location(w.attacker()))
			},
			twin: absoluteLink,
		},
		{
			name: "Link without TLS", reference: "RFC 9110, section 4.2.2",
			needs: needsTLS(needsLogin("the operation lists nothing", lists...)),
			set: func(w *hostileWorld) {
				w.options = append(w.options, registry.WithPageSize(1))
				w.moreToList()
				w.fault(fault.On(lists...).User("*").Location(plain))
			},
			twin: absoluteLink,
		},
		{
			name: "Bearer realm without TLS", reference: "CVE-2026-48978; GHSA-9m43-p3cx-w8j5; RFC 6750, section 5.3",
			needs: needsTLS(needsBearer),
			set: func(w *hostileWorld) {
				w.host(attackerHost, tokens(), false)
				w.login.Realm = "http://" + attackerHost + "/token"
			},
			twin: realmElsewhere,
		},
		{
			name: "Bearer realm at a link-local address", reference: "CVE-2026-48978; google/go-containerregistry#2193; google/go-containerregistry#2302 of the twin",
			needs: needsTLS(needsBearer),
			set: func(w *hostileWorld) {
				w.host(linkLocal, tokens(), false)
				w.login.Realm = "https://" + linkLocal + "/latest/meta-data/token"
			},
			judge: func(_ *hostile, e *encounter) string {
				for _, s := range e.seen {
					if s.host == linkLocal {
						return "requests " + s.line + " at " + linkLocal
					}
				}
				return ""
			},
			twin: privateRealm,
		},
		{
			name: "foreign layer at another host", reference: "CVE-2020-15157; GHSA-qvqc-4c52-x6qp",
			needs: func(h *hostile) string {
				if h.hostile().verifies {
					return "the image changes, so that no signature is valid"
				}
				return cmp.Or(needsImageByTag(h), needsLogin("the operation pulls no blob", registry.GetBlob)(h))
			},
			set: func(w *hostileWorld) { w.foreignLayer(w.attacker(), false) },
			// Many clients skip foreign layers, or pull them from the registry.
			twin: foreignLayerOfBoth,
		},
	}
}

// uploader returns a handler that accepts every upload.
func uploader() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Location", r.URL.Path)
		if r.Method == http.MethodPatch || r.Method == http.MethodPost {
			rw.WriteHeader(http.StatusAccepted)
			return
		}
		rw.WriteHeader(http.StatusCreated)
	})
}

// moreToList adds tags and referrers to the lists that the operation reads, to
// make several pages. It adds no referrers if the operation verifies signatures.
func (w *hostileWorld) moreToList() {
	w.after = append(w.after, func() {
		for _, r := range w.h.base.records {
			switch {
			case r.Op == registry.ListTags && !r.Failed():
				for _, tag := range []string{"hostile-1", "hostile-2"} {
					w.put(r.Repo+":"+tag, otherImage())
				}
			case r.Op == registry.ListReferrers && !r.Failed() && !w.h.hostile().verifies:
				for _, number := range []string{"1", "2"} {
					w.put(r.Repo, w.referrerOf(r.Repo, r.Digest, number))
				}
			}
		}
	})
}

// referrerOf returns an artifact whose subject is a manifest of the repository.
// Its artifact type is that of the subject's first referrer. If the subject has
// none, it is the type of another referrer that the operation lists, or an example.
func (w *hostileWorld) referrerOf(repo string, subject digest.Digest, number string) content.Content {
	of := content.Content{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 2}
	if m, err := w.reg.Store.StatManifest(w.t.Context(), repo, string(subject)); err == nil {
		of.MediaType, of.Size = m.MediaType, m.Size
	}
	artifactType := w.typeOfReferrer(repo, subject)
	for _, r := range w.h.base.records {
		if artifactType == "" && r.Op == registry.ListReferrers {
			artifactType = w.typeOfReferrer(r.Repo, r.Digest)
		}
	}
	return content.Artifact(cmp.Or(artifactType, "application/vnd.example.hostile"), content.Subject(of), content.Annotation("org.example.number", number))
}

// typeOfReferrer returns the artifact type of the first referrer of a manifest,
// or "" if it has none.
func (w *hostileWorld) typeOfReferrer(repo string, subject digest.Digest) string {
	for d, err := range w.reg.Store.Referrers(w.t.Context(), repo, subject, "") {
		if err == nil {
			return d.ArtifactType
		}
		break
	}
	return ""
}

// foreignLayer adds a layer to the images that the operation pulls by tag. The
// manifest says that the content of the layer is at the URL. If has is true, the
// registry and its mirrors have the content, too.
func (w *hostileWorld) foreignLayer(url string, has bool) {
	w.after = append(w.after, func() {
		foreign := content.Image(content.Files(map[string]string{"foreign": "a foreign layer"}))
		layer := foreign.Layers[0]
		for _, ref := range w.h.base.tags() {
			c, err := content.Get(w.t.Context(), w.reg.Store, ref)
			var m ocispec.Manifest
			if err != nil || json.Unmarshal(c.Manifest, &m) != nil || len(m.Layers) == 0 {
				continue
			}
			repo, _, _ := strings.Cut(ref, ":")
			if has {
				w.must(content.PutBlob(w.t.Context(), w.reg.Store, repo, layer))
			}
			if config, ok := w.withLayersOf(repo, m.Config, foreign.Config); ok {
				w.must(content.PutBlob(w.t.Context(), w.reg.Store, repo, config))
				m.Config.Digest, m.Config.Size = config.Digest, config.Size
			}
			m.Layers = append(m.Layers, ocispec.Descriptor{
				MediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
				Digest:    layer.Digest, Size: layer.Size,
				URLs: []string{url + "/v2/" + repo + "/blobs/" + string(layer.Digest)},
			})
			text, err := json.Marshal(m)
			w.must(err)
			w.put(ref, content.Raw(c.MediaType, text))
		}
	})
}

// withLayersOf returns a copy of an image's config that lists the layers of the
// other config after its own, because a client may compare them with the layers
// of the manifest. It returns false if the registry lacks the config, or the config
// lists no layers.
func (w *hostileWorld) withLayersOf(repo string, config ocispec.Descriptor, other content.Blob) (_ content.Blob, ok bool) {
	r, err := w.reg.Store.OpenBlob(w.t.Context(), repo, config.Digest)
	if err != nil {
		return content.Blob{}, false // The registry lacks the config.
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	w.must(err)
	var to, from struct{ RootFS ocispec.RootFS }
	all := make(map[string]any)
	if json.Unmarshal(text, &to) != nil || json.Unmarshal(text, &all) != nil || len(to.RootFS.DiffIDs) == 0 {
		return content.Blob{}, false
	}
	w.must(json.NewDecoder(other.Open()).Decode(&from))
	to.RootFS.DiffIDs = append(to.RootFS.DiffIDs, from.RootFS.DiffIDs...)
	all["rootfs"] = to.RootFS
	delete(all, "history") // The history would lack an entry for the new layer.
	text, err = json.Marshal(all)
	w.must(err)
	return content.Bytes(config.MediaType, text), true
}
