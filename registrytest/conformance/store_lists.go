package conformance

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

var listRules = []rule{
	{"tags are listed in byte order", func(t *storeTest) {
		tags := []string{"b", "a", "B", "A", "_", "0", "10", "9", "a.b", "a-b", "a_b", "a0", "aB", "ab", "v1.10", "v1.9",
			"index.json", "sha256-" + strings.Repeat("0", 64) + ".sig", strings.Repeat("z", 128)}
		for part := range slices.Chunk(tags, 7) {
			t.put("app", t.image("app", imageSpec{}), part...)
		}
		slices.Sort(tags)
		t.wantTags("app", tags...)
		t.wantList("Tags", tags, func(after string) iter.Seq2[string, error] { return t.store.Tags(t.ctx, "app", after) })
	}},
	{"many tags are listed", func(t *storeTest) {
		var tags []string
		for i := range 600 {
			tags = append(tags, fmt.Sprintf("v%04d", i))
		}
		shuffled := slices.Clone(tags)
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(tags), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for part := range slices.Chunk(shuffled, 200) {
			t.put("app", t.image("app", imageSpec{}), part...)
		}
		t.wantList("Tags", tags, func(after string) iter.Seq2[string, error] { return t.store.Tags(t.ctx, "app", after) })
	}},
	{"tags of an absent repository wrap fs.ErrNotExist", func(t *storeTest) {
		t.put("app/sub", t.image("app/sub", imageSpec{}), "v1")
		for _, repo := range []string{"none", "app", "app/sub/none", "app/su"} {
			t.wantNoRepository(repo)
		}
	}},
	{"repository without tags has none", func(t *storeTest) {
		t.add("blobs/only")
		t.wantTags("blobs/only")
		t.put("untagged", t.image("untagged", imageSpec{}))
		t.wantTags("untagged")
	}},
	{"repositories are listed in byte order", func(t *storeTest) {
		repos := []string{"b", "a", "a/b", "a-b", "a.b", "a__b", "a0", "ab", "a/b/c", "a/b-c", "z/y/x", "0", "tags/list", "manifests"}
		for i, repo := range repos {
			if i%2 == 0 {
				t.add(repo)
			} else {
				t.put(repo, t.image(repo, imageSpec{}))
			}
		}
		slices.Sort(repos)
		t.wantList("Repositories", repos, func(after string) iter.Seq2[string, error] { return t.store.Repositories(t.ctx, after) })
	}},
	{"repository exists with its first blob or manifest", func(t *storeTest) {
		t.needsOwnBlobs()
		t.wantNoRepository("pushed")
		d := t.push("pushed", t.bytes(10))
		t.wantRepositories("", "pushed")
		if err := t.store.MountBlob(t.ctx, "mounted", d, "pushed"); err != nil {
			t.Fatalf("MountBlob: %v", err)
		}
		t.wantRepositories("", "mounted", "pushed")
		t.put("index", t.index("index"))
		t.wantRepositories("", "index", "mounted", "pushed")
		t.put("tagged", t.index("tagged"), "v1")
		t.wantRepositories("", "index", "mounted", "pushed", "tagged")
		for _, repo := range []string{"index", "mounted", "pushed"} {
			t.wantTags(repo)
		}
	}},
	{"empty store has no repositories", func(t *storeTest) {
		t.wantRepositories("")
		t.wantRepositories("a")
	}},
	{"referrers are listed in order of their digests", func(t *storeTest) {
		subject, other := t.image("app", imageSpec{}), t.image("app", imageSpec{})
		t.put("app", subject)
		referrers := t.referrers("app", subject.Digest, 20)
		t.referrers("app", other.Digest, 3)
		t.put("app", t.image("app", imageSpec{}))
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"many referrers are listed", func(t *storeTest) {
		subject := t.image("app", imageSpec{})
		referrers := t.newReferrers("app", subject.Digest, 260)
		// A store that keeps a list of all manifests in a file may write it once
		// for several that are put at the same time.
		for part := range slices.Chunk(referrers, 20) {
			t.concurrently(len(part), func(t *storeTest, i int) { t.put("app", part[i]) })
		}
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"referrer is listed with its artifact type and annotations", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		annotations := map[string]string{"org.opencontainers.image.created": "2020-01-01T00:00:00Z", "a": "", "é": "\u2028\"<&>"}
		var referrers []registry.Manifest
		for _, spec := range []imageSpec{
			{}, {artifactType: "application/vnd.example.sbom"}, {annotations: annotations},
			{artifactType: "application/vnd.example.sbom", annotations: annotations, algorithm: digest.SHA512},
		} {
			spec.subject = subject
			m := t.image("app", spec)
			t.put("app", m)
			referrers = append(referrers, m)
		}
		index := t.parse(digest.SHA256, ocispec.MediaTypeImageIndex, t.json(ocispec.Index{
			Versioned:    specs.Versioned{SchemaVersion: 2},
			MediaType:    ocispec.MediaTypeImageIndex,
			ArtifactType: "application/vnd.example.index",
			Manifests:    []ocispec.Descriptor{},
			Subject:      &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 100},
			Annotations:  annotations,
		}))
		t.put("app", index, "tagged")
		t.wantReferrers("app", subject, append(referrers, index)...)
	}},
	{"absent subject or repository has no referrers", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		t.put("app", t.image("app", imageSpec{}))
		t.push("blobs/only", t.bytes(10))
		for _, repo := range []string{"app", "blobs/only", "none"} {
			t.wantReferrers(repo, subject)
		}
	}},
	{"referrers are those of the repository", func(t *storeTest) {
		subject := t.image("app", imageSpec{}).Digest
		m := t.image("app", imageSpec{subject: subject})
		t.put("app", m)
		t.put("other", t.image("other", imageSpec{}))
		t.wantReferrers("other", subject)
		t.copyBlobs("app", "other", m)
		t.put("other", m)
		t.wantReferrers("app", subject, m)
		t.wantReferrers("other", subject, m)
		t.deleteManifest("app", m.Digest)
		t.wantReferrers("app", subject)
		t.wantReferrers("other", subject, m)
	}},
	{"deleted manifest is no referrer", func(t *storeTest) {
		subject := t.image("app", imageSpec{})
		t.put("app", subject, "v1")
		referrers := t.referrers("app", subject.Digest, 3)
		t.put("app", referrers[1])
		t.put("app", referrers[1], "signature")
		t.wantReferrers("app", subject.Digest, referrers...)
		t.deleteManifest("app", referrers[1].Digest)
		t.wantReferrers("app", subject.Digest, referrers[0], referrers[2])
		t.put("app", referrers[1])
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"referrers outlive their subject", func(t *storeTest) {
		subject := t.image("app", imageSpec{})
		t.put("app", subject, "v1")
		referrers := t.referrers("app", subject.Digest, 2)
		t.deleteManifest("app", subject.Digest)
		t.wantReferrers("app", subject.Digest, referrers...)
		t.put("app", subject)
		t.wantReferrers("app", subject.Digest, referrers...)
	}},
	{"list may be left early", func(t *storeTest) {
		t.put("app", t.image("app", imageSpec{}), "v1", "v2", "v3")
		t.add("other")
		subject := t.image("app", imageSpec{}).Digest
		t.referrers("app", subject, 3)
		leave(t, "Repositories", t.store.Repositories(t.ctx, ""))
		leave(t, "Tags", t.store.Tags(t.ctx, "app", ""))
		leave(t, "Tags of an absent repository", t.store.Tags(t.ctx, "none", ""))
		leave(t, "Referrers", t.store.Referrers(t.ctx, "app", subject, ""))
		t.within("PutManifest after lists were stopped", func(t *storeTest) { t.put("app", t.image("app", imageSpec{}), "v1") })
	}},
	{"store may be used while it is listed", func(t *storeTest) {
		m := t.image("app", imageSpec{})
		t.put("app", m, "v1", "v2", "v3")
		t.add("other")
		subject := t.image("app", imageSpec{}).Digest
		referrers := t.referrers("app", subject, 3)
		use := func(t *storeTest) {
			t.wantManifest("app", m, "v3")
			t.put("app", t.image("app", imageSpec{}), "v0")
			t.add("a")
			t.wantReferrers("app", subject, referrers...)
		}
		for name, list := range map[string]func(t *storeTest) int{
			"repositories": func(t *storeTest) int { return t.each(t.store.Repositories(t.ctx, ""), use) },
			"tags":         func(t *storeTest) int { return t.each(t.store.Tags(t.ctx, "app", ""), use) },
			"referrers": func(t *storeTest) (n int) {
				for _, err := range t.store.Referrers(t.ctx, "app", subject, "") {
					if err != nil {
						t.Errorf("Referrers: %v", err)
					}
					use(t)
					n++
				}
				return n
			},
		} {
			t.within("using the store in a loop over its "+name, func(t *storeTest) {
				if n := list(t); n < 2 {
					t.Errorf("the list has only %d %s", n, name)
				}
			})
		}
	}},
	{"listed tags may be deleted", func(t *storeTest) {
		var tags []string
		for i := range 150 {
			tags = append(tags, fmt.Sprintf("v%04d", i))
		}
		t.put("app", t.image("app", imageSpec{}), tags...)
		var listed []string
		t.within("DeleteTag in a loop over Tags", func(t *storeTest) {
			for tag, err := range t.store.Tags(t.ctx, "app", "") {
				if err != nil {
					t.Errorf("Tags: %v", err)
					return
				}
				listed = append(listed, tag)
				if err := t.store.DeleteTag(t.ctx, "app", tag); err != nil {
					t.Errorf("DeleteTag(%s): %v", tag, err)
				}
			}
		})
		if !slices.Equal(listed, tags) {
			t.Errorf("a loop over Tags that deletes each tag sees %d of %d tags", len(listed), len(tags))
		}
		t.wantTags("app")
	}},
}
