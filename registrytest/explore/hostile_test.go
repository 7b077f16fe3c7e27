package explore

import (
	"errors"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
)

// hostileOps are the operations of the wary client, with their options for Hostile.
var hostileOps = map[string]struct {
	run  func(c *wary, t *T) error
	opts []Option
}{
	"pull": {func(c *wary, t *T) error { return c.pull(t, "team/app", "v1") }, nil},
	"pull by HEAD": {func(c *wary, t *T) error {
		c.byHead = true
		return c.pull(t, "team/app", "v1")
	}, []Option{OnlyTraps(tagTraps...)}},
	"push":   {func(c *wary, t *T) error { return c.push(t, "team/new", "v1", []byte("a config")) }, nil},
	"list":   {func(c *wary, t *T) error { return c.list(t, "team/app") }, nil},
	"verify": {func(c *wary, t *T) error { return c.verify(t, "team/app", "v1") }, []Option{Verifies()}},
	"verify by digest": {func(c *wary, t *T) error {
		return c.verify(t, "team/app", string(hostileImage().Digest))
	}, []Option{Verifies(), OnlyTraps("signatures stripped", "old signature on another image",
		"signatures without an end, and none is valid", "referrers without an end, and none is a signature")}},
	"verify and pull":         {verifyAndPull, []Option{Verifies(), OnlyTraps("tag that moves between two pulls")}},
	"verify and pull by HEAD": {verifyAndPullByHead, []Option{Verifies(), OnlyTraps("tag that moves between two pulls")}},
}

// tagTraps lists traps that put another image at a tag.
var tagTraps = []string{"foreign layer at another host", "manifest that is an image and an index", "manifest of deeply nested JSON"}

func verifyAndPull(c *wary, t *T) error {
	if err := c.verify(t, "team/app", "v1"); err != nil {
		return err
	}
	return c.pull(t, "team/app", "v1")
}

func verifyAndPullByHead(c *wary, t *T) error {
	c.byHead = true
	return verifyAndPull(c, t)
}

func hostileImage() content.Content { return content.Image(content.Layers(2)) }

// meetHostile calls Hostile with an operation of a wary client. The parameter mutant
// names the bug of the client.
func meetHostile(t *testing.T, mutant, op string, opts ...Option) *TrapReport {
	t.Helper()
	setup := func(t *T, reg *registrytest.Server) {
		app := reg.Push(t, "team/app:v1", hostileImage())
		reg.Push(t, "team/app", content.Artifact(signatureType, content.Subject(app), content.Annotation("signs", string(app.Digest))))
	}
	o := hostileOps[op]
	return Hostile(t, setup, func(t *T, reg *registrytest.Server) error {
		return o.run(newWary(reg, mutant, "ci", "secret-of-ci"), t)
	}, append(append(opts, o.opts...), Login("ci", "secret-of-ci"))...)
}

// Each trap has a legitimate twin, and references of known forms. At least one
// reference is an advisory or a section of a standard, and docs/exploring.md has all
// references. No two traps with redirects share a twin.
func TestTraps(t *testing.T) {
	const spec = `(distribution|image)-spec, [A-Z][A-Za-z :]+`
	source := regexp.MustCompile(`^(CVE-\d{4}-\d{4,}|GHSA(-[2-9cfghjmpqrvwx]{4}){3}|RFC \d+, section \d+(\.\d+)*|` + spec + `)$`)
	more := regexp.MustCompile(`^(CWE-\d+|[\w-]+/[\w-]+#\d+( of the twin)?)$`)
	text, err := os.ReadFile("../../docs/exploring.md")
	require.NoError(t, err)
	twins := make(map[string]string)
	for _, tr := range traps() {
		if strings.HasPrefix(tr.name, "redirect ") {
			require.Empty(t, twins[tr.twin.name], "%s", tr.name)
			twins[tr.twin.name] = tr.name
		}
		sources := 0
		for reference := range strings.SplitSeq(tr.reference, "; ") {
			if source.MatchString(reference) {
				sources++
			} else {
				require.Regexp(t, more, reference, "%s", tr.name)
			}
			require.True(t, strings.Contains(string(text), reference), "docs/exploring.md lacks the reference %q of the trap %q", reference, tr.name)
		}
		require.Positive(t, sources, "%s", tr.name)
		require.NotNil(t, tr.twin.set, "%s", tr.name)
		require.NotEmpty(t, tr.twin.name, "%s", tr.name)
	}
	require.Panics(t, func() { changed(otherImage(), "no such text", "") })
}

