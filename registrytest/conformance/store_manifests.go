package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

var manifestRules = []rule{
	{"manifest is read by digest and tag", func(t *storeTest) {
		image := t.image("app", imageSpec{})
		index := t.index("app", image)
		sha384 := t.image("app", imageSpec{algorithm: digest.SHA384})
		sha512 := t.image("app", imageSpec{algorithm: digest.SHA512})
		t.put("app", image)
		t.put("app", index, "latest")
		t.put("app", sha384, "sha384")
		t.put("app", sha512, "sha512", "V1.0-rc_1")
		t.wantManifest("app", image)
		t.wantManifest("app", index, "latest")
		t.wantManifest("app", sha384, "sha384")
		t.wantManifest("app", sha512, "sha512", "V1.0-rc_1")
	}},
	{"manifest is kept byte for byte", func(t *storeTest) {
		image := t.image("app", imageSpec{})
		var indented bytes.Buffer
		if err := json.Indent(&indented, image.Content, " ", "\t"); err != nil {
			t.Fatal(err)
		}
		indented.WriteString("\r\n\n")
		m := t.parse(digest.SHA256, image.MediaType, indented.Bytes())
		t.put("app", m, "v1")
		t.wantManifest("app", m, "v1")
	}},
	{"manifest is of any media type", func(t *storeTest) {
		config := t.bytes(64)
		blob := map[string]any{"mediaType": "application/octet-stream", "digest": t.push("app", config), "size": len(config)}
		for mediaType, doc := range map[string]map[string]any{
			manifest.DockerManifest:                    {"schemaVersion": 2, "config": blob, "layers": []any{blob}},
			manifest.DockerManifestList:                {"schemaVersion": 2, "manifests": []any{}},
			manifest.OCIArtifactManifest:               {"blobs": []any{blob}, "artifactType": "application/vnd.example.thing"},
			"application/vnd.example.manifest.v7+json": {"layers": "none of the usual"},
		} {
			doc["mediaType"] = mediaType
			content := t.json(doc)
			m := registry.Manifest{MediaType: mediaType, Digest: digest.FromBytes(content), Content: content}
			t.put("app", m, "latest")
			t.wantManifest("app", m, "latest")
		}
		// A handler does not parse manifests of schema 1.
		content := []byte(`{"schemaVersion": 1, "fsLayers": [{"blobSum": "sha256:0"}], "signatures": []}`)
		m := registry.Manifest{MediaType: manifest.DockerSchema1Signed, Digest: digest.FromBytes(content), Content: content}
		t.put("app", m, "latest")
		t.wantManifest("app", m, "latest")
	}},
	{"absent manifest wraps fs.ErrNotExist", func(t *storeTest) {
		m, none := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.push("blobs/only", t.bytes(10))
		for _, repo := range []string{"app", "blobs/only", "none"} {
			t.wantNoManifest(repo, string(none.Digest))
			t.wantNoManifest(repo, "v2")
			t.wantNotExist("DeleteManifest in "+repo, t.store.DeleteManifest(t.ctx, repo, none.Digest))
			t.wantNotExist("DeleteTag in "+repo, t.store.DeleteTag(t.ctx, repo, "v2"))
		}
		t.wantManifest("app", m, "v1")
	}},
	{"manifest belongs to its repository", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.put("app/other", t.image("app/other", imageSpec{}), "v2")
		for _, repo := range []string{"app/other", "ap"} {
			t.wantNoManifest(repo, "v1")
			t.wantNoManifest(repo, string(m.Digest))
			t.wantNotExist("DeleteManifest in "+repo, t.store.DeleteManifest(t.ctx, repo, m.Digest))
			t.wantNotExist("DeleteTag in "+repo, t.store.DeleteTag(t.ctx, repo, "v1"))
		}
		t.copyBlobs("app", "app/other", m)
		t.put("app/other", m, "v1")
		t.add("app")
		t.deleteManifest("app", m.Digest)
		t.wantManifest("app/other", m, "v1")
		t.wantTags("app")
		t.wantTags("app/other", "v1", "v2")
	}},
	{"manifest is not a blob, nor a blob a manifest", func(t *storeTest) {
		m, other := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.wantNoBlob("app", m.Digest)
		d := t.push("app", other.Content)
		t.wantNoManifest("app", string(d))
		t.wantBlob("app", d, other.Content)
		t.wantTags("app", "v1")
	}},
	{"blob in an index is no manifest", func(t *storeTest) {
		content := t.bytes(64)
		layer := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: t.push("app", content), Size: int64(len(content))}
		image := t.image("app", imageSpec{})
		t.put("app", image)
		index := t.parse(digest.SHA256, ocispec.MediaTypeImageIndex, t.json(ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{layer, {MediaType: image.MediaType, Digest: image.Digest, Size: int64(len(image.Content))}},
		}))
		t.put("app", index, "v1")
		t.wantManifest("app", index, "v1")
		t.wantManifest("app", image)
		t.wantNoManifest("app", string(layer.Digest))
		t.wantBlob("app", layer.Digest, content)
		t.delete("app", layer.Digest)
		t.wantNoBlob("app", layer.Digest)
	}},
	{"manifest may be put again", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.put("app", m)
		t.wantManifest("app", m, "v1")
		t.put("app", m, "v2")
		t.wantManifest("app", m, "v1", "v2")
		t.put("app", m, "v2", "v1")
		t.wantManifest("app", m, "v1", "v2")
		t.wantTags("app", "v1", "v2")
		t.deleteManifest("app", m.Digest)
		t.wantNoManifest("app", "v1")
		t.wantNoManifest("app", "v2")
	}},
	{"media type belongs to the repository", func(t *storeTest) {
		m := t.image("app", imageSpec{noMediaType: true})
		t.copyBlobs("app", "other", m)
		docker := m
		docker.MediaType = manifest.DockerManifest
		t.put("app", m, "v1")
		t.put("other", docker, "v1")
		t.wantManifest("app", m, "v1")
		t.wantManifest("other", docker, "v1")
	}},
	{"tag moves", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "stays", "moves")
		t.put("app", b, "moves")
		t.wantManifest("app", a, "stays")
		t.wantManifest("app", b, "moves")
		t.wantTags("app", "moves", "stays")
		t.deleteManifest("app", a.Digest)
		t.wantNoManifest("app", "stays")
		t.wantManifest("app", b, "moves")
		t.wantTags("app", "moves")
	}},
	{"tag is case-sensitive", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "rc1")
		t.put("app", b, "RC1")
		t.wantManifest("app", a, "rc1")
		t.wantManifest("app", b, "RC1")
		t.wantNoManifest("app", "Rc1")
	}},
	{"deleting a manifest deletes its tags", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", a, "a1", "c", "a2")
		t.put("app", b, "b1", "b2")
		t.put("app", a, "b2")
		t.deleteManifest("app", a.Digest)
		t.wantNoManifest("app", string(a.Digest))
		for _, tag := range []string{"a1", "a2", "b2", "c"} {
			t.wantNoManifest("app", tag)
			t.wantNotExist("DeleteTag of a tag deleted with its manifest", t.store.DeleteTag(t.ctx, "app", tag))
		}
		t.wantNotExist("DeleteManifest of a deleted manifest", t.store.DeleteManifest(t.ctx, "app", a.Digest))
		t.wantTags("app", "b1")
		t.wantManifest("app", b, "b1")
		t.put("app", a)
		t.wantManifest("app", a)
		t.wantTags("app", "b1")
	}},
	{"deleting a tag keeps its manifest", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1", "v2")
		for _, tag := range []string{"v2", "v1"} {
			if err := t.store.DeleteTag(t.ctx, "app", tag); err != nil {
				t.Fatalf("DeleteTag(%s): %v", tag, err)
			}
			t.wantNoManifest("app", tag)
			t.wantNotExist("DeleteTag of a deleted tag", t.store.DeleteTag(t.ctx, "app", tag))
			t.wantManifest("app", m)
		}
		t.wantTags("app")
		t.put("app", t.image("app", imageSpec{}), "v1")
		t.deleteManifest("app", m.Digest)
		t.wantTags("app", "v1")
	}},
	{"deleting a manifest keeps its blobs", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1")
		t.deleteManifest("app", m.Digest)
		for d := range t.document(m).RequiredBlobs {
			if _, err := t.store.StatBlob(t.ctx, "app", d); err != nil {
				t.Errorf("StatBlob of a layer after DeleteManifest: %v", err)
			}
		}
	}},
	{"check receives the current digest", func(t *storeTest) {
		a, b := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		type call struct {
			tag     string
			current digest.Digest
		}
		for _, step := range []struct {
			m    registry.Manifest
			tags []string
			want []call
		}{
			{a, nil, []call{{"", ""}}},
			{a, nil, []call{{"", a.Digest}}},
			{a, []string{"v1", "v2"}, []call{{"v1", ""}, {"v2", ""}}},
			{b, []string{"v3", "v2"}, []call{{"v2", a.Digest}, {"v3", ""}}},
			{b, []string{"v1", "v2", "v3"}, []call{{"v1", a.Digest}, {"v2", b.Digest}, {"v3", b.Digest}}},
			{a, nil, []call{{"", a.Digest}}},
		} {
			var got []call
			err := t.store.PutManifest(t.ctx, "app", step.m, step.tags, func(tag string, current digest.Digest) error {
				got = append(got, call{tag, current})
				return nil
			})
			if err != nil {
				t.Fatalf("PutManifest: %v", err)
			}
			slices.SortFunc(got, func(a, b call) int { return strings.Compare(a.tag, b.tag) })
			if !slices.Equal(got, step.want) {
				t.Errorf("PutManifest with tags %q calls check with\n%v, want\n%v", step.tags, got, step.want)
			}
		}
	}},
	{"refused write returns the error of check and changes nothing", func(t *storeTest) {
		no := errors.New("no")
		refuse := func(tag string, _ digest.Digest) error {
			if tag == "free" {
				return nil
			}
			return no
		}
		subject := t.image("app", imageSpec{}).Digest
		a, b := t.image("app", imageSpec{subject: subject, noMediaType: true}), t.image("app", imageSpec{subject: subject})
		t.put("app", a, "taken")
		t.add("blobs/only")
		t.copyBlobs("app", "blobs/only", b)
		docker := a
		docker.MediaType = manifest.DockerManifest
		for _, try := range []struct {
			repo string
			m    registry.Manifest
			tags []string
		}{
			{"app", b, []string{"free", "taken"}}, {"app", b, []string{"taken", "free"}}, {"app", b, nil},
			{"app", docker, []string{"free", "taken"}}, {"app", docker, nil},
			{"blobs/only", b, []string{"taken"}}, {"new", b, []string{"taken"}}, {"new", b, nil},
		} {
			if err := t.store.PutManifest(t.ctx, try.repo, try.m, try.tags, refuse); err != no {
				t.Errorf("PutManifest in %s with tags %q returned %v, want the error of check, %v", try.repo, try.tags, err, no)
			}
		}
		t.wantManifest("app", a, "taken")
		t.wantNoManifest("app", string(b.Digest))
		t.wantNoManifest("app", "free")
		t.wantTags("app", "taken")
		t.wantReferrers("app", subject, a)
		t.wantTags("blobs/only")
		t.wantReferrers("blobs/only", subject)
		t.wantRepositories("", "app", "blobs/only")
	}},
}
