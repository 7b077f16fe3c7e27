package bench

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A Case is one measurement, which is made for several registries.
type Case struct {
	Name string

	// Only reports whether to measure the registry. If it is nil, all registries
	// are measured.
	Only func(Registry) bool

	// Among has the registries to measure in place of those that the function
	// Registries returns. It is nil if Only selects them.
	Among []Registry

	// Run measures one registry. It fails the benchmark if a response is wrong.
	Run func(b *testing.B, r Registry)

	// Limits are measured with the case. They show the best result that the
	// machine permits.
	Limits []Limit
}

// A Limit measures the part of a case that no registry can avoid.
type Limit struct {
	Name string
	Run  func(b *testing.B)
}

// Sizes has the amounts of content for the cases.
type Sizes struct {
	Blob         int // bytes of the big blob
	Stream       int // bytes of a generated blob that no registry holds in memory
	Tags         int // tags in one repository
	ManyTags     int // tags in one repository, for registries for which the function fills returns true
	Referrers    int // referrers of one subject
	Images       int // images in a layout that is opened
	LayoutTags   int // tags in a layout that is pushed to
	Repositories int // repositories in a tree of layouts
	Pushes       int // images that 64 clients push
	Layer        int // bytes of the layer of each of these images
	Shared       int // bytes of the blob that each of 64 clients pushes
}

// Full has the amounts for the published numbers, Small those for a quick test
// of every case.
var (
	Full  = Sizes{Blob: 256 << 20, Stream: 2 << 30, Tags: 10_000, ManyTags: 100_000, Referrers: 10_000, Images: 1000, LayoutTags: 10_000, Repositories: 1000, Pushes: 512, Layer: 1 << 20, Shared: 4 << 20}
	Small = Sizes{Blob: 9 << 20, Stream: 9 << 20, Tags: 300, ManyTags: 500, Referrers: 200, Images: 20, LayoutTags: 100, Repositories: 20, Pushes: 16, Layer: 16 << 10, Shared: 64 << 10}
)

// Registries returns the registries that the case measures.
func (c Case) Registries() []Registry {
	if c.Among != nil {
		return c.Among
	}
	return slices.DeleteFunc(Registries(), func(r Registry) bool { return c.Only != nil && !c.Only(r) })
}

