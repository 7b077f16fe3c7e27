package control

import (
	"slices"
	"sync"
)

// A shelf holds things of one kind, in the order in which they were added.
type shelf[T any] struct {
	mu    sync.Mutex
	items []T
}

func (s *shelf[T]) add(item T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, item)
}

// get returns the items that match.
func (s *shelf[T]) get(match func(T) bool) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.items), func(item T) bool { return !match(item) })
}

// take removes the items that match, and returns them.
func (s *shelf[T]) take(match func(T) bool) (taken []T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []T
	for _, item := range s.items {
		if match(item) {
			taken = append(taken, item)
		} else {
			left = append(left, item)
		}
	}
	s.items = left
	return taken
}
