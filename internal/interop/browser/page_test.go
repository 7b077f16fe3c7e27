// Package browser tests the web page of the control API in a real browser.
package browser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ocireg/registry/internal/page"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
	"github.com/ocireg/registry/registrytest/control"
)

// A site is a registry with its control API and web page.
type site struct {
	*registrytest.Server
	t    *testing.T
	api  *httptest.Server
	link string
}

// newSite starts a registry and its control API, and opens its page in a new tab.
func (c *chromium) newSite(t *testing.T, opts ...registrytest.Option) (*site, *tab) {
	t.Helper()
	b := c.open(t)
	ctl, err := control.New(control.Config{Page: page.Handler()})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registrytest.StartServer(append(opts, ctl, registrytest.WithLastRequests(20000), registrytest.WithBodies(4<<10))...)
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(ctl.Handler(reg))
	t.Cleanup(func() {
		ctl.Close()
		b.call("Page.navigate", map[string]any{"url": "about:blank"}, nil) // ends the page's stream of requests
		api.CloseClientConnections()
		api.Close()
		if err := reg.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{reg, t, api, api.URL + "/#" + ctl.Token()}, b
}

// visit opens the page and waits until the page receives requests.
func (s *site) visit(b *tab) {
	s.t.Helper()
	b.call("Page.navigate", map[string]any{"url": s.link}, nil)
	b.until("document.getElementById('state').dataset.state === 'live'")
}

func (s *site) put(ref string, c content.Content) content.Content {
	s.t.Helper()
	if err := content.Put(context.Background(), s.Store, ref, c); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// do sends a request to the registry and ignores the outcome.
func (s *site) do(method, path, body string, header ...string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// seed fills the registry with an image for two platforms, its signature and
// SBOM, and other repositories. It returns the image.
func (s *site) seed() content.Content {
	files := map[string]string{
		"etc/motd": "hello\n", "etc/os-release": "ID=test\n", "usr/bin/app": strings.Repeat("\x7fELF", 3000),
		"usr/share/doc/app/changelog": strings.Repeat("a line\n", 900), "var/lib/.wh.old": "",
	}
	app := s.put("team/app:v1", content.Index(
		content.Annotation("org.opencontainers.image.version", "1.4.0"),
		content.Image(content.Platform("linux/amd64"), content.Files(files), content.LayerSizes(400_000, 30_000)),
		content.Image(content.Platform("linux/arm64"), content.Files(files), content.LayerSizes(380_000)),
	))
	s.put("team/app", referrer.CosignSignature(app))
	s.put("team/app", referrer.SPDX(app))
	s.put("team/app:v1.0", app)
	s.put("team/base:bookworm", content.Image(content.Layers(1)))
	s.put("tools/builder:2026-11", content.Image(content.Layers(2)))
	return app
}

// traffic sends the requests of a client that pulls the image and of a client
// that pushes. Some of them fail.
func (s *site) traffic(app content.Content) {
	s.do("GET", "/v2/", "")
	s.do("HEAD", "/v2/team/app/manifests/v1", "", "Accept", string(app.MediaType))
	s.do("GET", "/v2/team/app/manifests/v1", "", "Accept", string(app.MediaType), "User-Agent", "containerd/2.4.2", "Authorization", "Bearer secret-token")
	for m := range app.Manifests() {
		s.do("GET", "/v2/team/app/manifests/"+string(m.Digest), "", "Accept", string(m.MediaType))
		for blob := range m.Blobs() {
			s.do("GET", "/v2/team/app/blobs/"+string(blob.Digest), "", "User-Agent", "containerd/2.4.2")
		}
	}
	s.do("GET", "/v2/team/app/manifests/missing", "")
	s.do("GET", "/v2/team/app/tags/list?n=10", "")
	s.do("POST", "/v2/team/app/blobs/uploads/", "")
	s.do("PUT", "/v2/team/other/manifests/v2", `{"schemaVersion":2}`, "Content-Type", "application/vnd.oci.image.manifest.v1+json")
	s.do("GET", "/v2/team/app/referrers/"+string(app.Digest), "")
}

// The tests share one browser, because each start takes a second.
func TestPage(t *testing.T) {
	c := launch(t)
	for name, test := range map[string]func(*testing.T, *chromium){
		"tour": tour, "token": token, "reconnect": reconnect, "downloads": downloads, "keyboard": keyboard, "hostile": hostile, "many": manyRequests,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// tour uses every part of the page, in two window sizes and two themes.
func tour(t *testing.T, c *chromium) {
	s, b := c.newSite(t)
	app := s.seed()
	b.size(1280, 800, "light")
	s.visit(b)
	b.until("document.querySelector('#requests-empty').textContent.includes('No requests yet')")
	b.shoot("empty-1280-light")

	// The page removes the token from the URL, and still has it when it is loaded again.
	if url := b.text("location.href"); strings.Contains(url, strings.SplitN(s.link, "#", 2)[1]) {
		t.Errorf("the URL still has the token: %s", url)
	}

	b.run(t, "rules", func(t *testing.T) {
		b.press("3")
		b.click("#rule")
		b.write("get-blob tims=1 status=503")
		b.press("Enter")
		b.until("document.querySelector('#rule-error').textContent.includes('tims')")
		if at := b.text("document.querySelector('#rule').selectionStart"); at != "9" {
			t.Errorf("the cursor is at %s, want 9, where the word is wrong", at)
		}
		b.shoot("rule-error-1280-light")
		b.eval("document.querySelector('#rule').value = ''", nil)
		b.write("get-blob repo=team/* times=2 status=503 retry-after=1")
		b.press("Enter")
		b.until("document.querySelector('#faults code').textContent.includes('times=2')")
		b.click("#rule")
		b.write("put-manifest repo=gated/**")
		b.click("#add-hold")
		b.until("document.querySelector('#holds code').textContent.includes('gated')")
		gated := make(chan struct{})
		go func() {
			defer close(gated)
			s.do("PUT", "/v2/gated/app/manifests/v1", "{}", "Content-Type", "application/vnd.oci.image.manifest.v1+json")
		}()
		b.until("document.querySelector('#holds .fired').textContent.includes('1 request waiting')")
		s.traffic(app)
		b.until("document.querySelector('#faults .fired').textContent === '2 hits'")
		b.shoot("faults-1280-light")
		b.clickText("#holds", "Release")
		<-gated
		b.until("document.querySelector('#holds').textContent.includes('No gate')")
		b.clickText("#faults", "Remove")
		b.until("document.querySelector('#faults').textContent.includes('No rule')")
	})

	b.run(t, "requests", func(t *testing.T) {
		b.press("1")
		b.until("document.querySelectorAll('#rows .row:not([hidden])').length > 10")
		// One of the three requests waited at the gate.
		b.until("document.querySelector('.toggle[data-is=fault] b').textContent === '3'")
		b.until("document.querySelector('.mark.finding')")
		b.shoot("requests-1280-light")
		b.press("/")
		b.write("op:get-blob status:503")
		b.until("document.querySelector('#requests-foot').textContent.startsWith('2 of')")
		b.press("Enter", "ArrowDown", "Enter")
		b.until("document.activeElement.id === 'detail'")
		b.until("document.querySelector('#detail .callout.fault').textContent.includes('get-blob repo=team/* times=2 status=503')")
		b.until("document.querySelector('#detail').textContent.includes('containerd/2.4.2')")
		b.until("document.querySelector('#detail pre').textContent.includes('\"errors\"')")
		b.shoot("detail-1280-light")
		b.press("Escape")
		b.until("document.querySelector('#detail').hidden && document.activeElement.id === 'grid'")
		b.clickText("#requests-bar", "fault")
		b.until("document.querySelector('#filter').value.endsWith('is:fault')")
		b.click("#filter")
		b.eval("document.querySelector('#filter').select()", nil)
		b.write("op:get-manifest is:finding")
		b.until("document.querySelector('#rows .row:not([hidden]) .mark.finding')")
		b.click("#rows .row:not([hidden])")
		b.until("document.querySelector('#detail .callout.finding')")
		b.shoot("finding-1280-light")
		b.eval("document.querySelector('#filter').select()", nil)
		b.click("#filter")
		b.eval("document.querySelector('#filter').value = 'containerd'; document.querySelector('#filter').dispatchEvent(new Event('input'))", nil)
		b.until("document.querySelector('#requests-empty').textContent.includes('matches the filter')")
		b.clickText("#requests-empty", "Show all")
		b.until("document.querySelectorAll('#rows .row:not([hidden])').length > 10")

		// The page shows no credentials. Its curl command has a variable in their place.
		b.eval("document.querySelector('#filter').value = 'op:get-manifest tag:v1'; document.querySelector('#filter').dispatchEvent(new Event('input'))", nil)
		b.until("document.querySelector('#requests-foot').textContent.startsWith('1 of')")
		b.click("#rows .row:not([hidden])")
		b.until("document.querySelector('#detail').textContent.includes('Bearer redacted')")
		if text := b.text("document.documentElement.outerHTML"); strings.Contains(text, "secret-token") {
			t.Error("the page shows a client's token")
		}
		b.eval("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }", nil)
		for label, want := range map[string]string{
			"curl":     `--header "Authorization: Bearer $CREDENTIALS"`,
			"rule":     "get-manifest repo=team/app tag=v1 once status=503",
			"Go fault": `reg.Fault(t, fault.On(registry.GetManifest).Repo("team/app").Tag("v1").Once().Status(503))`,
			"Go query": `reg.Requests().Op(registry.GetManifest).Repo("team/app").Tag("v1").Status(200)`,
		} {
			b.clickText("#detail .copy", label)
			if got := b.text("window.copied"); !strings.Contains(got, want) {
				t.Errorf("copied as %s: %s; it lacks %s", label, got, want)
			}
		}
		b.clickText("#detail .copy", "Write a rule")
		b.until("document.querySelector('#rule').value === 'get-manifest repo=team/app tag=v1 once status=503' && document.activeElement.id === 'rule'")
		b.press("Escape")
	})

	b.run(t, "content", func(t *testing.T) {
		b.click("#tab-content")
		b.clickText("#repos", "team/app")
		b.clickText("#repos .repo[open]", "v1")
		b.until("document.querySelectorAll('#manifest .platform').length === 2")
		b.until("document.querySelector('#manifest .referrers .size').textContent === '2'")
		b.clickText("#manifest", "linux/amd64")
		b.clickText("#manifest .group .node[open]", "layer 1")
		b.until("document.querySelector('#manifest .filelist').textContent.includes('usr/share/doc/app/changelog')")
		b.until("document.querySelector('#manifest .whiteout').textContent.includes('.wh.old')")
		b.until("!document.querySelector('#manifest .error')")
		b.shoot("content-1280-light")
		b.clickText("#manifest .group .node[open]", "config")
		b.clickText("#manifest > .node > .inside > .referrers", "referrers")
		b.until("[...document.querySelectorAll('#manifest .referrers .node')].some(n => n.textContent.includes('spdx'))")
		b.clickText("#manifest .referrers .inside", "spdx")
		b.eval("document.querySelector('#manifest').scrollTop = 1e6", nil)
		b.shoot("content-referrers-1280-light")
	})

	for _, size := range []struct {
		width, height int
		theme         string
	}{{1280, 800, "dark"}, {360, 740, "light"}, {360, 740, "dark"}} {
		b.run(t, fmt.Sprint(size.width, "-", size.theme), func(t *testing.T) {
			b.size(size.width, size.height, size.theme)
			fits := func() {
				t.Helper()
				if wide := b.text("document.documentElement.scrollWidth > innerWidth || [...document.querySelectorAll('main > section:not([hidden]) button')].filter(x => x.checkVisibility() && x.getBoundingClientRect().right > innerWidth + 1).length"); wide != "false" && wide != "0" {
					t.Errorf("the page is wider than the window: %s", wide)
				}
			}
			shoot := func(name string) { fits(); b.shoot(fmt.Sprintf("%s-%d-%s", name, size.width, size.theme)) }
			b.clickText("#repos .repo[open]", "v1.0")
			b.until("document.querySelector('#manifest h2').textContent === 'team/app:v1.0' && document.querySelectorAll('#manifest .platform').length === 2")
			b.clickText("#manifest", "linux/arm64")
			b.until("document.querySelector('#manifest .group .node[open] .group')")
			b.eval("document.querySelector('#toast').hidden = true", nil)
			shoot("content")
			b.eval("document.activeElement.blur()", nil)
			b.press("Escape")
			shoot("repos")
			b.press("1", "Escape")
			b.eval("document.querySelector('#filter').value = ''; document.querySelector('#filter').dispatchEvent(new Event('input'))", nil)
			shoot("requests")
			// Each row begins where the previous one ends, even if their heights differ.
			b.until(`[...document.querySelectorAll('#rows .row:not([hidden])')].every(r =>
				Math.abs(r.getBoundingClientRect().top - document.querySelector('#rows').getBoundingClientRect().top - (r.getAttribute('aria-rowindex') - 2) * r.offsetHeight) < 1)`)
			b.eval("[...document.querySelectorAll('#rows .row')].find(r => r.querySelector('.mark.fault')).click()", nil)
			b.until("!document.querySelector('#detail').hidden")
			shoot("detail")
			b.press("Escape", "3")
			b.until("document.querySelector('#view-faults').checkVisibility()")
			shoot("faults")
			b.press("?")
			b.until("document.querySelector('#keys').open")
			shoot("keys")
			b.press("Escape", "2")
		})
	}
	b.check(s)
}

// check fails the test if the browser reported a problem, or sent a request to
// another host.
func (b *tab) check(s *site) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		if strings.Contains(p, "status of 422") || strings.Contains(p, "status of 409") || strings.Contains(p, "status of 401") || strings.Contains(p, "ERR_INCOMPLETE_CHUNKED_ENCODING") {
			// The test sent a wrong rule or token, removed a rule too early,
			// or cut a connection.
			continue
		}
		b.t.Errorf("the browser says: %s", p)
	}
	own := strings.SplitN(s.link, "#", 2)[0]
	for _, url := range b.urls {
		if !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:image/svg+xml,") && !strings.HasPrefix(url, "blob:"+own) && url != "about:blank" {
			b.t.Errorf("the page requested %s", url)
		}
	}
}
