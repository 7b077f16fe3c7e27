package check

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/journal"
)

// The scenarios about the referrers tag, which clients maintain if the registry
// lacks the referrers API.
var referrersScenarios = []scenario{
	{
		name:         "attach without the API",
		requirements: []Requirement{keepsReferrersTag, describesReferrer, listsReferrerOnce},
		applies:      attaches,
		arrange:      func(w *world, _ *run) { w.withoutReferrers(referrersIndex()) },
		judge:        judgeAttached,
	},
	{
		name:         "attach with other content at the tag",
		requirements: []Requirement{reportsForeignTag},
		applies:      attaches,
		arrange:      func(w *world, _ *run) { w.withoutReferrers(content.Image()) },
		judge: func(j *judgement) {
			tagged, err := j.run.store.StatManifest(context.Background(), repoName, referrersTag())
			switch {
			case err != nil || tagged.Digest != content.Image().Digest:
				j.violated(reportsForeignTag, j.run.requests.Records(), "the command replaces the image at the referrers tag")
			case j.run.ok():
				j.violated(reportsForeignTag, j.run.requests.Records(), "the command succeeds, and the referrer is in no list")
			default:
				j.held(reportsForeignTag, "it fails%s", j.said())
			}
		},
	},
	{
		name:         "delete a referrer without the API",
		requirements: []Requirement{removesReferrer},
		applies: func(base *run) string {
			if !base.has(isReferrer, registry.DeleteManifest) {
				return "the command deletes no referrer ({repo}@{referrer})"
			}
			return ""
		},
		arrange: func(w *world, _ *run) { w.withoutReferrers(referrersIndex()) },
		judge: func(j *judgement) {
			if !j.run.ok() {
				j.violated(removesReferrer, j.run.requests.Records(), "the command fails: %s%s", j.run.end(), j.said())
				return
			}
			for _, d := range j.taggedReferrers() {
				if d.Digest == referrers()[0].Digest {
					j.violated(removesReferrer, j.run.requests.Records(), "the referrers tag still lists the manifest")
					return
				}
			}
			j.held(removesReferrer, "")
		},
	},
}

func attaches(base *run) string {
	if len(attached(base)) == 0 {
		return "the command pushes no manifest with a subject"
	}
	return ""
}

// attached returns the successful requests that pushed a manifest whose
// subject is the image.
func attached(r *run) []*journal.Record {
	return r.requests.Op(registry.PutManifest).Repo(repoName).Where(func(rec *journal.Record) bool {
		return !rec.Failed() && rec.Subject == image().Digest
	}).Records()
}

// digestOf returns the digest of the manifest that the request pushed, by tag or
// by digest.
func digestOf(r *journal.Record) digest.Digest {
	return digest.Digest(cmp.Or(string(r.Digest), r.ResponseHeader.Get("Docker-Content-Digest")))
}

func isReferrer(r *journal.Record) bool { return r.Digest == referrers()[0].Digest }

// taggedReferrers returns the entries of the index at the image's referrers
// tag after the run.
func (j *judgement) taggedReferrers() []ocispec.Descriptor {
	m, err := j.run.store.GetManifest(context.Background(), repoName, referrersTag())
	if err != nil {
		return nil
	}
	var index ocispec.Index
	if json.Unmarshal(m.Content, &index) != nil {
		return nil
	}
	return index.Manifests
}

func judgeAttached(j *judgement) {
	if !j.succeeds(keepsReferrersTag) {
		return
	}
	pushed := attached(j.run)
	if len(pushed) == 0 {
		j.notTried(keepsReferrersTag, "the command pushed no manifest with a subject this time")
		return
	}
	entries := j.taggedReferrers()
	count := make(map[digest.Digest]int)
	for _, e := range entries {
		count[e.Digest]++
	}
	var lost []digest.Digest
	for _, r := range referrers() {
		if count[r.Digest] == 0 {
			lost = append(lost, r.Digest)
		}
	}
	for _, p := range pushed {
		d := digestOf(p)
		i := slices.IndexFunc(entries, func(e ocispec.Descriptor) bool { return e.Digest == d })
		if i < 0 {
			j.violated(keepsReferrersTag, j.run.requests.Records(), "the referrers tag does not list the new manifest %s", d)
			return
		}
		if count[d] > 1 {
			j.violated(listsReferrerOnce, j.run.requests.Records(), "the referrers tag lists the new manifest %d times", count[d])
		} else {
			j.held(listsReferrerOnce, "")
		}
		j.describes(entries[i])
	}
	if len(lost) > 0 {
		j.violated(keepsReferrersTag, j.run.requests.Records(), "the referrers tag lost %d of the referrers that it listed", len(lost))
		return
	}
	j.held(keepsReferrersTag, "")
}

// describes judges whether an entry of the index has the artifactType and the
// annotations of the manifest that the command pushed.
func (j *judgement) describes(entry ocispec.Descriptor) {
	m, err := j.run.store.GetManifest(context.Background(), repoName, string(entry.Digest))
	if err != nil {
		j.violated(describesReferrer, j.run.requests.Op(registry.PutManifest).Records(), "the manifest of the entry is not in the registry")
		return
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(m.Content, &manifest); err != nil {
		return
	}
	artifactType := manifest.ArtifactType
	if artifactType == "" {
		artifactType = manifest.Config.MediaType
	}
	switch {
	case entry.ArtifactType != artifactType:
		j.violated(describesReferrer, j.run.requests.Op(registry.PutManifest).Records(), "artifactType is %q in the list, want %q", entry.ArtifactType, artifactType)
	case !containsAll(entry.Annotations, manifest.Annotations):
		j.violated(describesReferrer, j.run.requests.Op(registry.PutManifest).Records(), "the annotations in the list are %v, want %v", entry.Annotations, manifest.Annotations)
	default:
		j.held(describesReferrer, "")
	}
}

func containsAll(have, want map[string]string) bool {
	for _, key := range slices.Collect(maps.Keys(want)) {
		if have[key] != want[key] {
			return false
		}
	}
	return true
}
