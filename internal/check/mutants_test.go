package check

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest/lint"
)

// Check finds the violation of each mutant, in the scenario and for the
// task of the table.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		mutant, task, scenario string
		violates               Requirement
	}{
		{"no redirects", "list", "redirects", followsRedirects},
		{"leaks credentials", "list", "credentials", keepsAuthorization},
		{"impatient", "list", "retry-after", waitsForRetryAfter},
		{"ignores dates", "list", "retry-after as a date", waitsForDate},
		{"no warnings", "list", "warnings", reportsWarnings},
		{"repeats warnings", "pull", "warnings", deduplicatesWarnings},
		{"acts on warnings", "list", "warnings", doesNotActOnWarnings},
		{"needs the digest header", "pull", "no digest header", worksWithoutDigestHeader},
		{"minds parameters", "pull", "type parameters", ignoresTypeParameters},
		{"any type", "pull", "media type", rejectsWrongType},
		{"no manifest digest", "pull-digest", "corrupt manifest", verifiesManifest},
		{"no blob digest", "pull", "corrupt blob", verifiesBlob},
		{"first page", "list", "tags in pages", listsAllTags},
		{"relative Link", "list", "absolute Link", followsAbsoluteLink},
		{"first page", "referrers", "referrers in pages", listsAllReferrers},
		{"no fallback", "referrers", "referrers tag", fallsBackToTag},
		{"minds a foreign tag", "referrers", "other content at the referrers tag", assumesNoReferrers},
		{"relative Location", "push", "absolute Location", takesAbsoluteLocation},
		{"small chunks", "push", "minimum of chunks", respectsMinChunk},
		{"resumes elsewhere", "push", "chunk accepted in part", chunksInOrder},
		{"leaves uploads", "push", "refused upload", cancelsUploads},
		{"needs the mount", "copy", "no mount", worksWithoutMount},
		{"single POST", "push", "no single POST", worksWithoutSinglePost},
		{"keeps no tag", "attach", "attach without the API", keepsReferrersTag},
		{"loses referrers", "attach", "attach without the API", keepsReferrersTag},
		{"lists it twice", "attach", "attach without the API", listsReferrerOnce},
		{"no annotations", "attach", "attach without the API", describesReferrer},
		{"replaces a foreign tag", "attach", "attach with other content at the tag", reportsForeignTag},
		{"leaves the list", "delete", "delete a referrer without the API", removesReferrer},
		{"no Accept", "pull", "requests", requirementOf(lint.Accept)},
		{"loses the query", "push", "requests", requirementOf(lint.UploadLocation)},
		{"a unit in Content-Range", "push", "requests", requirementOf(lint.ContentRange)},
		{"exclusive end", "push", "requests", requirementOf(lint.ChunkLength)},
		{"type with parameters", "push", "requests", requirementOf(lint.ContentType)},
		{"another type", "push", "requests", requirementOf(lint.MediaType)},
		{"assembles the page", "list", "tags in pages", requirementOf(lint.Link)},
	} {
		t.Run(m.mutant+" "+m.task, func(t *testing.T) {
			t.Parallel()
			only := func(scenario string) bool { return scenario == m.scenario }
			require.Contains(t, Scenarios(), m.scenario)
			report, err := Check(t.Context(), clientOf(t, m.mutant, m.task), Config{Only: only, Jobs: 1, run: inProcess})
			if failed := new(FailedError); m.scenario == "requests" && errors.As(err, &failed) {
				// The registry refuses a request of this mutant, so the
				// undisturbed run fails. The error lists the requests.
				require.NotEmpty(t, failed.Requests)
				return
			}
			require.NoError(t, err)
			var names []string
			for _, v := range append(report.Violations(Must), report.Violations(Should)...) {
				names = append(names, v.Name)
				require.NotEmpty(t, v.Requests, "the report must list the requests that show the violation")
				require.NotEmpty(t, v.Command)
			}
			require.Contains(t, names, m.violates.Name)
			if m.scenario != "requests" {
				require.Len(t, names, 1)
			}
		})
	}
}

func requirementOf(l lint.Rule) Requirement {
	for _, r := range rules {
		if r.lint == l {
			return r.Requirement
		}
	}
	panic(l)
}

// A command may leave out a manifest that does not match its digest and succeed,
// if it prints both digests.
func TestManifestThatIsLeftOut(t *testing.T) {
	t.Parallel()
	only := func(scenario string) bool { return scenario == "corrupt manifest" }
	report, err := Check(t.Context(), clientOf(t, "goes on after a message", "pull-digest"), Config{Only: only, Jobs: 1, run: inProcess})
	require.NoError(t, err)
	require.Empty(t, append(report.Violations(Must), report.Violations(Should)...))
	require.True(t, slices.ContainsFunc(report.Results, func(r Result) bool {
		return r.Name == verifiesManifest.Name && r.Outcome == Held && strings.Contains(r.Detail, "both digests")
	}), "%v", report.Results)
}
