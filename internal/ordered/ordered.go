// Package ordered provides a map that keeps its keys in order.
package ordered

import "iter"

// A Map is a map of strings to values that yields its keys in ascending byte
// order, from any key on. The cost of looking up, setting, deleting or
// starting to iterate hardly grows with the size of the map.
//
// The zero Map is empty and ready to use. A Map may be read concurrently. It must
// not be changed while it is read or iterated over.
//
// The methods only convert the values of a [List], whose code is compiled once.
type Map[V any] struct {
	list List
}

// Len returns the number of keys.
func (m *Map[V]) Len() int { return m.list.Len() }

// Get returns the value of a key and whether the map has the key.
func (m *Map[V]) Get(key string) (V, bool) {
	v, ok := m.list.Get(key).(V)
	return v, ok
}

// Set sets the value of a key. It returns the previous value of the key, and
// whether it had one.
func (m *Map[V]) Set(key string, v V) (V, bool) {
	old, ok := m.list.Set(key, v).(V)
	return old, ok
}

// Delete removes a key and reports whether the map had it.
func (m *Map[V]) Delete(key string) bool { return m.list.Delete(key) }

// All yields every key with its value, in ascending order.
func (m *Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		m.list.All(func(key string, v any) bool { return yield(key, v.(V)) })
	}
}

// After yields the keys that sort after the given key, with their values, in
// ascending order. The map need not have the given key.
func (m *Map[V]) After(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		m.list.After(key)(func(key string, v any) bool { return yield(key, v.(V)) })
	}
}

// Clone returns a map with the same keys and values, independent of m.
func (m *Map[V]) Clone() *Map[V] { return &Map[V]{m.list.Clone()} }
