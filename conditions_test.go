package registry_test

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

// RFC 9110, sections 13.1.1 and 13.1.2: a tag, manifest or blob is deleted only if
// If-Match and If-None-Match hold.
func TestDeletionOnACondition(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		blob := t.pushBlob("app", "x")
		etag, other := `"`+string(sum(m))+`"`, `"`+string(sum("other"))+`"`
		for _, c := range []struct{ path, etag string }{
			{"/v2/app/manifests/v1", etag}, {"/v2/app/manifests/" + string(sum(m)), etag}, {"/v2/app/blobs/" + string(blob), `"` + string(blob) + `"`},
		} {
			for _, header := range [][]string{
				{"If-Match", other}, {"If-Match", "W/" + c.etag}, {"If-None-Match", "*"}, {"If-None-Match", c.etag}, {"If-None-Match", other, "If-None-Match", "W/" + c.etag},
			} {
				a := t.want(412, t.call("DELETE", c.path, "", header...))
				require.NotContains(t, a.Body.String(), "  ")
				t.want(200, t.call("GET", c.path, ""))
			}
			t.want(202, t.call("DELETE", c.path, "", "If-Match", other, "If-Match", c.etag, "If-None-Match", other))
			// A condition does not turn a 404 into a 412 (RFC 9110, section 13.2.1).
			t.want(404, t.call("DELETE", c.path, "", "If-Match", c.etag))
		}
	})
}

// No push moves a tag between the check of the condition of a DELETE and the
// deletion: after both requests, the tag names the pushed manifest.
func TestConditionalDeletionIsAtomic(t *testing.T) {
	overStores(t, func(t *registryTest) {
		old, moved := t.pushImage("app", ""), t.pushImage("app", "", annotated("new"))
		for range 20 {
			t.want(201, t.call("PUT", "/v2/app/manifests/v1", old, "Content-Type", imageType))
			var both sync.WaitGroup
			both.Go(func() { t.call("PUT", "/v2/app/manifests/v1", moved, "Content-Type", imageType) })
			both.Go(func() { t.call("DELETE", "/v2/app/manifests/v1", "", "If-Match", `"`+string(sum(old))+`"`) })
			both.Wait()
			t.wantPulled("/v2/app/manifests/v1", moved)
		}
	})
}

// RFC 9110, section 5.3: several lines of a field are one list.
func TestRepeatedConditionsAreOneList(t *testing.T) {
	overStores(t, func(t *registryTest) {
		m := t.pushImage("app", "v1")
		etag := `"` + string(sum(m)) + `"`
		for _, method := range []string{"GET", "HEAD"} {
			t.want(304, t.call(method, "/v2/app/manifests/v1", "", "If-None-Match", `"x"`, "If-None-Match", etag))
			t.want(200, t.call(method, "/v2/app/manifests/v1", "", "If-Match", `"x"`, "If-Match", etag))
		}
	})
}

func TestManifestIsPushedOnACondition(t *testing.T) {
	overStores(t, func(t *registryTest) {
		one, two := t.image("app"), t.image("app", annotated("2"))
		etag := func(m string) string { return `"` + string(sum(m)) + `"` }
		put := func(reference, m string, header ...string) int {
			a := t.call("PUT", "/v2/app/manifests/"+reference, m, append(header, "Content-Type", imageType)...)
			if a.Code != 201 {
				t.wantError(412, a, registry.CodeManifestInvalid)
			}
			return a.Code
		}
		// Conditions of a push by tag.
		require.Equal(t, 412, put("v1", one, "If-Match", "*"), "the tag is new")
		require.Equal(t, 412, put("v1", one, "If-Match", etag(one)))
		require.Equal(t, 201, put("v1", one, "If-None-Match", "*"), "the tag is new")
		require.Equal(t, 412, put("v1", two, "If-None-Match", "*"))
		require.Equal(t, 412, put("v1", two, "If-None-Match", etag(one)))
		require.Equal(t, 412, put("v1", two, "If-None-Match", `"x", W/`+etag(one)), "the comparison is weak")
		require.Equal(t, 412, put("v1", two, "If-Match", etag(two)))
		require.Equal(t, 412, put("v1", two, "If-Match", "W/"+etag(one)), "the comparison is strong")
		t.wantPulled("/v2/app/manifests/v1", one)
		require.Equal(t, 201, put("v1", two, "If-Match", `"x", `+etag(one)))
		require.Equal(t, 201, put("v1", one, "If-Match", "*"))
		require.Equal(t, 201, put("v1", two, "If-None-Match", etag(two)))
		t.wantPulled("/v2/app/manifests/v1", two)
		// Conditions of a push by digest.
		three := t.image("app", annotated("3"))
		require.Equal(t, 412, put(string(sum(three)), three, "If-Match", "*"))
		require.Equal(t, 201, put(string(sum(three)), three, "If-None-Match", "*"))
		require.Equal(t, 412, put(string(sum(three)), three, "If-None-Match", "*"))
		// The condition must hold for each of several tags.
		require.Equal(t, 412, put(string(sum(three))+"?tag=v9&tag=v1", three, "If-None-Match", "*"))
		t.want(404, t.call("GET", "/v2/app/manifests/v9", ""))
		require.Equal(t, 201, put(string(sum(three))+"?tag=v8&tag=v9", three, "If-None-Match", "*"))
	})
}

// If several clients push a new tag at once with If-None-Match: *, exactly one
// succeeds.
func TestOneOfManyConditionalWritersWins(t *testing.T) {
	overStores(t, func(t *registryTest) {
		const writers = 8
		manifests := make([]string, writers)
		for i := range manifests {
			manifests[i] = t.image("app", annotated(strconv.Itoa(i)))
		}
		for round := range 5 {
			tag := fmt.Sprintf("/v2/app/manifests/v%d", round)
			var won atomic.Int32
			var winner string
			var all sync.WaitGroup
			for _, m := range manifests {
				all.Go(func() {
					if a := t.call("PUT", tag, m, "Content-Type", imageType, "If-None-Match", "*"); a.Code == 201 {
						won.Add(1)
						winner = m
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, won.Load())
			t.wantPulled(tag, winner)
		}
	})
}
