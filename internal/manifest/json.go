package manifest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A value is one JSON value, without space around it. Its syntax has been
// checked.
//
// Package encoding/json decodes into structs, too, but it matches names without
// regard to case and accepts duplicate names. A registry must do neither: image-spec
// names properties exactly, ignores unknown ones (considerations.md, section
// Extensibility), and demands I-JSON (section JSON).
type value string

// parse checks the syntax of a JSON text and returns its value.
func parse(text []byte) (value, error) {
	if !json.Valid(text) {
		var v any
		return "", fmt.Errorf("manifest is not valid JSON: %w", json.Unmarshal(text, &v))
	}
	return value(strings.Trim(string(text), space)), nil
}

const space = " \t\r\n"

// kind names the type of the value in error messages.
func (v value) kind() string {
	switch v[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// end returns the index after the JSON value that begins at v[i].
func (v value) end(i int) int {
	depth := 0
	for ; i < len(v); i++ {
		switch v[i] {
		case '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // The object or array that contains the value ends here.
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// skip returns the index of the first byte, at or after i, that is neither white
// space nor the separator.
func (v value) skip(i int, separator byte) int {
	for v[i] == separator || strings.IndexByte(space, v[i]) >= 0 {
		i++
	}
	return i
}

// elements yields the elements of an array.
func (v value) elements(yield func(value) bool) {
	for i := v.skip(1, ','); v[i] != ']'; i = v.skip(i, ',') {
		end := v.end(i)
		if !yield(v[i:end]) {
			return
		}
		i = end
	}
}

// members yields the members of an object.
func (v value) members(yield func(name string, member value) bool) {
	for i := v.skip(1, ','); v[i] != '}'; i = v.skip(i, ',') {
		end := v.end(i)
		name := v[i:end].string()
		i = v.skip(end, ':')
		end = v.end(i)
		if !yield(name, v[i:end]) {
			return
		}
		i = end
	}
}

// string returns the text of a JSON string, which may share memory with v. It
// replaces bytes that are not UTF-8 by U+FFFD, like clients that use package
// encoding/json. Otherwise the registry and a client would see different values
// of the same annotation.
func (v value) string() string {
	if strings.IndexByte(string(v), '\\') >= 0 || !utf8.ValidString(string(v)) {
		return v.unescape()
	}
	return string(v[1 : len(v)-1])
}

func (v value) unescape() (text string) {
	json.Unmarshal([]byte(v), &text) // parse has checked the syntax.
	return text
}

// A decoder reads JSON values of expected types. It keeps the first error and
// continues, to read as much of the document as possible.
type decoder struct {
	err error
}

// A path names a property, and the property that contains it, or "".
type path struct{ outer, name string }

func (p path) String() string {
	if p.outer == "" {
		return p.name
	}
	return p.outer + "." + p.name
}

// fail keeps an error about the property, unless there is one already.
func (d *decoder) fail(property path, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%s "+format, append([]any{property}, args...)...)
	}
}

// is reports whether the value is of the expected kind. All values of that kind begin
// with the same byte, the argument first. For any other value except null, is keeps an
// error. Null counts as a missing property.
func (d *decoder) is(property path, v value, first byte, kind string) bool {
	switch v[0] {
	case first:
		return true
	case 'n':
		return false
	}
	d.fail(property, "is %s, not %s", v.kind(), kind)
	return false
}

// object calls read for each member of an object.
func (d *decoder) object(property path, v value, read func(name string, member value)) {
	if !d.is(property, v, '{', "an object") {
		return
	}
	var few [16]string
	names, many := few[:0], map[string]bool(nil)
	for name, member := range v.members {
		twice := many[name]
		for _, n := range names {
			twice = twice || n == name
		}
		if twice {
			d.fail(property, "has %q twice", name)
		}
		if len(names) < cap(few[:]) {
			names = append(names, name)
		} else {
			if many == nil {
				many = make(map[string]bool)
			}
			many[name] = true
		}
		read(name, member)
	}
}

func (d *decoder) string(property path, v value) string {
	if !d.is(property, v, '"', "a string") {
		return ""
	}
	return strings.Clone(v.string()) // A clone does not keep the whole document in memory.
}

// strings reads an array of strings.
func (d *decoder) strings(property path, v value) (all []string) {
	if d.is(property, v, '[', "an array") {
		for e := range v.elements {
			all = append(all, d.string(property, e))
		}
	}
	return all
}

// integer reads a number without a fraction.
func (d *decoder) integer(property path, v value) int64 {
	if v == "null" {
		return 0
	}
	if v[0] != '-' && (v[0] < '0' || '9' < v[0]) {
		d.fail(property, "is %s, not a number", v.kind())
		return 0
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n
	}
	// In JSON, 2.0 and 2e0 are the same number as 2.
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		d.fail(property, "is %s, not an integer of 64 bits", v)
		return 0
	}
	return int64(f)
}
