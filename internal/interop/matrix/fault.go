package matrix

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// A clientFault is a fault under which clients push or pull.
type clientFault struct {
	name string
	rule fault.Rule

	// push is set if the client pushes. Otherwise it pulls, by digest if byDigest is set.
	push, byDigest bool

	// committed is set if the registry carries out the request in spite of the fault.
	committed bool

	// wait is the time in Retry-After, or 0.
	wait time.Duration
}

const mebibyte = 1 << 20

// victim returns the artifact that clients push and pull under faults. Its blobs have
// the same size, because some clients do not name the blob that they are sending.
func victim() content.Content {
	return content.Artifact("application/vnd.example.app",
		content.Config(content.Random("application/vnd.example.config", mebibyte, 1)),
		content.Random("application/octet-stream", mebibyte, 2))
}

func faults() []clientFault {
	layer := victim().Layers[0].Digest
	other := content.Artifact("application/vnd.example.other")
	getBlob := fault.On(registry.GetBlob).Digest(layer)
	begin := fault.On(registry.StartUpload, registry.PostBlob, registry.MountBlob)
	send := fault.On(registry.PatchUpload, registry.PutUpload, registry.PostBlob).
		// A PUT that closes an upload may be empty.
		Where("the body is not empty", func(r *registry.Request) bool { return r.ContentLength != 0 })
	end := fault.On(registry.PutUpload, registry.PostBlob)
	put := fault.On(registry.PutManifest)
	return []clientFault{
		{name: "pull, 503 twice, manifest", rule: fault.On(registry.GetManifest).Times(2).Status(503)},
		{name: "pull, 503 twice, blob", rule: getBlob.Times(2).Status(503)},
		{name: "pull, 502 twice, blob", rule: getBlob.Times(2).Status(502)},
		{name: "pull, 429 with Retry-After, blob", rule: getBlob.Once().Status(429).RetryAfter(3 * time.Second), wait: 3 * time.Second},
		{name: "pull, blob cut once", rule: getBlob.Once().Close(fault.AtByte(mebibyte / 2))},
		{name: "pull, blob reset once", rule: getBlob.Once().Reset(fault.AtByte(mebibyte / 2))},
		{name: "pull, blob corrupt once", rule: getBlob.Once().Corrupt(mebibyte / 2)},
		{name: "pull, blob always corrupt", rule: getBlob.Corrupt(mebibyte / 2)},
		{name: "pull by tag, another manifest", rule: fault.On(registry.GetManifest).Body(fault.Text(string(other.Manifest)))},
		{name: "pull by digest, another manifest", rule: fault.On(registry.GetManifest).Body(fault.Text(string(other.Manifest))), byDigest: true},
		{name: "push, 503 twice, start of an upload", rule: begin.Times(2).Status(503), push: true},
		{name: "push, 503 twice, end of an upload", rule: end.Times(2).Status(503), push: true},
		{name: "push, 503 twice, manifest", rule: put.Times(2).Status(503), push: true},
		{name: "push, 429 with Retry-After, manifest", rule: put.Once().Status(429).RetryAfter(3 * time.Second), push: true, wait: 3 * time.Second},
		{name: "push, reset in mid-upload", rule: send.Once().Reset(fault.AtByte(mebibyte / 2)), push: true},
		{name: "push, response lost after a blob was stored", rule: end.Once().AfterCommit().Reset(), push: true, committed: true},
		{name: "push, response lost after the manifest was stored", rule: put.Once().AfterCommit().Reset(), push: true, committed: true},
	}
}

// Faults tries a push or pull of each client under each fault, and checks the
// outcomes in the table "faults".
func Faults(t *testing.T, docs string, clients ...Factory) {
	table := OpenTable(t, docs, "faults")
	for _, f := range faults() {
		table.Declare(f.name, clients...)
	}
	table.CheckDeclared(t)
	table.checkClients(t, clients)
	for _, client := range clients {
		for _, f := range faults() {
			t.Run(client.Name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				seen, _ := start(t, client).attempt(f.run)
				table.Check(t, f.name, client.Name, seen)
			})
		}
	}
}

func (f clientFault) run(s *try) string {
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	var err, wrong error
	if f.push {
		s.fault(f.rule)
		err = s.client.Push(ctx, s.reg.Ref("team/app:v1"), victim())
	} else {
		s.reg.Push(s, "team/app:v1", victim())
		s.fault(f.rule)
		name, got := "team/app:v1", expect(victim())
		if f.byDigest {
			name = "team/app@" + victim().Digest.String()
		}
		err = s.client.Pull(ctx, s.reg.Ref(name), got.take)
		wrong = got.err()
	}
	require.NoError(s, ctx.Err(), "the client took more than a minute")
	// The client may see a reset before the journal has the whole request.
	_, late := s.reg.Requests().Where((*journal.Record).Faulted).WaitFor(ctx, s.injected[0].Fired())
	require.NoError(s, late)
	r := s.reg.Requests()
	if err != nil {
		s.Logf("the client says: %v\n%s", err, r)
		return f.failed(s, r)
	}
	if f.push {
		s.stored("team/app:v1", victim())
	}
	if wrong != nil {
		s.Logf("the client reported no error, but its content is wrong: %v", wrong)
		return "**wrong data**"
	}
	return f.succeeded(r)
}

// failed returns the outcome for a client that reported an error. The test does
// not demand that the rule matched as many requests as it could.
func (f clientFault) failed(s *try, r journal.Requests) string {
	s.injected = nil
	require.Positive(s, r.Where((*journal.Record).Faulted).Len())
	tags := s.reg.Tags(s, "team/app")
	if f.push && !f.committed {
		require.Empty(s, tags)
	}
	if f.push && len(tags) > 0 {
		return "failed, though stored"
	}
	return "failed"
}

func (f clientFault) succeeded(r journal.Requests) string {
	hit := r.Where((*journal.Record).Faulted).Last()
	later := r.Where(func(x *journal.Record) bool { return x.Number > hit.Number })
	next := repeats(r, hit)
	switch {
	case later.Where(resumes).Len() > 0:
		return "resumed"
	case f.wait > 0 && next.First().Start.Sub(hit.Start) < f.wait:
		return "retried too early"
	case f.wait > 0:
		return "retried in time"
	case f.committed && next.Len() == 0:
		return "looked, and went on"
	}
	return "retried"
}

// repeats returns the requests after hit for the same content. It returns none if
// hit starts an upload, because such a request does not name its blob.
func repeats(r journal.Requests, hit *journal.Record) journal.Requests {
	return r.Op(hit.Op).Where(func(x *journal.Record) bool {
		return x.Number > hit.Number && x.Digest == hit.Digest && x.Tag == hit.Tag && (hit.Digest != "" || hit.Tag != "")
	})
}

// resumes reports whether the request continues a download or upload where an
// earlier one ended, or asks for the status of an upload session.
func resumes(x *journal.Record) bool {
	switch x.Op {
	case registry.GetUpload:
		return true
	case registry.GetBlob:
		return x.RequestHeader.Get("Range") != ""
	}
	from := x.RequestHeader.Get("Content-Range")
	return from != "" && !strings.HasPrefix(from, "0-")
}
