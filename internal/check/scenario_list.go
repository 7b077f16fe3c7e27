package check

import (
	"regexp"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/lint"
)

// The scenarios about lists of tags and referrers.
var listScenarios = []scenario{
	{
		name:         "tags in pages",
		requirements: []Requirement{listsAllTags},
		applies:      listsTags,
		arrange:      func(w *world, _ *run) { w.with(registry.WithPageSize(2)) },
		judge: func(j *judgement) {
			j.listsAll(listsAllTags, registry.ListTags, tags)
			j.lintPages()
		},
	},
	{
		name:         "absolute Link",
		requirements: []Requirement{followsAbsoluteLink},
		applies:      listsTags,
		arrange: func(w *world, _ *run) {
			w.with(registry.WithPageSize(2), registry.Without(registry.RelativeLocations))
		},
		judge: func(j *judgement) { j.listsAll(followsAbsoluteLink, registry.ListTags, tags) },
	},
	{
		name:         "referrers in pages",
		requirements: []Requirement{listsAllReferrers},
		applies:      listsReferrers,
		arrange:      func(w *world, _ *run) { w.with(registry.WithPageSize(1)) },
		judge:        func(j *judgement) { j.listsAll(listsAllReferrers, registry.ListReferrers, referrerDigests()) },
	},
	{
		name:         "referrers tag",
		requirements: []Requirement{fallsBackToTag},
		applies:      listsReferrers,
		arrange:      func(w *world, _ *run) { w.withoutReferrers(referrersIndex()) },
		judge:        func(j *judgement) { j.listsAll(fallsBackToTag, registry.ListReferrers, referrerDigests()) },
	},
	{
		name:         "other content at the referrers tag",
		requirements: []Requirement{assumesNoReferrers},
		applies:      listsReferrers,
		arrange:      func(w *world, _ *run) { w.withoutReferrers(content.Image()) },
		judge: func(j *judgement) {
			if j.succeeds(assumesNoReferrers) {
				j.held(assumesNoReferrers, "")
			}
		},
	},
}

// listsTags implements scenario.applies: the command must list and print all tags.
func listsTags(base *run) string {
	if !base.has(nil, registry.ListTags) {
		return "the command lists no tags"
	}
	if missing := missingFrom(base.output, tags); len(missing) > 0 {
		return "the command does not print the tags"
	}
	return ""
}

func listsReferrers(base *run) string {
	if !base.has(nil, registry.ListReferrers) {
		return "the command lists no referrers"
	}
	if missing := missingFrom(base.output, referrerDigests()); len(missing) > 0 {
		return "the command does not print the digests of referrers"
	}
	return ""
}

func referrerDigests() (digests []string) {
	for _, r := range referrers() {
		digests = append(digests, string(r.Digest))
	}
	return digests
}

// missingFrom returns the words that do not occur, as whole words, in the output.
func missingFrom(output string, words []string) (missing []string) {
	for _, word := range words {
		if !regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(word) + `($|[^\w.-])`).MatchString(output) {
			missing = append(missing, word)
		}
	}
	return missing
}

// lintPages checks with package lint how the command requests the next page.
func (j *judgement) lintPages() {
	for _, rule := range rules {
		if rule.lint == lint.Link && j.run.has(rule.about, rule.ops...) {
			j.lint(rule.Requirement, rule.lint)
		}
	}
}

// listsAll judges whether the output of the command has all words of a list.
func (j *judgement) listsAll(req Requirement, op registry.Op, words []string) {
	if !j.succeeds(req) {
		return
	}
	if missing := missingFrom(j.run.output, words); len(missing) > 0 {
		j.violated(req, j.run.requests.Op(op, registry.GetManifest).Records(), "the command succeeds, and its output lacks %d of %d: %s",
			len(missing), len(words), strings.Join(missing, ", "))
		return
	}
	j.held(req, "in %s", hint.Count(j.run.requests.Op(op).Len(), "request"))
}
