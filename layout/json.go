package layout

import (
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// The functions in this file find values in JSON text without decoding the text,
// so that a write keeps all members that this package does not know. The text
// must be valid (json.Valid).

// A value is the position of a JSON value in a text.
type value struct{ start, end int }

func (v value) of(text string) string { return text[v.start:v.end] }

// members yields the name and value of each member of an object.
func members(text string, object value) iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for i := space(text, object.start+1); text[i] != '}'; {
			end := skip(text, i)
			name, _ := asString(text[i:end])
			start := space(text, space(text, end)+1)
			end = skip(text, start)
			if !yield(name, value{start, end}) {
				return
			}
			if i = space(text, end); text[i] == ',' {
				i = space(text, i+1)
			}
		}
	}
}

// elements yields the elements of an array.
func elements(text string, array value) iter.Seq[value] {
	return func(yield func(value) bool) {
		for i := space(text, array.start+1); text[i] != ']'; {
			end := skip(text, i)
			if !yield(value{i, end}) {
				return
			}
			if i = space(text, end); text[i] == ',' {
				i = space(text, i+1)
			}
		}
	}
}

// space returns the index of the first byte of text, from index i, that is not
// white space.
func space(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// skip returns the index after the JSON value that begins at index i.
func skip(text string, i int) int {
	switch text[i] {
	case '"':
		return skipString(text, i)
	case '{', '[':
		for depth := 0; ; {
			switch text[i] {
			case '"':
				i = skipString(text, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if i++; depth == 0 {
				return i
			}
		}
	}
	for i < len(text) && strings.IndexByte(",]} \n\t\r", text[i]) < 0 {
		i++
	}
	return i
}

func skipString(text string, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// asString decodes a JSON string. It returns "" for null, as encoding/json does.
// The result is a part of the text, unless the text has escapes or characters
// beyond ASCII.
func asString(text string) (string, error) {
	plain := text[0] == '"'
	for i := range len(text) {
		plain = plain && text[i] != '\\' && text[i] < 0x80
	}
	if plain {
		return text[1 : len(text)-1], nil
	}
	var s string
	err := json.Unmarshal([]byte(text), &s)
	return s, err
}

// optionalString decodes a JSON string. It returns "" for any other JSON value.
func optionalString(text string) string {
	s, _ := asString(text)
	return s
}

// asSize decodes a JSON number that is a number of bytes.
func asSize(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40s is not a number of bytes", text)
	}
	return n, nil
}
