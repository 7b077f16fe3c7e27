package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// withTags returns a client of a registry that has n tags of one image, and the
// image.
func withTags(b *testing.B, r Registry, n int) (*client, image) {
	c := newClient(b, r, false)
	i := newImage("tags", []byte("layer"))
	if err := c.push("app", tagName(0), i); err != nil {
		b.Fatal(err)
	}
	for k := 1; k < n; k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
	}
	return c, i
}

// tagName returns the name of the k-th tag. Consecutive tags are not in lexical
// order.
func tagName(k int) string { return fmt.Sprintf("v%06d", (k*7919)%1_000_003) }

// pushTagAt measures the push of a tag to a repository that has n tags.
func pushTagAt(b *testing.B, r Registry, n int) {
	c, i := withTags(b, r, n)
	k := n
	for ; b.Loop(); k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
	}
	c.check(b, "app", tagName(k-1), i)
}

// page is the request for 100 tags from the middle of the list.
var page = call{method: "GET", path: "/v2/app/tags/list?n=100&last=v500000", keep: true, want: 200}

// checkPage fails the benchmark unless a is the correct response to page, for a
// repository with the first n tags.
func checkPage(b *testing.B, a *response, n int) {
	b.Helper()
	checkTags(b, a, n, "v500000", 100)
}

// checkTags fails the benchmark unless the response lists the tags that sort
// after last, up to the limit, of a repository with the first n tags.
func checkTags(b *testing.B, a *response, n int, last string, limit int) {
	b.Helper()
	var want []string
	for k := range n {
		if tag := tagName(k); tag > last {
			want = append(want, tag)
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	want = want[:min(limit, len(want))]
	var list struct{ Tags []string }
	if err := json.Unmarshal(a.body, &list); err != nil || !slices.Equal(list.Tags, want) {
		b.Fatalf("the response lists %d tags, which are not the %d expected: %v", len(list.Tags), len(want), err)
	}
}

// tagsPage measures the listing of 100 tags in a repository with n tags.
func tagsPage(b *testing.B, r Registry, n int) {
	c, _ := withTags(b, r, n)
	checkPage(b, c.must(b, page), n)
	for b.Loop() {
		c.must(b, page)
	}
}

// tagsPageAfterPush measures the push of a tag to a repository with n tags,
// followed by the listing of 100 tags.
func tagsPageAfterPush(b *testing.B, r Registry, n int) {
	c, i := withTags(b, r, n)
	checkPage(b, c.must(b, page), n)
	k := n
	for ; b.Loop(); k++ {
		if err := c.pushManifest("app", tagName(k), i); err != nil {
			b.Fatal(err)
		}
		c.must(b, page)
	}
	checkPage(b, c.must(b, page), k)
}

// tagsAll measures the listing of all tags of a repository with n tags.
func tagsAll(b *testing.B, r Registry, n int) {
	c, _ := withTags(b, r, n)
	all := call{method: "GET", path: "/v2/app/tags/list", keep: true, want: 200}
	checkTags(b, c.must(b, all), n, "", n)
	all.keep = false
	for b.Loop() {
		c.must(b, all)
	}
}

// withReferrers returns a client of a registry in which an image has n
// referrers, and the digest of the image.
func withReferrers(b *testing.B, r Registry, n int) (*client, digest.Digest) {
	c := newClient(b, r, false)
	subject := newImage("subject", []byte("layer"))
	if err := c.push("app", "subject", subject); err != nil {
		b.Fatal(err)
	}
	first := newReferrer("same", []byte("layer"), subject.digest)
	if err := c.push("app", "referrer", first); err != nil {
		b.Fatal(err)
	}
	for k := range n {
		if _, err := c.pushReferrer(first, k); err != nil {
			b.Fatal(err)
		}
	}
	return c, subject.digest
}

// pushReferrer pushes the k-th referrer, which differs from the given one only
// in an annotation. Its blobs must exist.
func (c *client) pushReferrer(like image, k int) (*response, error) {
	i := like
	i.manifest = bytes.Replace(like.manifest, []byte(`"seed":"same"`), fmt.Appendf(nil, `"seed":"%d"`, k), 1)
	i.digest = digest.FromBytes(i.manifest)
	return c.do(putManifest("app", string(i.digest), i))
}

// pushReferrerAt measures the push of a referrer of an image that has n
// referrers.
func pushReferrerAt(b *testing.B, r Registry, n int) {
	c, subject := withReferrers(b, r, n)
	like := newReferrer("same", []byte("layer"), subject)
	for k := n; b.Loop(); k++ {
		a, err := c.pushReferrer(like, k)
		if err != nil {
			b.Fatal(err)
		}
		if got := a.header["Oci-Subject"]; len(got) != 1 || got[0] != string(subject) {
			b.Fatal("OCI-Subject is", got)
		}
	}
}

// referrersPage measures the listing of n referrers in one response.
func referrersPage(b *testing.B, r Registry, n int) {
	c, subject := withReferrers(b, r, n)
	k := call{method: "GET", path: "/v2/app/referrers/" + string(subject), keep: true, want: 200}
	a := c.must(b, k)
	var index struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(a.body, &index); err != nil || len(index.Manifests) < n {
		b.Fatalf("the response lists %d referrers, not %d: %v", len(index.Manifests), n, err)
	}
	k.keep = false
	for b.Loop() {
		c.must(b, k)
	}
}
