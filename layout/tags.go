package layout

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
)

// referrersTag returns the tag for the list of referrers of a subject
// (distribution spec, Referrers Tag Schema).
func referrersTag(subject digest.Digest) string {
	algorithm, encoded, _ := strings.Cut(string(subject), ":")
	tag := algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
	return strings.NewReplacer("+", "-", "=", "-").Replace(tag)
}

// A referral is a manifest with a subject that a draft adds or deletes.
type referral struct {
	repo     string
	subject  digest.Digest
	referrer ocispec.Descriptor
	deleted  bool
}

// refer records that the draft adds or deletes the manifest m. It does nothing
// unless the store maintains referrers tags and the manifest has a subject.
func (d *draft) refer(repo string, m ocispec.Descriptor, f *facts, deleted bool) {
	if !d.layout.referrersTags || f == nil || f.subject == "" {
		return
	}
	listed := f.referrer
	listed.MediaType, listed.Digest, listed.Size = m.MediaType, m.Digest, m.Size
	d.referrals = append(d.referrals, referral{repo, f.subject, listed, deleted})
}

// tagReferrers writes new lists of referrers for the subjects of the manifests
// that the draft adds or deletes, and moves the referrers tags to them. It
// leaves a tag alone that a client or another tool set. It returns the
// entries of the lists that the tags no longer name.
func (l *imageLayout) tagReferrers(d *draft) (old []*entry, err error) {
	referrals := d.referrals
	d.referrals = nil
	for len(referrals) > 0 {
		repo, subject := referrals[0].repo, referrals[0].subject
		list, err := l.referrersIn(d, repo, subject)
		if err != nil {
			return nil, err
		}
		rest := referrals[:0:0]
		for _, c := range referrals {
			if c.repo != repo || c.subject != subject {
				rest = append(rest, c)
				continue
			}
			i, found := findReferrer(list, c.referrer.Digest)
			if found {
				list = slices.Delete(list, i, i+1)
			}
			if !c.deleted {
				list = slices.Insert(list, i, c.referrer)
			}
		}
		referrals = rest
		replaced, err := l.tagList(d, repo, subject, list)
		if err != nil {
			return nil, err
		}
		old = append(old, replaced...)
	}
	return old, nil
}

// referrersIn returns the referrers of the subject in the index that the draft
// is based on.
func (l *imageLayout) referrersIn(d *draft, repo string, subject digest.Digest) (list []ocispec.Descriptor, err error) {
	r, ok := d.base.repos.Get(repo)
	if !ok {
		return nil, nil
	}
	after := digest.Digest("")
	for {
		page, err := r.reach.page(context.Background(), subject, after)
		list = append(list, page...)
		if err != nil || len(page) < maxPage {
			return list, err
		}
		after = page[len(page)-1].Digest
	}
}

// tagList writes a list of referrers and makes the referrers tag of the subject
// name it. If the list is empty, it removes the tag. It returns the entries that
// the tag named before.
func (l *imageLayout) tagList(d *draft, repo string, subject digest.Digest, list []ocispec.Descriptor) ([]*entry, error) {
	r, tag := d.edit(repo), referrersTag(subject)
	tagged := all(&r.tags, tag)
	if len(tagged) > 0 && !tagged[0].generated {
		return nil, nil
	}
	var e *entry
	if len(list) > 0 {
		content, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
		if err != nil {
			return nil, err
		}
		m := registry.Manifest{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(content), Content: content}
		if len(tagged) == 1 && tagged[0].digest == m.Digest {
			return nil, nil
		}
		file, err := l.draftManifest(m)
		if err != nil {
			return nil, err
		}
		defer file.discard()
		if err := file.publish(); err != nil {
			return nil, err
		}
		d.lists = append(d.lists, file)
		ref := reference{host: r.host, repo: repo, tag: tag}
		e = newEntry(ref, l.refName(ref, m.Digest), m.Descriptor())
		e.raw = e.raw[:len(e.raw)-2] + `,"` + referrersAnnotation + `":` + string(quote(string(subject))) + `}}`
		e.generated = true
	}
	d.removeAll(r, tagged)
	if e != nil {
		d.add(e)
	}
	return tagged, nil
}

// removeLists removes the files of lists of referrers that no tag names anymore.
// It ignores errors, since a file that remains does no harm.
func (l *imageLayout) removeLists(x *index, lists []*entry) {
	for _, e := range lists {
		ctx := context.Background()
		if x.lookup(e.repo(), "", e.digest) != nil {
			continue
		}
		if r, ok := x.repos.Get(e.repo()); ok {
			if _, nested, err := r.reach.manifest(ctx, e.digest); err != nil || nested {
				continue
			}
		}
		l.blobs.Lock()
		if l.checkRemovable(ctx, x, e.repo(), e.digest) == nil {
			_ = l.removeFile(e.digest)
		}
		l.blobs.Unlock()
	}
}
