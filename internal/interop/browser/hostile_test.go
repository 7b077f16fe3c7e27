package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/registrytest/content"
)

// evil is a text that runs a script in a page that inserts it as markup. It also
// reverses the direction of the text after it.
const evil = `<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>` + "\u202e" + `javascript:alert(1)`

// The page shows every value that a client sent as text, never as markup.
func hostile(t *testing.T, c *chromium) {
	s, b := c.newSite(t)
	b.size(1280, 800, "dark")
	blob := content.Bytes("application/vnd.oci.image.layer.v1.tar", []byte("no tar file: "+evil))
	image := content.Image(
		content.Files(map[string]string{"etc/" + strings.ReplaceAll(evil, "/", "|"): "x"}), blob.Annotated(ocispec.AnnotationTitle, evil),
		content.ImageConfig(ocispec.ImageConfig{Labels: map[string]string{evil: evil}, Env: []string{evil}, Entrypoint: []string{evil}}),
		content.Annotation(evil, evil),
	)
	if err := image.Err(); err != nil {
		t.Fatal(err)
	}
	s.put("team/app:image", image)
	platform, _ := json.Marshal(map[string]string{"os": evil, "architecture": evil, "os.version": evil})
	s.put("team/app:v1", content.Raw(ocispec.MediaTypeImageIndex, fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"platform":%s},{"mediaType":"x","digest":"","size":"a"},null,7]}`,
		ocispec.MediaTypeImageIndex, image.MediaType, image.Digest, image.Size, platform)))
	s.put("team/app", content.Artifact(evil, content.Subject(image)))
	for _, raw := range []string{"[]", "null", "7", `{"layers":{"a":1},"manifests":"x","config":[],"annotations":{"a":{}}}`, "\xff\xfe", ""} {
		s.put(fmt.Sprintf("odd/app:v%d", len(raw)), content.Raw(ocispec.MediaTypeImageManifest, []byte(raw)))
	}

	s.visit(b)
	b.press("3")
	b.click("#rule")
	rule, _ := json.Marshal(evil)
	b.write("get-blob optional status=503 message=" + string(rule))
	b.press("Enter")
	b.until("document.querySelector('#faults code').textContent.includes('onerror')")
	b.click("#rule")
	b.write(evil)
	b.press("Enter")
	b.until("document.querySelector('#rule-error').textContent.includes('onerror')")
	b.shoot("hostile-faults-1280-dark")

	path := strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22", " ", "%20", "\u202e", "%E2%80%AE").Replace(evil)
	s.do("GET", "/v2/"+path, "", "User-Agent", strings.ReplaceAll(evil, "\u202e", ""))
	s.do("GET", "/v2/team/app/manifests/v1?a="+path, "", "Accept", "a/"+strings.ReplaceAll(evil, "\u202e", ""))
	s.do("GET", "/v2/team/app/blobs/"+string(blob.Digest), "")
	s.do("PUT", "/v2/team/new/manifests/v1", `{"mediaType":"`+evil+`"}`, "Content-Type", "text/html")
	req, _ := http.NewRequest("GET", s.URL+"/v2/team/app/tags/list", nil)
	req.SetBasicAuth(evil, "secret-password")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}

	b.eval("document.activeElement.blur()", nil)
	b.press("1")
	b.until("document.querySelector('#requests-foot').textContent.startsWith('5 requests')")
	for i := range 5 {
		b.eval(fmt.Sprintf("[...document.querySelectorAll('#rows .row')].find(r => r.dataset.number === '%d').click()", i+1), nil)
		b.until("document.querySelector('#detail .method')")
		if i < 4 {
			b.until("document.querySelector('#detail').textContent.includes('onerror') || document.querySelector('#detail').textContent.includes('%3Cimg')")
		}
		b.shoot(fmt.Sprintf("hostile-request-%d-1280-dark", i+1))
	}

	b.press("2")
	b.clickText("#repos", "team/app")
	b.clickText("#repos .repo[open]", "v1")
	b.until("document.querySelector('#manifest .platform').textContent.includes('onerror')")
	b.clickText("#manifest .group", "image")
	b.until("document.querySelector('#manifest .group .group')")
	b.clickText("#manifest .group", "config")
	b.until("document.querySelector('#manifest .group').textContent.includes('Entrypoint')")
	b.clickText("#manifest .group .group", "layer 1")
	b.until("document.querySelector('#manifest .filelist').textContent.includes('onerror')")
	b.clickText("#manifest .group .group", "onerror") // the layer with evil as its title
	b.until("document.querySelector('#manifest .group').textContent.includes('no tar file')")
	b.clickText("#manifest .group .node", "referrers")
	b.until("[...document.querySelectorAll('#manifest .referrers .node')].some(n => n.textContent.includes('onerror'))")
	b.shoot("hostile-content-1280-dark")
	b.clickText("#repos", "odd/app")
	for _, tag := range []string{"v0", "v1", "v2", "v4"} {
		b.clickText("#repos [data-repo='odd/app']", tag)
		b.until(fmt.Sprintf("document.querySelector('#manifest h2').textContent === 'odd/app:%s' && document.querySelector('#manifest .node[open] .facts')", tag))
	}

	if wide := b.text("[...document.querySelectorAll('#manifest, #grid, #detail, .faults, #repos')].filter(x => x.checkVisibility() && x.scrollWidth > x.clientWidth).map(x => x.id)"); wide != "" {
		t.Errorf("long names make %s wider than its place", wide)
	}

	var found struct {
		Elements []string
		Pwned    bool
		Text     string
	}
	b.eval(`({ pwned: 'pwned' in window, text: document.body.innerText,
		elements: [...document.querySelectorAll('img, script:not([src="page.mjs"]), iframe, object, embed, b b, a[href^="javascript"], a[href^="data"], [onerror], [style*="url"]')].map(x => x.localName) })`, &found)
	if found.Pwned || len(found.Elements) > 0 {
		t.Errorf("text became markup: %v; it ran as a script: %v", found.Elements, found.Pwned)
	}
	if strings.Contains(found.Text, "\u202e") {
		t.Error("the page contains a character that changes the direction of text")
	}
	if strings.Contains(found.Text, "secret-password") {
		t.Error("the page shows a password")
	}
	b.check(s)
}
