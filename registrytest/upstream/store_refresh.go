package upstream

import (
	"fmt"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

// A refresh describes the recorded content that the Store requests again.
type refresh struct {
	all  bool
	tags map[string]bool // arguments of Refresh: tags, or REPOSITORY:TAG

	mu   sync.Mutex
	done map[string]bool // content that was requested again; guarded by mu
}

func (r *refresh) add(tags []string) error {
	if r.tags == nil {
		r.tags, r.done = make(map[string]bool), make(map[string]bool)
	}
	for _, text := range tags {
		tag := text[strings.LastIndexByte(text, ':')+1:]
		if !names.Tag(tag) || strings.HasPrefix(text, ":") {
			return fmt.Errorf("%q cannot be refreshed; want all, a tag, or REPOSITORY:TAG", text)
		}
		r.all = r.all || text == "all"
		r.tags[text] = true
	}
	return nil
}

// refreshes reports whether the Store must request recorded content from the
// upstream again. Content with a digest never changes, so the Store requests it
// again only if it was missing.
func (s *Store) refreshes(p place, k kind, name string) bool {
	r := &s.refresh
	if r.tags == nil || p.upstream == nil {
		return false
	}
	if !r.all && !(k == manifestKind && (r.tags[name] || r.tags[p.local+":"+name] || r.tags[p.from+":"+name])) {
		return false
	}
	if k != listKind && digest.Digest(name).Validate() == nil {
		if _, known := s.recording.missing(p.local, k, name); !known {
			return false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.done[string(rune('0'+k))+p.local+" "+name]
}

// refreshed stores that the content was requested, so that a Store with
// [Refresh] requests it only once.
func (s *Store) refreshed(p place, k kind, name string) {
	if s.refresh.tags == nil {
		return
	}
	s.refresh.mu.Lock()
	defer s.refresh.mu.Unlock()
	s.refresh.done[string(rune('0'+k))+p.local+" "+name] = true
}
