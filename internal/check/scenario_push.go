package check

import (
	"net/http"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
	"github.com/ocireg/registry/registrytest/lint"
)

// The scenarios about pushes.
var pushScenarios = []scenario{
	{
		name:         "absolute Location",
		requirements: []Requirement{takesAbsoluteLocation},
		applies:      uploads,
		arrange:      func(w *world, _ *run) { w.with(registry.Without(registry.RelativeLocations)) },
		judge: func(j *judgement) {
			if j.succeeds(takesAbsoluteLocation) {
				j.held(takesAbsoluteLocation, "")
			}
		},
	},
	{
		name:         "no mount",
		requirements: []Requirement{worksWithoutMount},
		applies: func(base *run) string {
			if !base.has(mounted, registry.MountBlob) {
				return "the command mounts no blob"
			}
			return ""
		},
		arrange: func(w *world, _ *run) { w.with(registry.Without(registry.MountBlob)) },
		judge: func(j *judgement) {
			if j.succeeds(worksWithoutMount) {
				j.held(worksWithoutMount, "")
			}
		},
	},
	{
		name:         "no single POST",
		requirements: []Requirement{worksWithoutSinglePost},
		applies: func(base *run) string {
			if !base.has(nil, registry.PostBlob) {
				return "the command uploads no blob in a single POST"
			}
			return ""
		},
		arrange: func(w *world, _ *run) { w.with(registry.Without(registry.PostBlob)) },
		judge: func(j *judgement) {
			if j.succeeds(worksWithoutSinglePost) {
				j.held(worksWithoutSinglePost, "")
			}
		},
	},
	{
		name:         "minimum of chunks",
		requirements: []Requirement{respectsMinChunk},
		applies:      chunks,
		arrange:      func(w *world, base *run) { w.with(registry.WithMinChunk(2 * largestChunk(base))) },
		judge: func(j *judgement) {
			j.lint(respectsMinChunk, lint.ChunkSize)
		},
	},
	{
		name:         "chunk accepted in part",
		requirements: []Requirement{chunksInOrder, resumesUpload},
		applies:      chunks,
		arrange: func(w *world, base *run) {
			w.fault(fault.On(registry.PatchUpload).Where(fault.BodyOver(largestChunk(base) / 2)).Once().Keep(largestChunk(base) / 2))
		},
		judge: func(j *judgement) {
			j.lint(chunksInOrder, lint.ChunkOrder)
			if j.run.ok() {
				j.observed(resumesUpload, "the command succeeds, with %s for uploads in place of %d", hint.Count(countUploads(j.run), "request"), countUploads(j.base))
			} else {
				j.failed(resumesUpload)
			}
		},
	},
	{
		name:         "refused upload",
		requirements: []Requirement{cancelsUploads},
		applies:      uploads,
		arrange: func(w *world, _ *run) {
			w.fault(fault.On(registry.PatchUpload, registry.PutUpload).Code(registry.CodeDigestInvalid))
		},
		judge: judgeAborted,
	},
}

// mounted reports whether a request mounted a blob. If the registry lacks the
// blob, the request starts an upload instead.
func mounted(r *journal.Record) bool { return r.Status == http.StatusCreated }

// uploads implements scenario.applies: the command must upload a blob.
func uploads(base *run) string {
	if !base.has(nil, registry.PutUpload) {
		return "the command uploads no blob in a session"
	}
	return ""
}

// chunks implements scenario.applies: the command must upload a blob in several chunks.
func chunks(base *run) string {
	if !base.has(func(r *journal.Record) bool { return hasChunkRange(r) && !wholeBlob(base, r) }, registry.PatchUpload) {
		return "the command uploads no blob in chunks"
	}
	return ""
}

// wholeBlob reports whether the request sends the only chunk of its upload session.
func wholeBlob(base *run, r *journal.Record) bool {
	return base.requests.Op(registry.PatchUpload).Where(func(o *journal.Record) bool { return o.Session == r.Session }).Len() == 1
}

// largestChunk returns the size of the largest chunk in the run.
func largestChunk(base *run) (size int64) {
	for _, r := range base.requests.Op(registry.PatchUpload).Records() {
		size = max(size, r.BytesIn)
	}
	return size
}

func countUploads(r *run) int {
	return r.requests.Op(registry.StartUpload, registry.PatchUpload, registry.PutUpload, registry.GetUpload).Len()
}

// judgeAborted judges whether a command that failed cancelled its upload sessions.
func judgeAborted(j *judgement) {
	switch {
	case j.run.ok():
		j.notTried(cancelsUploads, "the command does not fail if its uploads are refused")
		return
	case j.run.late:
		j.notTried(cancelsUploads, killed)
		return
	}
	cancelled := make(map[string]bool)
	for _, r := range j.run.requests.Op(registry.CancelUpload).Records() {
		cancelled[r.Session] = true
	}
	var open []*journal.Record
	for _, r := range j.run.requests.Op(registry.StartUpload, registry.MountBlob, registry.PostBlob).Status(http.StatusAccepted).Records() {
		if !cancelled[r.Session] {
			open = append(open, r)
		}
	}
	if len(open) > 0 {
		j.violated(cancelsUploads, open, "the command fails, and leaves %s open", hint.Count(len(open), "upload session"))
		return
	}
	j.held(cancelsUploads, "")
}
