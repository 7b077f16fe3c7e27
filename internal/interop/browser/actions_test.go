package browser

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/profile"
)

// The page asks for the token if it is missing or wrong.
func token(t *testing.T, c *chromium) {
	s, b := c.newSite(t)
	base, token, _ := strings.Cut(s.link, "#")
	b.call("Page.navigate", map[string]any{"url": base}, nil)
	b.until("document.querySelector('#login').open && document.querySelector('#login-error').hidden")
	b.write("wrong")
	b.press("Enter")
	b.until("document.querySelector('#login-error').textContent.includes('token')")
	b.eval("document.querySelector('#token').select()", nil)
	b.write(token)
	b.press("Enter")
	b.until("document.querySelector('#state').dataset.state === 'live' && !document.querySelector('#login').open")

	// A reloaded page keeps the token. A link with another token replaces it.
	b.call("Page.reload", nil, nil)
	b.until("document.querySelector('#state')?.dataset.state === 'live' && performance.now() < 60000")
	b.call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	b.call("Page.navigate", map[string]any{"url": base + "#wrong"}, nil)
	b.until("document.querySelector('#login').open")
	b.check(s)
}

// The page recovers from an outage of the control API, and the button Clear
// empties its list of requests.
func reconnect(t *testing.T, c *chromium) {
	p := profile.ECR()
	s, b := c.newSite(t, p)
	b.size(1280, 800, "light")
	s.visit(b)
	s.do("POST", "/v2/team/app/blobs/uploads/", "")
	s.do("GET", "/v2/", "")
	b.until("document.querySelectorAll('#rows .row:not([hidden])').length === 2")
	b.click("#rows .row[data-number='2']")
	b.until("!document.querySelector('#detail').hidden")
	s.api.CloseClientConnections()
	b.until("document.querySelector('#state').dataset.state === 'live' && document.querySelectorAll('#rows .row:not([hidden])').length === 2")
	s.do("GET", "/v2/", "")
	b.until("document.querySelectorAll('#rows .row:not([hidden])').length === 3 && !document.querySelector('#detail').hidden")

	b.until("document.querySelector('.mark.quirk')")
	b.eval("document.querySelector('.mark.quirk').click()", nil)
	b.until("document.querySelector('#detail .callout.quirk a[href^=\"https://\"]')")
	b.shoot("quirk-1280-light")

	b.click("#clear")
	b.until("document.querySelector('#requests-empty').textContent.includes('No requests yet') && document.querySelector('#detail').hidden")
	s.do("GET", "/v2/", "")
	b.until("document.querySelectorAll('#rows .row:not([hidden])').length === 1 && document.querySelector('#rows .row:not([hidden]) .c-n').textContent === '4'")
	b.check(s)
}

// Each file that the page offers has the content that its name promises.
func downloads(t *testing.T, c *chromium) {
	s, b := c.newSite(t)
	app := s.put("team/app:v1", content.Image(content.Layers(1)))
	dir := t.TempDir()
	<-b.send("", "Browser.setDownloadBehavior", map[string]any{"behavior": "allow", "downloadPath": dir, "browserContextId": b.context, "eventsEnabled": true})
	s.visit(b)
	s.do("GET", "/v2/team/app/manifests/v1", "")
	b.until("document.querySelectorAll('#rows .row:not([hidden])').length === 1")

	b.click("#har")
	var har struct {
		Log struct {
			Entries []struct{ Request struct{ URL string } }
		}
	}
	if err := json.Unmarshal(b.download(dir, "requests.har"), &har); err != nil || len(har.Log.Entries) != 1 {
		t.Errorf("the HTTP Archive has %d entries, want 1; %v", len(har.Log.Entries), err)
	}

	b.press("2")
	b.click("#layouts")
	var names []string
	for r := tar.NewReader(strings.NewReader(string(b.download(dir, "content.tar")))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if want := "team/app/blobs/sha256/" + app.Digest.Encoded(); !slices.Contains(names, want) {
		t.Errorf("the layouts have %q, not %s", names, want)
	}
	b.clickText("#repos .repo", "v1")
	b.clickText("#manifest", "Download")
	name := strings.Replace(string(app.Digest), ":", "-", 1) + ".json"
	if got := b.download(dir, name); string(got) != string(app.Manifest) {
		t.Errorf("the manifest is %q", got)
	}
	b.check(s)
}

// download returns the content of a file that the browser downloads. It waits until
// the browser reports the end, because an empty file exists before the bytes arrive.
func (b *tab) download(dir, name string) []byte {
	b.t.Helper()
	select {
	case got := <-b.downloaded:
		if got != name {
			b.t.Fatalf("%s was downloaded, want %s", got, name)
		}
	case <-time.After(timeout):
		b.t.Fatalf("%s was not downloaded within %v", name, timeout)
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// The lists of requests, faults and content can be used with the keyboard alone.
func keyboard(t *testing.T, c *chromium) {
	s, b := c.newSite(t)
	s.seed()
	b.size(1280, 800, "light")
	s.visit(b)
	s.do("GET", "/v2/team/app/manifests/v1", "")
	s.do("GET", "/v2/team/app/manifests/missing", "")
	b.until("document.querySelectorAll('#rows .row:not([hidden])').length === 2")
	b.press("j", "j")
	b.until("document.querySelector('#rows [aria-selected=true] .c-target').textContent === 'team/app:missing'")
	if id := b.text("document.querySelector('#grid').getAttribute('aria-activedescendant') === document.querySelector('#rows [aria-selected=true]').id"); id != "true" {
		t.Error("the list does not say which row is active")
	}
	b.press("f")
	b.until("document.querySelector('#rule').value === 'get-manifest repo=team/app tag=missing once status=404'")
	b.press("Enter")
	b.until("document.querySelector('#faults code').textContent.includes('tag=missing')")
	b.eval("document.querySelector('#faults button').focus()", nil)
	b.press("Enter")
	b.until("document.querySelector('#faults').textContent.includes('No rule')")
	// The page reports that the removed rule hit no request.
	b.until("document.querySelector('#removed pre').textContent.includes('tag=missing')")
	b.shoot("removed-1280-light")

	b.eval("document.querySelector('#tab-faults').focus()", nil)
	b.press("ArrowLeft")
	b.until("document.activeElement.id === 'tab-content' && document.querySelector('#repos summary')")
	b.eval("document.querySelector('#repos summary').focus()", nil)
	b.press("Enter")
	b.until("document.querySelector('#repos .tag')")
	b.press("Tab", "Enter")
	b.until("document.querySelector('#manifest h2').textContent === 'team/app:v1' && document.querySelectorAll('#manifest .platform').length === 2")
	b.eval("document.querySelector('#manifest .group .node summary').focus()", nil)
	b.press("Enter")
	b.until("document.querySelector('#manifest .group .group .node summary')")
	b.eval("document.querySelector('#manifest .group .group .node summary').focus()", nil)
	b.press("Enter")
	b.until("document.querySelector('#manifest .filelist').textContent.includes('etc/motd')")

	// The page has the theme of the system until the user chooses one.
	for _, want := range []string{"rgb(22, 24, 28)", "rgb(255, 255, 255)"} {
		b.click("#theme")
		if got := b.text("getComputedStyle(document.body).backgroundColor"); got != want {
			t.Errorf("the background is %s, want %s", got, want)
		}
	}
	b.press("?")
	b.until("document.querySelector('#keys').open")
	b.press("Escape")
	b.until("!document.querySelector('#keys').open")
	b.check(s)
}
