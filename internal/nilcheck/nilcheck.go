// Package nilcheck finds nil arguments, also those that an interface hides.
package nilcheck

import "reflect"

// IsNil reports whether v is nil or holds a nil pointer.
func IsNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

// Test panics if the test t is nil. The message names the function of the
// package that was called.
func Test(pkg, call string, t any) {
	if IsNil(t) {
		panic(pkg + ": " + call + " needs a test, but t is nil")
	}
}