// Cases returns all cases for the given amounts of content.
func Cases(s Sizes) []Case {
	cases := []Case{{Name: "start", Only: inMemory, Run: start}}
	for _, over := range []struct {
		name     string
		http     bool
		parallel int // the number of concurrent clients
	}{{"direct", false, 1}, {"direct-64", false, 64}, {"http", true, 1}, {"http-64", true, 64}} {
		cases = append(cases, Case{Name: "push-small/" + over.name, Run: func(b *testing.B, r Registry) {
			pushSmall(b, newClient(b, r, over.http), over.parallel)
		}})
		for _, g := range []struct{ name, method, part string }{
			{"manifest-get-tag", "GET", "manifest-tag"},
			{"manifest-get-digest", "GET", "manifest-digest"},
			{"manifest-head-tag", "HEAD", "manifest-tag"},
			{"manifest-head-digest", "HEAD", "manifest-digest"},
			{"blob-get-1k", "GET", "blob"},
			{"blob-head", "HEAD", "blob"},
		} {
			cases = append(cases, Case{Name: g.name + "/" + over.name, Run: func(b *testing.B, r Registry) {
				get(b, newClient(b, r, over.http), g.method, g.part, over.parallel)
			}})
		}
	}
	content := makeBig(s.Blob)
	pushLimits := []Limit{{"sha256", func(b *testing.B) { hashAlone(b, content) }}, {"discard", func(b *testing.B) { discardAll(b, content) }}}
	for _, p := range []struct {
		name string
		send func(c *client, location string, content []byte, d digest.Digest) error
	}{{"put", putWhole}, {"chunks", putChunks}, {"stream", putStream}} {
		cases = append(cases, Case{Name: "push-256M/" + p.name, Limits: pushLimits, Run: func(b *testing.B, r Registry) { pushBig(b, r, content, p.send) }})
	}
	decode := []Limit{{"decode", decodeReferrer}}
	at := func(n int) string { return "/" + strconv.Itoa(n) }
	return append(cases,
		Case{Name: "pull-256M", Run: func(b *testing.B, r Registry) { pullBig(b, r, content) }, Limits: []Limit{
			{"serve-memory", func(b *testing.B) { serveContent(b, content, false) }},
			{"serve-file", func(b *testing.B) { serveContent(b, content, true) }},
		}},
		Case{Name: "tag-at" + at(s.Tags/10), Only: inMemory, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, s.Tags/10) }},
		Case{Name: "tag-at" + at(s.Tags), Only: inMemory, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, s.Tags) }},
		Case{Name: "tag-at" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { pushTagAt(b, r, s.ManyTags) }},
		Case{Name: "tags-page" + at(s.Tags), Only: inMemory, Run: func(b *testing.B, r Registry) { tagsPage(b, r, s.Tags) }},
		Case{Name: "tags-page" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { tagsPage(b, r, s.ManyTags) }},
		Case{Name: "tags-page-after-push" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { tagsPageAfterPush(b, r, s.ManyTags) }},
		Case{Name: "tags-all" + at(s.ManyTags), Only: fills, Run: func(b *testing.B, r Registry) { tagsAll(b, r, s.ManyTags) }},
		Case{Name: "referrer-at" + at(s.Referrers/10), Only: knowsSubjects, Limits: decode, Run: func(b *testing.B, r Registry) { pushReferrerAt(b, r, s.Referrers/10) }},
		Case{Name: "referrer-at" + at(s.Referrers), Only: knowsSubjects, Limits: decode, Run: func(b *testing.B, r Registry) { pushReferrerAt(b, r, s.Referrers) }},
		Case{Name: "referrers-page" + at(s.Referrers), Only: listsReferrers, Run: func(b *testing.B, r Registry) { referrersPage(b, r, s.Referrers) }},
		Case{Name: "layout-open" + at(s.Images), Only: readsLayouts, Run: func(b *testing.B, r Registry) { openLayout(b, r, s.Images) }},
		Case{Name: "layout-get-again" + at(s.Images), Only: readsLayouts, Run: func(b *testing.B, r Registry) { getOfLayout(b, r, s.Images, "manifest-tag") }},
		Case{Name: "layout-blob-get" + at(s.Images), Only: readsLayouts, Run: func(b *testing.B, r Registry) { getOfLayout(b, r, s.Images, "blob") }},
		Case{Name: "layout-tree" + at(s.Repositories), Only: func(r Registry) bool { return r.Name == "layout" }, Run: func(b *testing.B, r Registry) { openTree(b, r, s.Repositories) }},
		Case{Name: "layout-tag-at" + at(s.LayoutTags), Only: readsLayouts, Run: func(b *testing.B, r Registry) { pushIntoLayout(b, r, s.LayoutTags, 1) }},
		Case{Name: "layout-tag-at" + at(s.LayoutTags) + "/64-writers", Only: readsLayouts, Run: func(b *testing.B, r Registry) { pushIntoLayout(b, r, s.LayoutTags, 64) }},
		Case{Name: "push-64-clients/different", Run: func(b *testing.B, r Registry) { pushDifferent(b, r, s.Pushes, s.Layer) }},
		Case{Name: "push-64-clients/same", Run: func(b *testing.B, r Registry) { pushSame(b, r, s.Shared) }},
		Case{Name: "proxy-manifest-get/http", Among: proxies(memory), Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, true), "GET", "manifest-tag", 1) }},
		Case{Name: "proxy-manifest-get/http-64", Among: proxies(memory), Run: func(b *testing.B, r Registry) { get(b, newClient(b, r, true), "GET", "manifest-tag", 64) }},
		Case{Name: "proxy-pull-256M", Among: proxies(memory), Run: func(b *testing.B, r Registry) { pullBig(b, r, content) }},
		Case{Name: "proxy-pull-2G", Among: proxies(streamed(int64(s.Stream))), Run: func(b *testing.B, r Registry) { stream(b, r, int64(s.Stream)) }},
		Case{Name: "replay-manifest-get", Among: replays(), Run: func(b *testing.B, r Registry) { replay(b, r, "manifest-tag") }},
		Case{Name: "replay-blob-get-1k", Among: replays(), Run: func(b *testing.B, r Registry) { replay(b, r, "blob") }},
	)
}

func inMemory(r Registry) bool { return !r.Disk }

// fills reports whether pushing a very large number of tags to the registry
// takes a reasonable time. Distribution takes a millisecond for each tag.
func fills(r Registry) bool { return !r.Disk && r.Name != "distribution" }

// readsLayouts reports whether the registry can serve an image layout that
// exists on disk.
func readsLayouts(r Registry) bool { return r.Name == "layout" || r.Name == "stub-disk" }

// listsReferrers reports whether the registry has the referrers API, which
// distribution lacks.
func listsReferrers(r Registry) bool { return !r.Disk && r.Name != "distribution" }

// knowsSubjects reports whether the registry confirms the subject of a pushed
// manifest with OCI-Subject, as the spec requires of registries with the
// referrers API. Ggcr does not, because it does not parse pushed manifests.
func knowsSubjects(r Registry) bool { return listsReferrers(r) && r.Name != "ggcr" }

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
