package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parse reads a rule in the language that rules print themselves in:
// words with spaces between them, of which the first is the operations with
// commas between them, or any. What follows an = up to the next space is the
// argument of a word, or what it has there in double quotes, with the escapes
// of a Go string.
//
//	get-blob,head-blob repo=team/* times=2 status=503 message="not \"now\""
func Parse(text string) (Rule, error) {
	var r Rule
	for rest := text; ; {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if rest == "" {
			break
		}
		var w ruleWord
		var err error
		if w, rest, err = parseWord(rest); err != nil {
			return Rule{}, fmt.Errorf("fault rule %q: %w", text, err)
		}
		r = r.with(w)
	}
	if _, err := r.compile(false); err != nil {
		return Rule{}, err
	}
	return r, nil
}

// parseWord reads the word that the text begins with, and returns what comes
// after it.
func parseWord(text string) (w ruleWord, rest string, err error) {
	end := strings.IndexFunc(text, func(c rune) bool { return c == '=' || unicode.IsSpace(c) })
	if end < 0 {
		end = len(text)
	}
	w.name, rest = text[:end], text[end:]
	rest, w.hasArg = strings.CutPrefix(rest, "=")
	switch {
	case !w.hasArg:
		return w, rest, nil
	case strings.HasPrefix(rest, `"`):
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return w, "", fmt.Errorf("the argument of %s is not a string in quotes", w.name)
		}
		w.arg, err = strconv.Unquote(quoted)
		if err != nil {
			return w, "", err
		}
		rest = rest[len(quoted):]
		if c, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(c) {
			return w, "", errors.New("there is no space after " + quoted)
		}
		return w, rest, nil
	}
	end = strings.IndexFunc(rest, unicode.IsSpace)
	if end < 0 {
		end = len(rest)
	}
	w.arg = rest[:end]
	return w, rest[end:], nil
}

// String returns the rule in the language that [Parse] reads.
func (r Rule) String() string {
	words := make([]string, len(r.words))
	for i, w := range r.words {
		words[i] = w.String()
	}
	return strings.Join(words, " ")
}

func (w ruleWord) String() string {
	switch {
	case !w.hasArg:
		return w.name
	case needsQuotes(w.arg):
		return w.name + "=" + strconv.Quote(w.arg)
	}
	return w.name + "=" + w.arg
}

func needsQuotes(arg string) bool {
	return arg == "" || arg[0] == '"' || !utf8.ValidString(arg) ||
		strings.ContainsFunc(arg, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) })
}
