// Package hint helps to word messages about mistakes. It recognizes an argument that
// is nil, finds the word that a misspelt one probably means, shows the lines in
// which two texts differ, and puts the noun after a number in the singular or plural.
package hint

import "reflect"

// IsNil reports whether v is nil or holds a nil pointer.
func IsNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

// Comparable reports whether comparing v with == is possible.
func Comparable(v any) bool { return reflect.ValueOf(v).Comparable() }

// NilTest panics if the test t is nil. The message names the package and the
// function that was called.
func NilTest(pkg, call string, t any) {
	if IsNil(t) {
		panic(pkg + ": " + call + " needs a test, but t is nil")
	}
}
