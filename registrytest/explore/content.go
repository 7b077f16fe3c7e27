package explore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
	"github.com/ocireg/registry/registrytest/journal"
)

// A tagging maps the tags of a registry, as "repo:tag", to the digests of their
// manifests.
type tagging map[string]digest.Digest

// tagsOf returns the tags of all repositories in the store.
func tagsOf(store registry.Store) tagging {
	c := make(tagging)
	ctx := context.Background()
	for repo, err := range store.Repositories(ctx, "") {
		if err != nil {
			break
		}
		for tag, err := range store.Tags(ctx, repo, "") {
			if err != nil {
				break
			}
			if m, err := store.StatManifest(ctx, repo, tag); err == nil {
				c[repo+":"+tag] = m.Digest
			}
		}
	}
	return c
}

// A thing is a blob or a manifest in a repository.
type thing struct {
	repo     string
	digest   digest.Digest
	manifest bool
}

func (t thing) String() string {
	if t.manifest {
		return fmt.Sprintf("the manifest %s@%s", t.repo, short(t.digest))
	}
	return fmt.Sprintf("the blob %s@%s", t.repo, short(t.digest))
}

func (t thing) in(store registry.Store) bool {
	var err error
	if t.manifest {
		_, err = store.StatManifest(context.Background(), t.repo, string(t.digest))
	} else {
		_, err = store.StatBlob(context.Background(), t.repo, t.digest)
	}
	return err == nil
}

// pushed returns the blobs and manifests that the requests stored, and all content
// that these manifests refer to, except for their subjects. It leaves out content that
// the store lacks.
func pushed(store registry.Store, records []*journal.Record) []thing {
	seen := make(map[thing]bool)
	var visit func(t thing)
	visit = func(t thing) {
		if seen[t] || !t.in(store) {
			return
		}
		seen[t] = true
		if !t.manifest {
			return
		}
		m, err := store.GetManifest(context.Background(), t.repo, string(t.digest))
		if err != nil {
			return
		}
		doc, err := manifest.Parse(m.MediaType, m.Content)
		if err != nil {
			return
		}
		if doc.Config != nil {
			visit(thing{t.repo, doc.Config.Digest, false})
		}
		for _, d := range slices.Concat(doc.Layers, doc.Blobs) {
			visit(thing{t.repo, d.Digest, false})
		}
		for _, d := range doc.Manifests {
			visit(thing{t.repo, d.Digest, true})
		}
	}
	for _, r := range records {
		if r.Status != 201 {
			continue
		}
		switch r.Op {
		case registry.PutManifest:
			visit(thing{r.Repo, digest.Digest(r.ResponseHeader.Get("Docker-Content-Digest")), true})
		case registry.PutUpload, registry.PostBlob, registry.MountBlob:
			visit(thing{r.Repo, r.Digest, false})
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// pushesOther reports whether a run stored a manifest that the undisturbed run, with
// the records base, did not store.
func pushesOther(base, records []*journal.Record) bool {
	known := make(map[string]bool)
	for _, r := range base {
		if r.Op == registry.PutManifest {
			known[r.ResponseHeader.Get("Docker-Content-Digest")] = true
		}
	}
	return slices.ContainsFunc(records, func(r *journal.Record) bool {
		return r.Op == registry.PutManifest && r.Status == 201 && !known[r.ResponseHeader.Get("Docker-Content-Digest")]
	})
}

// missing describes each of the things that the store lacks.
func missing(store registry.Store, things []thing) (list []string) {
	for _, t := range things {
		if !t.in(store) {
			list = append(list, t.String()+" is not there")
		}
	}
	slices.Sort(list)
	return list
}

// differences describes how the tags after a run (got) differ from those after
// the undisturbed run (want). A tag that is only in got counts if the run left it
// unchanged, because the undisturbed run deleted it.
func differences(want, got, before tagging) (list []string) {
	for _, ref := range slices.Sorted(maps.Keys(want)) {
		switch d, ok := got[ref]; {
		case !ok:
			list = append(list, fmt.Sprintf("the tag %s is missing", ref))
		case d != want[ref]:
			list = append(list, fmt.Sprintf("the tag %s is %s, not %s", ref, short(d), short(want[ref])))
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[ref]; !ok && before[ref] == got[ref] {
			list = append(list, fmt.Sprintf("the tag %s is still there", ref))
		}
	}
	return list
}