// The wary client without a bug steps into no trap and works with every twin.
// Together, its operations try every trap.
func TestWaryClient(t *testing.T) {
	tried := make(map[string]bool)
	runs := 0
	for op := range hostileOps {
		t.Run(op, func(t *testing.T) {
			z := meetHostile(t, "right", op)
			runs += z.Runs
			for _, name := range z.With(Withstood) {
				tried[name] = true
			}
		})
	}
	for _, tr := range traps() {
		require.True(t, tried[tr.name], "no operation meets %q", tr.name)
	}
	t.Logf("%d runs", runs)
}

// Over loopback, Hostile tries the traps that need neither names nor TLS.
func TestWaryClientOverLoopback(t *testing.T) {
	z := meetHostile(t, "right", "push", OverLoopback())
	require.Equal(t, []string{"Location of an upload at another host"}, z.With(Withstood))
	z = meetHostile(t, "credentials for every host", "pull", OverLoopback(), ReportOnly())
	require.Equal(t, []string{"redirect of blobs to another host", "redirect of manifests to another host", "redirect of manifests to another port",
		"redirect of blobs to another port", "foreign layer at another host"}, z.With(Caught))
}

// With each bug of the wary client, the traps in the table have the outcome in the
// table. Each trap catches at least one of the bugs.
func TestUnwaryClients(t *testing.T) {
	caught := make(map[string]bool)
	for _, m := range []struct {
		mutant, op string
		outcome    TrapOutcome
		traps      []string
	}{
		{"credentials for every host", "pull", Caught, []string{
			"redirect of blobs to another host", "redirect of manifests to another host", "redirect of manifests to another port",
			"redirect of blobs to another port", "redirect from HTTPS to HTTP", "foreign layer at another host"}},
		{"credentials for every host", "push", Caught, []string{"Location of an upload at another host", "Location of an upload without TLS"}},
		{"credentials for every host", "list", Caught, []string{"Link at another host", "Link without TLS"}},
		{"credentials for every port", "pull", Caught, []string{"redirect of manifests to another port", "redirect of blobs to another port"}},
		{"credentials without TLS", "pull", Caught, []string{
			"redirect of manifests to another port", "redirect of blobs to another port", "redirect from HTTPS to HTTP"}},
		{"credentials without TLS", "push", Caught, []string{"Location of an upload without TLS"}},
		{"answers every challenge", "pull", Caught, []string{
			"redirect of blobs to another host", "redirect of manifests to another host", "foreign layer at another host"}},
		{"credentials for every host", "pull by HEAD", Caught, []string{"foreign layer at another host"}},
		{"any type", "pull by HEAD", Caught, []string{"manifest that is an image and an index"}},
		{"nests without a limit", "pull by HEAD", Caught, []string{"manifest of deeply nested JSON"}},
		{"needs mediaType", "pull by HEAD", TwinFails, []string{"manifest that is an image and an index"}},
		{"any realm", "list", Caught, []string{"Bearer realm without TLS", "Bearer realm at a link-local address"}},
		{"only its own realm", "list", TwinFails, []string{"Bearer realm without TLS"}},
		{"no private realm", "list", TwinFails, []string{"Bearer realm at a link-local address"}},
		{"no redirects", "pull", TwinFails, []string{
			"redirect of blobs to another host", "redirect of manifests to another host", "redirect of manifests to another port",
			"redirect of blobs to another port", "redirect from HTTPS to HTTP", "blob altered, under its digest"}},
		{"ignores Link", "list", TwinFails, []string{"Link at another host", "Link without TLS", "pages of tags without an end", "pages of tags in a circle"}},
		{"no credentials after a redirect", "pull", TwinFails, []string{
			"redirect of manifests to another port", "redirect of blobs to another port", "redirect from HTTPS to HTTP"}},
		{"no absolute Link", "list", TwinFails, []string{"Link at another host", "Link without TLS"}},
		{"trusts digests", "pull", Caught, []string{"manifest under another digest", "manifest altered, under its digest",
			"blob altered, under its digest", "tag that moves between two requests"}},
		{"trusts a tag twice", "pull", Caught, []string{"tag that moves between two requests", "manifest that is an image and an index"}},
		{"any type", "pull", Caught, []string{"manifest that is an image and an index"}},
		{"reads everything", "pull", Caught, []string{"huge manifest", "manifest that gzip unpacks to a huge one"}},
		{"reads everything", "list", Caught, []string{"huge header", "huge list of tags"}},
		{"reads everything", "verify", Caught, []string{"huge list of referrers"}},
		{"any number of pages", "list", Caught, []string{"pages of tags without an end", "pages of tags in a circle"}},
		{"any number of pages without a context", "list", Caught, []string{"pages of tags without an end", "pages of tags in a circle"}},
		{"any number of pages", "verify", Caught, []string{"pages of referrers without an end", "signatures without an end, and none is valid",
			"referrers without an end, and none is a signature"}},
		{"fails open", "verify", Caught, []string{"429 to all requests for signatures", "signatures stripped", "old signature on another image"}},
		{"needs no signature", "verify", Caught, []string{"signatures stripped", "old signature on another image"}},
		{"any signature", "verify", Caught, []string{"old signature on another image"}},
		{"any number of pages", "verify by digest", Caught, []string{"signatures without an end, and none is valid",
			"referrers without an end, and none is a signature"}},
		{"needs no signature", "verify by digest", Caught, []string{"signatures stripped"}},
		{"needs no signature", "verify by digest", NotTried, []string{"old signature on another image"}},
		{"pulls what it did not verify", "verify and pull", Caught, []string{"tag that moves between two pulls"}},
		{"pulls what it did not verify", "verify and pull by HEAD", Caught, []string{"tag that moves between two pulls"}},
		{"needs Docker-Content-Digest", "pull", TwinFails, []string{"manifest under another digest"}},
		{"needs mediaType", "pull", TwinFails, []string{"manifest that is an image and an index"}},
		{"small bodies", "pull", TwinFails, []string{"huge manifest"}},
		{"small bodies", "list", TwinFails, []string{"huge list of tags"}},
		{"one signature", "verify", TwinFails, []string{"old signature on another image"}},
		{"one page", "verify", TwinFails, []string{"signatures without an end, and none is valid", "referrers without an end, and none is a signature"}},
		{"needs the API", "verify", TwinFails, []string{"429 to all requests for signatures", "signatures stripped"}},
	} {
		t.Run(m.mutant+" "+m.op, func(t *testing.T) {
			z := meetHostile(t, m.mutant, m.op, ReportOnly(), OnlyTraps(m.traps...))
			require.Equal(t, m.traps, z.With(m.outcome), "%s", z.Markdown())
		})
		for _, name := range m.traps {
			caught[name] = caught[name] || m.outcome == Caught
		}
	}
	for _, tr := range traps() {
		require.True(t, caught[tr.name], "no mutant steps into %q", tr.name)
	}
}

