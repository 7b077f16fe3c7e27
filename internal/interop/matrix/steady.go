package matrix

import (
	"regexp"
	"strings"
)

// variable lists patterns for the parts of a text that differ from run to run,
// with their replacements in tables.
var variable = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+|localhost:\d+`), "REGISTRY"},
	{regexp.MustCompile(`\S*/ocireg-check-\d+`), "HOME"},
	{regexp.MustCompile(`/tmp/explore\d+`), "DIR"},
	{regexp.MustCompile(`(sha256[:-][0-9a-f]{8})[0-9a-f]{56}`), "$1…"},
	{regexp.MustCompile(`time="[^"]*" |time=\S+ |^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d `), ""},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`after \d+(\.\d+)?[mµ]?s, and Retry-After was \d+(\.\d+)?m?s`), "before the time in Retry-After"},
	{regexp.MustCompile(`has no blob .*`), "has no blob …"},
	{regexp.MustCompile(`leaves \d+ upload sessions?`), "leaves upload sessions"},
	{regexp.MustCompile(`that \d+ responses?`), "that responses"},
	{regexp.MustCompile(`\|`), "/"},
}

// Steady returns the detail of a finding with the parts that differ from
// run to run replaced.
func Steady(detail string) string {
	for _, v := range variable {
		detail = v.pattern.ReplaceAllString(detail, v.text)
	}
	return strings.TrimSpace(detail)
}
