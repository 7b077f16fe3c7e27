package fault

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Parse reads a rule in the form that [Rule.String] returns: words with spaces between
// them. The first word is an operation, or several operations with commas between
// them, or "any". Other words may have an argument after an =. An argument ends at
// the next space; in double quotes it is a Go string and may contain spaces.
//
//	get-blob,head-blob repo=team/* times=2 status=503 message="not \"now\""
//
// If a word takes several values, commas separate them: repo=a/**,b/**. In a value,
// \, stands for a comma and \\ for a backslash.
//
// An error of Parse is a [*SyntaxError].
func Parse(text string) (Rule, error) {
	r, at, err := parse(text)
	if err != nil {
		return Rule{}, &SyntaxError{text, at, err}
	}
	return r, nil
}

// A SyntaxError is an error in the text of a rule.
type SyntaxError struct {
	Text   string // the text of the rule
	Offset int    // the offset of the wrong word, or 0 if the whole rule is wrong
	Err    error
}

// Error returns the error with the text of the rule.
func (e *SyntaxError) Error() string { return fmt.Sprintf("fault rule %q: %v", e.Text, e.Err) }

// Unwrap returns the error without the text of the rule.
func (e *SyntaxError) Unwrap() error { return e.Err }

// parse returns the rule in the text, or an error and the offset of the wrong word.
func parse(text string) (r Rule, at int, err error) {
	for rest := text; ; {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if rest == "" {
			break
		}
		at = len(text) - len(rest)
		var name string
		var a argument
		if name, a, rest, err = parseWord(rest); err != nil {
			return r, at, err
		}
		if r, err = r.parse(name, a); err != nil {
			return r, at, err
		}
		if r.err != nil {
			return r, at, r.err
		}
	}
	if !r.begun() {
		return r, 0, errors.New("it names no requests: begin it with operations, or with any")
	}
	return r, 0, r.checkParts(false)
}

// parse returns the rule with one more word.
func (r Rule) parse(name string, a argument) (Rule, error) {
	if !r.begun() {
		if a.given {
			return r, fmt.Errorf("it begins with %s, not with an operation", wordText(name, a))
		}
		return on(strings.Split(name, ",")), nil
	}
	w, known := find(name)
	if w == nil {
		return r, fmt.Errorf("no fault is called %q%s", name, didYouMean(name, known))
	}
	next, err := w.add(r, a)
	switch err {
	case nil:
		return next, nil
	case errNoArgument, errArgument:
		return r, fmt.Errorf("%s %w", name, err)
	}
	return r, fmt.Errorf("%s: %w", wordText(name, a), err)
}

func wordText(name string, a argument) string {
	if a.given {
		return name + "=" + quoted(a.text)
	}
	return name
}

// An argument is the text after the = of a word.
type argument struct {
	text  string
	given bool
}

// parseWord reads the word that the text begins with, and returns the text
// after it.
func parseWord(text string) (name string, a argument, rest string, err error) {
	end := strings.IndexFunc(text, func(c rune) bool { return c == '=' || unicode.IsSpace(c) })
	if end < 0 {
		end = len(text)
	}
	name, rest = text[:end], text[end:]
	rest, a.given = strings.CutPrefix(rest, "=")
	switch {
	case !a.given:
		return name, a, rest, nil
	case strings.HasPrefix(rest, `"`):
		quotes, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return "", a, "", fmt.Errorf("the argument of %s is not a string in quotes", name)
		}
		a.text, err = strconv.Unquote(quotes)
		if err != nil {
			return "", a, "", err
		}
		rest = rest[len(quotes):]
		if c, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(c) {
			return "", a, "", errors.New("there is no space after " + quotes)
		}
		return name, a, rest, nil
	}
	end = strings.IndexFunc(rest, unicode.IsSpace)
	if end < 0 {
		end = len(rest)
	}
	a.text = rest[:end]
	return name, a, rest[end:], nil
}

// A word is a word of the language. Its method add parses an argument, and calls the
// method of [Rule] that has the word's name.
type word interface {
	add(r Rule, a argument) (Rule, error)
}

// A vocabulary lists words with their names.
type vocabulary []struct {
	name string
	word word
}