// Traps for tags apply to a client that gets the digest of a tag by HEAD. They do
// not apply to a client that knows the digest, or that pulls an index.
func TestTrapsForTags(t *testing.T) {
	z := meetHostile(t, "right", "pull by HEAD")
	require.Equal(t, tagTraps, z.With(Withstood), "%s", z.Markdown())
	for name, run := range map[string]func(c *wary, t *T) error{
		"digest": func(c *wary, t *T) error { return c.pull(t, "team/app", string(hostileImage().Digest)) },
		"index": func(c *wary, t *T) error {
			_, _, err := c.want(t.Context(), 200, "GET", c.at("/v2/team/app/manifests/index"), nil)
			return errors.Join(err, c.pull(t, "team/app", string(hostileImage().Digest)))
		},
	} {
		z := Hostile(t, func(t *T, reg *registrytest.Server) { reg.Push(t, "team/app:index", content.Index(hostileImage())) },
			func(t *T, reg *registrytest.Server) error { return run(newWary(reg, "right", "ci", "secret"), t) },
			Login("ci", "secret"), OnlyTraps(tagTraps...))
		require.Equal(t, "no trap was tried: the operation pulls no image by its tag", z.untried(), name)
	}
}

// If the operation accepts only the image of the setup, Hostile leaves out the
// legitimate twins that have another image at the tag.
func TestKnownImage(t *testing.T) {
	z := Hostile(t, func(t *T, reg *registrytest.Server) { reg.Push(t, "team/app:v1", hostileImage()) }, func(t *T, reg *registrytest.Server) error {
		c := newWary(reg, "right", "ci", "secret")
		_, m, err := c.manifest(t.Context(), "team/app", "v1")
		if err == nil && m.Config.Digest != hostileImage().Config.Digest {
			err = errors.New("the tag names another image")
		}
		return errors.Join(err, c.pull(t, "team/app", "v1"))
	}, Login("ci", "secret"), OnlyTraps(tagTraps...))
	require.Equal(t, tagTraps, z.With(Withstood), "%s", z.Markdown())
}

