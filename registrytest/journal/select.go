package journal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// properties are the properties for [Requests.Select]. For each, the first function
// returns the property of a record. The second function, check, converts a value of
// Select to the same form; if it is nil, the value is a pattern.
var properties = map[string]struct {
	of    func(*Record) string
	check func(string) (string, error)
}{
	"op":      {func(r *Record) string { return r.Op.String() }, checkOp},
	"repo":    {func(r *Record) string { return r.Repo }, nil},
	"tag":     {func(r *Record) string { return r.Tag }, nil},
	"digest":  {func(r *Record) string { return string(r.Digest) }, nil},
	"user":    {func(r *Record) string { return r.User }, nil},
	"method":  {func(r *Record) string { return r.Method }, checkMethod},
	"status":  {func(r *Record) string { return strconv.Itoa(r.Status) }, checkNumber},
	"number":  {func(r *Record) string { return strconv.Itoa(r.Number) }, checkNumber},
	"failed":  {func(r *Record) string { return strconv.FormatBool(r.Failed()) }, checkBool},
	"faulted": {func(r *Record) string { return strconv.FormatBool(r.Faulted()) }, checkBool},
	"ongoing": {func(r *Record) string { return strconv.FormatBool(r.Ongoing) }, checkBool},
}

// Select returns the requests whose property has any of the values. It is for queries
// that are text, such as a flag. The properties are op, repo, tag, digest, user,
// method, status, number, failed, faulted and ongoing; the values of repo, tag, digest
// and user are patterns. Select returns an error if the property or a value is not
// valid.
//
//	reg.Requests().Select("op", "get-blob", "head-blob") // like Op(registry.GetBlob, registry.HeadBlob)
//	reg.Requests().Select("failed", "true")              // like Where((*journal.Record).Failed)
func (r Requests) Select(property string, values ...string) (Requests, error) {
	p, ok := properties[property]
	if !ok {
		return Requests{}, fmt.Errorf("requests have no property %.100q", property)
	}
	patterns := make([]string, len(values))
	for i, value := range values {
		patterns[i] = value
		if p.check == nil {
			continue
		}
		var err error
		if patterns[i], err = p.check(value); err != nil {
			return Requests{}, fmt.Errorf("%s: %w", property, err)
		}
	}
	return r.Where(func(record *Record) bool { return names.MatchAny(patterns, p.of(record)) }), nil
}

func checkOp(text string) (string, error) {
	_, err := registry.ParseOp(text)
	return text, err
}

func checkMethod(text string) (string, error) {
	if text == "" || strings.ContainsAny(text, "*?") {
		return "", fmt.Errorf("%.100q is not an HTTP method", text)
	}
	return strings.ToUpper(text), nil
}

func checkNumber(text string) (string, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return "", fmt.Errorf("%.100q is not a number", text)
	}
	return strconv.FormatUint(n, 10), nil
}

func checkBool(text string) (string, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return "", fmt.Errorf("%.100q is neither true nor false", text)
	}
	return strconv.FormatBool(b), nil
}