// vocabularies has all words of the language. Each vocabulary has those of one file.
var vocabularies = []vocabulary{
	conditionWords, timingWords, responseWords, headerWords, locationWords, bodyWords, requestWords, byteWords, delayWords, endWords,
}

// find returns the word with the name, or nil and the names of all words.
func find(name string) (w word, names []string) {
	for _, words := range vocabularies {
		for _, row := range words {
			if row.name == name {
				return row.word, nil
			}
			names = append(names, row.name)
		}
	}
	return nil, names
}

// These errors say that an argument is missing, is not permitted, or is not a number.
var (
	errNoArgument = errors.New("needs an argument")
	errArgument   = errors.New("has no argument")
	errNotNumber  = errors.New("not a number")
)

// Each of these types is a [word] that takes one kind of argument. Its value is the
// method of [Rule].
type (
	flag          func(Rule) Rule                          // a word without an argument
	text          func(Rule, string) Rule                  // a word with any text as its argument
	list          func(Rule, ...string) Rule               // a word with a list of texts
	number        func(Rule, int) Rule                     // a word with a number
	numbers       func(Rule, ...int) Rule                  // a word with a list of numbers
	byteNumber    func(Rule, int64) Rule                   // a word with the number of a byte, or a number of bytes
	byteNumberFor func(Rule, int64, ...time.Duration) Rule // a word with such a number and an optional duration, as in stall=9:1s
	anything      func(Rule, argument) (Rule, error)
)

func (method flag) add(r Rule, a argument) (Rule, error) {
	if a.given {
		return r, errArgument
	}
	return method(r), nil
}

func (method text) add(r Rule, a argument) (Rule, error) {
	if !a.given {
		return r, errNoArgument
	}
	return method(r, a.text), nil
}

func (method list) add(r Rule, a argument) (Rule, error) {
	if !a.given {
		return r, errNoArgument
	}
	return method(r, splitList(a.text)...), nil
}

func (method number) add(r Rule, a argument) (Rule, error) {
	n, err := parseInteger(a)
	if err != nil || n != int64(int(n)) {
		return r, cmp.Or(err, errNotNumber)
	}
	return method(r, int(n)), nil
}

func (method numbers) add(r Rule, a argument) (Rule, error) {
	var all []int
	for _, text := range strings.Split(a.text, ",") {
		n, err := parseInteger(argument{text, a.given})
		if err != nil || n != int64(int(n)) {
			return r, cmp.Or(err, errNotNumber)
		}
		all = append(all, int(n))
	}
	return method(r, all...), nil
}

func (method byteNumber) add(r Rule, a argument) (Rule, error) {
	n, err := parseInteger(a)
	if err != nil {
		return r, err
	}
	return method(r, n), nil
}

func (method byteNumberFor) add(r Rule, a argument) (Rule, error) {
	number, rest, timed := strings.Cut(a.text, ":")
	n, err := parseInteger(argument{number, a.given})
	if err != nil || !timed {
		return method(r, n), err
	}
	d, err := parseDuration(rest)
	return method(r, n, d), err
}

func (method anything) add(r Rule, a argument) (Rule, error) { return method(r, a) }

func parseInteger(a argument) (int64, error) {
	if !a.given {
		return 0, errNoArgument
	}
	n, err := strconv.ParseInt(a.text, 10, 64)
	if err != nil {
		return 0, errNotNumber
	}
	return n, nil
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("not a duration, such as 1.5s")
	}
	return d, nil
}

// atLeast returns an error if n is less than least.
func atLeast(least, n int64) error {
	if n < least {
		return fmt.Errorf("less than %d", least)
	}
	return nil
}

// joinList returns the values as one argument, with commas between them.
func joinList(values []string) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(v)
	}
	return strings.Join(texts, ",")
}

// splitList returns the values of an argument. It is the inverse of joinList.
func splitList(arg string) []string {
	values := []string{""}
	for i := 0; i < len(arg); i++ {
		last := &values[len(values)-1]
		switch c := arg[i]; {
		case c == ',':
			values = append(values, "")
		case c == '\\' && i+1 < len(arg) && (arg[i+1] == ',' || arg[i+1] == '\\'):
			i++
			*last += arg[i : i+1]
		default:
			*last += string(arg[i : i+1])
		}
	}
	return values
}
