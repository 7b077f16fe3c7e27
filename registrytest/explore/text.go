package explore

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// deepest and longest are the depth and the length at which textOf stops, because the
// value may refer to itself.
const (
	deepest = 32
	longest = 1 << 20
)

// textOf returns the text of fmt.Sprint or, if that would contain an address, a text
// that is the same in each run: it has the value in place of a pointer, and the type
// in place of a function or a channel.
func textOf(value any) string {
	var w writer
	w.write(reflect.ValueOf(value), 0)
	if !w.addresses {
		return fmt.Sprint(value)
	}
	return w.String()
}

// A writer writes values without their addresses.
type writer struct {
	strings.Builder
	addresses bool // whether fmt.Sprint would print an address
}

func (w *writer) write(v reflect.Value, depth int) {
	if !v.IsValid() || nillable(v) && v.IsNil() {
		w.WriteString("<nil>")
		return
	}
	if v.CanInterface() {
		switch x := v.Interface().(type) {
		case error, fmt.Stringer, fmt.Formatter:
			fmt.Fprint(w, x)
			return
		}
	}
	if depth > deepest || w.Len() > longest {
		w.WriteString("...")
		return
	}
	switch v.Kind() {
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		w.addresses = true
		w.WriteString(v.Type().String())
	case reflect.Pointer:
		w.addresses = w.addresses || depth > 0 || !composite(v.Elem())
		w.WriteByte('&')
		w.write(v.Elem(), depth+1)
	case reflect.Interface:
		w.write(v.Elem(), depth+1)
	case reflect.Struct:
		w.WriteByte('{')
		for i := range v.NumField() {
			fmt.Fprintf(w, "%s:", v.Type().Field(i).Name)
			w.write(v.Field(i), depth+1)
			w.WriteByte(' ')
		}
		w.WriteByte('}')
	case reflect.Slice, reflect.Array:
		w.WriteByte('[')
		for i := range v.Len() {
			w.write(v.Index(i), depth+1)
			w.WriteByte(' ')
		}
		w.WriteByte(']')
	case reflect.Map:
		w.writeMap(v, depth)
	default:
		fmt.Fprint(w, v)
	}
}

// writeMap writes a map in the order of the texts of its entries.
func (w *writer) writeMap(v reflect.Value, depth int) {
	var entries []string
	for it := v.MapRange(); it.Next(); {
		var entry writer
		entry.write(it.Key(), depth+1)
		entry.WriteByte(':')
		entry.write(it.Value(), depth+1)
		w.addresses = w.addresses || entry.addresses
		entries = append(entries, entry.String())
	}
	slices.Sort(entries)
	fmt.Fprintf(w, "map%q", entries)
}

// nillable reports whether v is of a kind that can be nil. It leaves out slices and
// maps, whose nil prints as empty.
func nillable(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return true
	}
	return false
}

// composite reports whether fmt prints the content of a pointer to the value.
func composite(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}
