package journal

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	d1, d2 := digest.FromString("1"), digest.FromString("2")
	all := recorded(
		Record{Op: registry.Ping, Status: 200},
		Record{Op: registry.GetManifest, Repo: "team/app", Tag: "v1", Status: 200, User: "alice"},
		Record{Op: registry.GetBlob, Repo: "team/app", Digest: d1, Status: 206},
		Record{Op: registry.GetBlob, Repo: "team/app/base", Digest: d2, Status: 404},
		Record{Op: registry.HeadBlob, Method: "HEAD", Repo: "other", Digest: d1, Ongoing: true},
		Record{Op: registry.GetBlob, Repo: "app", Digest: d1, Status: 200, Gone: true},
		Record{Op: registry.GetBlob, Repo: "app", Digest: d1, Status: 200, Err: http.ErrHandlerTimeout},
		Record{Op: registry.GetManifest, Repo: "app", Tag: "v2", Fault: &registry.Fault{}},
	)
	for _, c := range []struct {
		name string
		got  Requests
		want []int
	}{
		{"all", all, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"one operation", all.Op(registry.GetManifest), []int{2, 8}},
		{"several operations", all.Op(registry.Ping, registry.HeadBlob), []int{1, 5}},
		{"no operation", all.Op(), []int{}},
		{"a repository", all.Repo("team/app"), []int{2, 3}},
		{"a star", all.Repo("team/*"), []int{2, 3}},
		{"two stars", all.Repo("team/**"), []int{2, 3, 4}},
		{"any repository", all.Repo("**"), []int{2, 3, 4, 5, 6, 7, 8}},
		{"several repositories", all.Repo("app", "other"), []int{5, 6, 7, 8}},
		{"a tag", all.Tag("v2"), []int{8}},
		{"any tag", all.Tag("*"), []int{2, 8}},
		{"a digest", all.Digest(d1), []int{3, 5, 6, 7}},
		{"a digest by a pattern", all.Digest(d2[:20] + "*"), []int{4}},
		{"any digest", all.Digest("**"), []int{3, 4, 5, 6, 7}},
		{"no digest", all.Digest(""), []int{1, 2, 8}},
		{"several digests", all.Digest(d1, d2), []int{3, 4, 5, 6, 7}},
		{"no repository", all.Repo(""), []int{1}},
		{"a user", all.User("al*"), []int{2}},
		{"any user", all.User("**"), []int{2}},
		{"anonymous", all.User(""), []int{1, 3, 4, 5, 6, 7, 8}},
		{"a status", all.Status(200), []int{1, 2, 6, 7}},
		{"statuses", all.Status(404, 206), []int{3, 4}},
		{"failed", all.Where((*Record).Failed), []int{4, 6, 7, 8}},
		{"faulted", all.Where((*Record).Faulted), []int{8}},
		{"where", all.Where(func(r *Record) bool { return r.Number%2 == 0 }), []int{2, 4, 6, 8}},
		{"one after the other", all.Op(registry.GetBlob).Repo("app").Status(200), []int{6, 7}},
	} {
		require.Equal(t, c.want, numbers(c.got), c.name)
		require.Equal(t, len(c.want), c.got.Len(), c.name)
	}
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, numbers(all), "filters do not change their receiver")
}

// Select returns the same requests as the method for the property does.
func TestSelect(t *testing.T) {
	t.Parallel()
	d := digest.FromString("1")
	all := recorded(
		Record{Op: registry.Ping, Method: "GET", Status: 401},
		Record{Op: registry.GetManifest, Method: "GET", Repo: "team/app", Tag: "v1", Status: 200, User: "ci"},
		Record{Op: registry.HeadBlob, Method: "HEAD", Repo: "team/app", Digest: d, Status: 200},
		Record{Op: registry.GetBlob, Method: "GET", Repo: "app", Digest: d, Status: 503, Fault: &registry.Fault{}},
		Record{Op: registry.GetBlob, Method: "GET", Repo: "app", Ongoing: true},
	)
	for query, want := range map[string][]int{
		"op=ping,get-blob": {1, 4, 5}, "repo=team/*": {2, 3}, "tag=v?": {2}, "digest=**": {3, 4}, "digest=": {1, 2, 5}, "user=": {1, 3, 4, 5},
		"method=head": {3}, "status=200,0401": {1, 2, 3}, "status=0": {5}, "number=2,4": {2, 4},
		"failed=true": {1, 4}, "failed=0": {2, 3, 5}, "faulted=true": {4}, "ongoing=T": {5}, "repo=none": {},
	} {
		property, values, _ := strings.Cut(query, "=")
		got, err := all.Select(property, strings.Split(values, ",")...)
		require.NoError(t, err, query)
		require.Equal(t, want, numbers(got), query)
	}
	for _, query := range []string{"op=blob", "op=get-*", "status=x", "status=-1", "status=", "number=99999999999", "method=", "method=*", "failed=", "faulted=2", "ongoing=no", "size=1"} {
		property, value, _ := strings.Cut(query, "=")
		_, err := all.Select(property, value)
		require.ErrorContains(t, err, property, query)
	}
}