// The error for an unknown trap suggests the trap with the most similar name,
// if one is similar.
func TestUnknownTrap(t *testing.T) {
	for name, want := range map[string]string{
		"huge manifests": `no trap is called "huge manifests"; did you mean "huge manifest"?`,
		"nothing of it":  `no trap is called "nothing of it"`,
	} {
		for _, o := range []Option{OnlyTraps(name), ExceptTraps(name)} {
			h := &hostile{}
			o.set(&h.config)
			_, err := h.chosen()
			require.EqualError(t, err, want)
		}
	}
}

// A client may read 16 MiB of a response. The bytes in buffers do not count.
func TestHugeBodies(t *testing.T) {
	t.Parallel()
	for mutant, traps := range map[string][]string{
		"reads 8 MiB":  {"manifest that gzip unpacks to a huge one"},
		"reads 12 MiB": {"manifest that gzip unpacks to a huge one"},
		"reads 15 MiB": {"huge manifest", "manifest that gzip unpacks to a huge one"},
	} {
		z := meetHostile(t, mutant, "pull", ReportOnly(), OnlyTraps(traps...))
		require.Equal(t, traps, z.With(Withstood), "%s: %s", mutant, z.Markdown())
	}
	g := gauge{ResponseWriter: discarded{}, buffers: 250}
	for i := range 10 { // Each write of 100 bytes stands for 1000 bytes before compression.
		_, err := g.Write(make([]byte, 100))
		require.NoError(t, err)
		g.mark(int64(i+1) * 1000)
		require.Equal(t, max(0, int64(i-2)*1000), g.taken)
	}
	const most = int64(hugeTaken)
	require.Empty(t, judgeHuge(nil, &encounter{taken: []int64{most / 2, most / 2, most}}))
	require.Equal(t, "reads at least 16 MiB of each of 2 responses", judgeHuge(nil, &encounter{taken: []int64{most + 1, most / 2, 2 * most}}))
}

// discarded is a ResponseWriter that drops the body.
type discarded struct{ http.ResponseWriter }

func (discarded) Write(p []byte) (int, error) { return len(p), nil }

// A client that lists referrers has to request all pages.
func TestUnreadPages(t *testing.T) {
	t.Parallel()
	app := content.Image()
	z := Hostile(t, func(t *T, reg *registrytest.Server) { reg.Push(t, "team/app:v1", app) }, func(t *T, reg *registrytest.Server) error {
		c := newWary(reg, "ignores Link", "", "")
		return c.pages(t.Context(), c.at("/v2/team/app/referrers/"+string(app.Digest)), func([]byte) error { return nil })
	}, ReportOnly(), OnlyTraps("pages of referrers without an end"))
	require.Equal(t, `trap "pages of referrers without an end": TWIN FAILS: with 30 pages of referrers, which is legitimate, `+
		`the operation requests 1 page of list-referrers, and not the next one in Link (CVE-2023-33957; CVE-2023-46737)`, z.Traps[0].String())
}

// If the registry refused all requests, or the options leave out all traps, the report
// says that no trap was tried.
func TestRefused(t *testing.T) {
	t.Parallel()
	careless := func(t *T, reg *registrytest.Server) error {
		resp, err := reg.Client().Get(reg.URL + "/v2/team/app/manifests/v1")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	z := Hostile(t, nil, careless, OnlyTraps("huge manifest"), Login("ci", "secret"))
	require.Equal(t, "no trap was tried: the operation's only request was answered with 401", z.untried())
	require.Equal(t, 2, z.Runs, "Hostile must try tokens and then Basic credentials")
	require.Positive(t, z.Time)
	require.Equal(t, "0 traps withstood, 0 caught the client, 0 twins fail, 1 not tried (TrapReport.Markdown has the reasons), 2 runs", z.Summary())
	twice := func(t *T, reg *registrytest.Server) error { return errors.Join(careless(t, reg), careless(t, reg)) }
	z = Hostile(t, nil, twice, OnlyTraps("huge manifest"))
	require.Equal(t, "no trap was tried: all 2 requests of the operation were answered with 404", z.untried())
	z = Hostile(t, nil, careless, OnlyTraps("huge manifest"), ExceptTraps("huge manifest"))
	require.Equal(t, "no trap was tried: the options leave out all traps", z.untried())
}
