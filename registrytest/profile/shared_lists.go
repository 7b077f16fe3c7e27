package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ocireg/registry"
)

// The behaviours in this file concern lists, and are shared by several
// registries.

// listTags returns the behaviour of a registry whose lists of tags deviate from the
// spec. The function make returns the entries of a list and further members of the JSON
// object. If paged is true, the query parameters n and last select some of the
// entries.
func listTags(paged bool, make func(r *registry.Request, tags []string) (entries []any, members map[string]any)) behaviour {
	return serve(func(_ *build, r *registry.Request) registry.Handler {
		var tags []string
		for tag, err := range r.Store().Tags(r.Context(), r.Repo, "") {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // The registry responds with the same error.
			} else if err != nil {
				return func(http.ResponseWriter, *registry.Request) error {
					return fmt.Errorf("listing the tags of %s: %w", r.Repo, err)
				}
			}
			tags = append(tags, tag)
		}
		return func(w http.ResponseWriter, r *registry.Request) error {
			entries, members := make(r, tags)
			if paged {
				entries = page(w, r, entries)
			}
			if members == nil {
				members = map[string]any{}
			}
			members["name"], members["tags"] = r.Repo, append([]any{}, entries...)
			text, err := json.Marshal(members)
			if err != nil {
				return fmt.Errorf("encoding the tags of %s: %w", r.Repo, err)
			}
			return write(w, r, http.StatusOK, "application/json", string(text))
		}
	}, registry.ListTags).deciding("the list of tags")
}

// page returns the entries that the query parameters n and last select. If there
// are more, it sets the header field Link.
func page(w http.ResponseWriter, r *registry.Request, entries []any) []any {
	query := r.URL.Query()
	if i := slices.Index(entries, any(query.Get("last"))); i >= 0 {
		entries = entries[i+1:]
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 0 || n >= len(entries) {
		return entries
	}
	if n > 0 {
		query.Set("last", fmt.Sprint(entries[n-1]))
		w.Header().Set("Link", "<"+r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
	}
	return entries[:n]
}

// inPushOrder returns the behaviour of a registry that lists tags from the
// oldest to the newest. The age of tags that a test puts into the store is
// unknown: they come first, in reverse order.
func inPushOrder() behaviour {
	type key struct{ repo, tag string }
	return behaviour{{decides: "the list of tags", build: func(b *build, q *quirk) {
		var mu sync.Mutex
		pushed := make(map[key]int)
		note := onResponse(func(r *registry.Request, status int, _ http.Header, _ func()) int {
			mu.Lock()
			defer mu.Unlock()
			k := key{r.Repo, r.Tag}
			if _, again := pushed[k]; status == http.StatusCreated && !again {
				pushed[k] = len(pushed) + 1
			}
			return status
		}, registry.PutManifest)
		list := listTags(true, func(r *registry.Request, tags []string) (entries []any, _ map[string]any) {
			mu.Lock()
			defer mu.Unlock()
			slices.Reverse(tags)
			slices.SortStableFunc(tags, func(a, b string) int { return pushed[key{r.Repo, a}] - pushed[key{r.Repo, b}] })
			return anys(tags), nil
		})
		for _, p := range together(note, list) {
			if p.build != nil {
				p.build(b, q)
			}
		}
	}}}
}

func anys(texts []string) []any {
	values := make([]any, len(texts))
	for i, t := range texts {
		values[i] = t
	}
	return values
}

// probeManyTags returns a probe that pushes n tags and requests their list with
// the query. It observes the number of tags in the response.
func probeManyTags(n int, query string) probe {
	return func(p *prober) string {
		i := p.build(nil)
		for n := range n {
			p.want(p.put(i, fmt.Sprintf("v%04d", n)), "pushing a manifest", http.StatusCreated)
		}
		return fmt.Sprint(strings.Count(p.do("GET", p.path("tags", "list")+query, "").body, `"v`))
	}
}

// alwaysLink returns the behaviour of a registry that adds a Link to each page of
// tags, even the last, unless no tag follows the query parameter last.
func alwaysLink() behaviour {
	return header(func(r *registry.Request, status int, h http.Header) int {
		if status != http.StatusOK || h.Get("Link") != "" {
			return status
		}
		last := ""
		for tag, err := range r.Store().Tags(r.Context(), r.Repo, r.URL.Query().Get("last")) {
			if err == nil {
				last = tag
			}
		}
		if last != "" {
			query := r.URL.Query()
			query.Set("last", last)
			h.Set("Link", "<"+r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
		}
		return status
	}, registry.ListTags)
}