// Follow yields each request when it arrives and again when it has ended.
func TestFollow(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var j Journal
	j.KeepLast(3)
	arrive := func(repo string) (end func()) {
		r := &registry.Request{Request: &http.Request{Method: "GET", URL: &url.URL{}}, Repo: repo}
		j.Arrive(r)
		return func() { j.Record(&registry.Exchange{Request: r, Status: 200}) }
	}
	endOfFirst := arrive("app")
	steps := []func(){
		func() { arrive("other")(); endOfFirst() },
		func() { arrive("app")() },
		func() { arrive("app"); arrive("app")(); cancel() },
	}
	var got [][]string
	for news := range j.Requests().Repo("app").Follow(ctx) {
		var texts []string
		for _, r := range news.Records() {
			texts = append(texts, fmt.Sprint(r.Number, " ", r.Status))
		}
		got = append(got, texts)
		if len(steps) > 0 {
			steps[0]()
			steps = steps[1:]
		}
	}
	require.Equal(t, [][]string{{"1 0"}, {"1 200"}, {"3 200"}, {"4 0", "5 200"}}, got)
	for news := range j.Requests().Follow(t.Context()) {
		require.Equal(t, 3, news.Len())
		break
	}
	n := 0
	for news := range NewRequests(&Record{Number: 1}, &Record{Number: 2}).Follow(t.Context()) {
		n += news.Len()
	}
	require.Equal(t, 2, n, "Follow yields each record without a journal once")
}

// Two selections that begin with the same Requests do not change each other.
func TestRequestsBranch(t *testing.T) {
	t.Parallel()
	var j Journal
	base := j.Requests().Repo("**").Repo("**").Repo("**")
	method := func(name string) func(*Record) bool { return func(r *Record) bool { return r.Method == name } }
	gets, heads := base.Where(method("GET")), base.Where(method("HEAD"))
	for _, method := range []string{"GET", "HEAD", "GET"} {
		r := &registry.Request{Request: &http.Request{Method: method, URL: &url.URL{}}, Repo: "app"}
		j.Record(&registry.Exchange{Request: r})
	}
	gets, err := gets.WaitFor(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, numbers(gets))
	heads, err = heads.WaitFor(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []int{2}, numbers(heads))
}

func TestAllFirstLast(t *testing.T) {
	t.Parallel()
	r := recorded(Record{}, Record{}, Record{})
	require.Equal(t, 1, r.First().Number)
	require.Equal(t, 2, r.Records()[1].Number)
	require.Equal(t, 3, r.Last().Number)
	r.Records()[0] = nil
	require.Equal(t, 1, r.First().Number, "Records returns a copy")
	require.Empty(t, Requests{}.Records())
	for _, none := range []*Record{Requests{}.First(), Requests{}.Last()} {
		require.Equal(t, &Record{}, none, "without requests, First and Last return an empty record")
		require.NotPanics(t, func() { _ = none.String() })
	}
}

func TestSortedSortsRuns(t *testing.T) {
	t.Parallel()
	at := func(op registry.Op, path string) Record {
		return Record{Op: op, URL: &url.URL{Path: path}}
	}
	r := recorded(
		at(registry.GetManifest, "/z"),
		at(registry.GetBlob, "/c"), at(registry.GetBlob, "/a"), at(registry.HeadBlob, "/b"),
		at(registry.GetManifest, "/y"),
		at(registry.GetBlob, "/2"), at(registry.GetBlob, "/1"),
	)
	require.Equal(t, []int{1, 3, 4, 2, 5, 7, 6}, numbers(r.Sorted(registry.GetBlob, registry.HeadBlob)))
	require.Equal(t, []int{1, 3, 2, 4, 5, 7, 6}, numbers(r.Sorted(registry.GetBlob)))
	require.Equal(t, []int{7, 6, 3, 4, 2, 5, 1}, numbers(r.Sorted()))
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7}, numbers(r), "Sorted does not change its receiver")
}
