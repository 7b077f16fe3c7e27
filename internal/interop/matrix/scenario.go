package matrix

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// A scenario is a task that clients carry out with a registry.
type scenario struct {
	name    string
	options []registrytest.Option
	large   bool

	// over is the only scheme, "http" or "https", of a scenario whose outcome
	// depends on the scheme, or "" to try both.
	over string

	// differs is set if the outcome differs with Distribution behind a proxy.
	differs bool

	// run carries out the scenario and returns the outcome for the table.
	run func(s *try) string
}

// asked lists the operations that the client requested, each once, in the order
// of their constants.
func asked(r journal.Requests) string {
	var ops []registry.Op
	for _, x := range r.Records() {
		if x.Op != registry.Ping && x.Op != registry.GetToken && !slices.Contains(ops, x.Op) {
			ops = append(ops, x.Op)
		}
	}
	slices.Sort(ops)
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = op.String()
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// uploads are the operations that push blobs.
var uploads = []registry.Op{
	registry.StartUpload, registry.PostBlob, registry.MountBlob,
	registry.PatchUpload, registry.PutUpload, registry.GetUpload, registry.CancelUpload,
}

// sent returns the number of bytes in the bodies of requests that push blobs.
func sent(r journal.Requests) (n int64) {
	for _, x := range r.Op(uploads...).Records() {
		n += x.BytesIn
	}
	return n
}

// app returns an image with three layers and an annotation that needs escapes in JSON.
func app() content.Content {
	return content.Image(content.Layers(3), content.LayerSizes(300_000),
		content.Annotation("org.example.key", "<\u00e9>"))
}

func scenarios() []scenario {
	return []scenario{
		{name: "push by tag", run: func(s *try) string {
			s.push("team/app:v1", app())
			return asked(s.reg.Requests().Op(uploads...))
		}},
		{name: "push by digest", run: func(s *try) string {
			s.push("team/app@"+app().Digest.String(), app())
			require.Empty(s, s.reg.Tags(s, "team/app"))
			return "ok"
		}},
		{name: "pull by tag", run: func(s *try) string {
			s.reg.Push(s, "team/app:v1", app())
			s.pull("team/app:v1", app())
			return asked(s.reg.Requests())
		}},
		{name: "pull by digest", run: func(s *try) string {
			s.reg.Push(s, "team/app", app())
			s.pull("team/app@"+app().Digest.String(), app())
			return asked(s.reg.Requests())
		}},
		{name: "multi-platform index", run: func(s *try) string {
			index := content.Index(content.Platforms("linux/amd64", "linux/arm64", "windows/amd64"))
			s.push("team/app:v1", index)
			s.pull("team/app:v1", index)
			return "ok"
		}},
		{name: "Docker media types", run: func(s *try) string {
			list := content.Index(content.Docker(),
				content.Image(content.Docker()),
				content.Image(content.Docker(), content.Platform("linux/arm64")))
			s.push("team/app:v1", list)
			s.pull("team/app:v1", list)
			return "ok"
		}},
		{name: "mount", run: mount},
		{name: "chunked upload", run: func(s *try) string {
			blob := content.Random("application/octet-stream", 5000, 1)
			s.must(s.client.PushChunks(s.Context(), s.reg.Ref("team/app"), blob, 1000))
			s.storedBlob("team/app", blob)
			return fmt.Sprintf("%d PATCH", s.reg.Requests().Op(registry.PatchUpload).Status(202).Len())
		}},
		{name: "resumed upload", differs: true, run: func(s *try) string {
			blob := content.Random("application/octet-stream", 5000, 1)
			// To learn how much of the third chunk the registry kept, the client
			// must read the Range of a 416 response, or of the session's status.
			s.fault(fault.On(registry.PatchUpload).After(2).Once().Keep(500))
			s.must(s.client.PushChunks(s.Context(), s.reg.Ref("team/app"), blob, 1000))
			s.storedBlob("team/app", blob)
			// A client that resumes sends no byte twice, except those of the
			// third chunk that the registry dropped.
			return fmt.Sprintf("%d bytes sent", sent(s.reg.Requests()))
		}},
		{name: "tags over pages", options: []registrytest.Option{registry.WithPageSize(2)}, over: "http", run: tags},
		{name: "tags over pages, HTTPS", differs: true, options: []registrytest.Option{registry.WithPageSize(2)}, over: "https", run: tags},
		{name: "referrers", differs: true, run: referrers},
		{name: "referrers without the API", options: []registrytest.Option{registry.Without(registry.ListReferrers)}, run: referrers},
		{name: "referrers by another client, without the API", options: []registrytest.Option{registry.Without(registry.ListReferrers)}, run: func(s *try) string {
			subject := s.reg.Push(s, "team/app:v1", app())
			first, second := attachments(subject)
			tag := strings.Replace(subject.Digest.String(), ":", "-", 1)
			s.reg.Push(s, "team/app:"+tag, content.Index(first, second))
			return listed(s, subject, first, second)
		}},
		{name: "delete a tag", differs: true, run: func(s *try) string {
			s.reg.Push(s, "team/app:v1", app())
			s.reg.Push(s, "team/app:v2", app())
			s.must(s.client.DeleteTag(s.Context(), s.reg.Ref("team/app:v1")))
			if len(s.reg.Tags(s, "team/app")) == 0 {
				return "deletes the manifest, and so all of its tags"
			}
			require.Equal(s, []string{"v2"}, s.reg.Tags(s, "team/app"))
			return "ok"
		}},
		{name: "delete a manifest", run: func(s *try) string {
			s.reg.Push(s, "team/app:v1", app())
			s.must(s.client.DeleteManifest(s.Context(), s.reg.Ref("team/app"), app().Descriptor()))
			require.Empty(s, s.reg.Tags(s, "team/app"))
			_, err := s.reg.Store.StatManifest(s.Context(), "team/app", app().Digest.String())
			require.ErrorIs(s, err, fs.ErrNotExist)
			return "ok"
		}},
		{name: "delete a blob", run: func(s *try) string {
			blob := s.reg.PushBlob(s, "team/app", content.Random("application/octet-stream", 1000, 1))
			s.must(s.client.DeleteBlob(s.Context(), s.reg.Ref("team/app"), blob.Descriptor))
			_, err := s.reg.Store.StatBlob(s.Context(), "team/app", blob.Digest)
			require.ErrorIs(s, err, fs.ErrNotExist)
			return "ok"
		}},
		{name: "to a layout and back", run: func(s *try) string {
			index := content.Index(content.Platforms("linux/amd64", "linux/arm64"))
			s.reg.Push(s, "team/app:v1", index)
			dir := s.TempDir()
			s.must(s.client.ToLayout(s.Context(), s.reg.Ref("team/app:v1"), dir, index))
			for b := range index.Blobs() {
				s.inLayout(dir, b)
			}
			s.must(s.client.FromLayout(s.Context(), dir, s.reg.Ref("team/copy:v1"), index))
			s.stored("team/copy:v1", index)
			return "ok"
		}},
		{name: "HTTPS", over: "https", run: func(s *try) string {
			s.push("team/app:v1", app())
			s.pull("team/app:v1", app())
			return s.reg.Requests().Last().Proto
		}},
		{name: "conditional pull", run: func(s *try) string {
			s.reg.Push(s, "team/app:v1", app())
			s.pull("team/app:v1", app())
			s.pull("team/app:v1", app())
			conditional := s.reg.Requests().Where(func(r *journal.Record) bool {
				return r.RequestHeader.Get("If-None-Match") != ""
			})
			if conditional.Len() == 0 {
				return "no If-None-Match"
			}
			return asked(conditional.Status(304))
		}},
		{name: "range pull", run: func(s *try) string {
			blob := s.reg.PushBlob(s, "team/app", content.Random("application/octet-stream", 100_000, 1))
			got, err := s.client.PullFrom(s.Context(), s.reg.Ref("team/app"), blob.Descriptor, 99_000)
			s.must(err)
			defer got.Close()
			rest, err := io.ReadAll(got)
			s.must(err)
			want, err := io.ReadAll(io.NewSectionReader(blob.Open(), 99_000, 1000))
			require.NoError(s, err)
			require.Equal(s, want, rest)
			return fmt.Sprintf("`Range: %s`", s.reg.Requests().Op(registry.GetBlob).Status(206).Last().Range)
		}},
		{name: "300 MiB", large: true, run: func(s *try) string {
			large := content.Image(content.LayerSizes(300 << 20))
			s.push("team/app:v1", large)
			s.pull("team/app:v1", large)
			r := s.reg.Requests()
			require.GreaterOrEqual(s, sent(r), int64(300<<20))
			return fmt.Sprintf("%d PATCH, %d GET", r.Op(registry.PatchUpload).Len(), r.Op(registry.GetBlob).Digest(large.Layers[0].Digest).Len())
		}},
	}
}

// mount copies an image within a registry and returns "ok" if the client sends no blob
// and reads no layer.
func mount(s *try) string {
	s.reg.Push(s, "team/app:v1", app())
	s.must(s.client.Copy(s.Context(), s.reg.Ref("team/app:v1"), s.reg.Ref("team/copy:v1")))
	s.stored("team/copy:v1", app())
	r := s.reg.Requests()
	moved := r.Op(uploads...).Where(func(r *journal.Record) bool { return r.BytesIn > 0 })
	read := r.Op(registry.GetBlob).Where(func(r *journal.Record) bool { return r.Digest != app().Config.Digest })
	mounted := r.Op(registry.MountBlob).Status(201)
	if moved.Len() == 0 && read.Len() == 0 {
		require.Positive(s, mounted.Len())
		return "ok"
	}
	return fmt.Sprintf("%d mounted, %d uploaded, %d layers read", mounted.Len(), moved.Len(), read.Len())
}

// tags pushes five tags, more than a page has, and returns whether the client
// lists all of them.
func tags(s *try) string {
	want := []string{"a", "b", "c", "d", "e"}
	for _, tag := range want {
		s.reg.Push(s, "team/app:"+tag, app())
	}
	got, err := s.client.Tags(s.Context(), s.reg.Ref("team/app"))
	if _, lacks := errors.AsType[Lacks](err); err != nil && !lacks {
		s.Logf("the client says: %v", err)
		return "failed"
	}
	s.must(err)
	if !slices.Equal(want, got) {
		require.Equal(s, want[:2], got)
		return "the first page alone"
	}
	return "ok"
}

// referrers attaches two artifacts to an image and lists them.
//
// In a registry without the referrers API, clients keep an index at a tag named
// after the digest of the subject (distribution-spec, Referrers Tag Schema).
func referrers(s *try) string {
	subject := s.reg.Push(s, "team/app:v1", app())
	first, second := attachments(subject)
	s.push("team/app@"+first.Digest.String(), first)
	s.push("team/app@"+second.Digest.String(), second)
	return listed(s, subject, first, second)
}

func attachments(subject content.Content) (first, second content.Content) {
	return content.Artifact("application/vnd.example.sbom", content.Subject(subject)),
		content.Artifact("application/vnd.example.sig", content.Subject(subject), content.Seed(2))
}

// listed lists the referrers of a subject with the client, and returns the operations
// that the client requested. If the list is empty, it returns "does not keep the tag".
// It fails the test if the list has only one of the two referrers.
func listed(s *try, subject, first, second content.Content) string {
	got, err := s.client.Referrers(s.Context(), s.reg.Ref("team/app"), subject.Descriptor())
	s.must(err)
	if len(got) == 0 {
		return "does not keep the tag"
	}
	require.ElementsMatch(s, []digest.Digest{first.Digest, second.Digest}, digests(got))
	return asked(s.reg.Requests().Op(registry.ListReferrers, registry.GetManifest))
}

func digests(descs []ocispec.Descriptor) (ds []digest.Digest) {
	for _, d := range descs {
		ds = append(ds, d.Digest)
	}
	return ds
}

// Stores returns the stores with which clients are tried, by name.
func Stores() map[string]func(t *testing.T) registry.Store {
	return map[string]func(t *testing.T) registry.Store{
		"memstore": func(*testing.T) registry.Store { return memstore.New() },
		"layout": func(t *testing.T) registry.Store {
			store, err := layout.Open(t.TempDir())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			return store
		},
	}
}

// schemes are the URL schemes over which scenarios are tried.
var schemes = []struct {
	name    string
	options []registrytest.Option
}{
	{"http", nil},
	{"https", []registrytest.Option{registrytest.WithTLS()}},
}

// explained fails the test unless the table of reasons has a row for each
// dash in the table.
func explained(t *testing.T, table, reasons *Table) {
	t.Helper()
	if updating() {
		return
	}
	var lacks []string
	for key, cell := range table.cells {
		if cell == "–" {
			lacks = append(lacks, key[1]+", "+key[0])
		}
	}
	require.ElementsMatch(t, lacks, reasons.rows)
}

// Scenarios tries each scenario with each client, with every store, over HTTP and
// HTTPS, and checks the outcomes in the table "scenarios".
func Scenarios(t *testing.T, docs string, clients ...Factory) {
	table := OpenTable(t, docs, "scenarios")
	other := OpenTable(t, docs, "scenarios of distribution")
	reasons := OpenTable(t, docs, "lacks")
	for _, scenario := range scenarios() {
		table.Declare(scenario.name, clients...)
		if scenario.differs {
			other.Declare(scenario.name, clients...)
		}
	}
	table.CheckDeclared(t)
	table.checkClients(t, clients)
	other.CheckDeclared(t)
	other.checkClients(t, clients)
	explained(t, table, reasons)
	for i, client := range clients {
		for _, scenario := range scenarios() {
			for _, scheme := range schemes {
				if scenario.over != "" && scenario.over != scheme.name {
					continue
				}
				for _, place := range places() {
					t.Run(strings.Join([]string{client.Name, scenario.name, scheme.name, place.name}, "/"), func(t *testing.T) {
						if scenario.large && testing.Short() {
							t.Skip("moves 600 MiB")
						}
						place.skip(t, scenario, scheme.name, i == 0)
						t.Parallel()
						opts := slices.Concat(place.open(t, scenario), scheme.options)
						s, table := start(t, client, opts...), table
						if place.foreign && scenario.differs {
							s.mayFail, table = true, other
						}
						seen, lacks := s.attempt(scenario.run)
						if lacks != "" {
							table.Check(t, scenario.name, client.Name, "–")
							reasons.Check(t, client.Name+", "+scenario.name, "Why", string(lacks))
							t.Skip(string(lacks))
						}
						table.Check(t, scenario.name, client.Name, seen)
					})
				}
			}
		}
	}
}
