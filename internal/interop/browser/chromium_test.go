package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A chromium is a headless Chromium, driven over the DevTools protocol. The messages
// of the protocol go through two pipes, which need neither a port nor a WebSocket.
type chromium struct {
	in io.Writer

	mu      sync.Mutex
	last    int
	replies map[int]chan reply
	tabs    map[string]*tab   // the tabs by their session
	names   map[string]string // the file names of downloads that have begun, by ID

	downloaded chan string // receives the name of each finished download
}

// A tab is a tab of Chromium, driven by a test.
type tab struct {
	*chromium
	t                testing.TB
	context, session string

	// The lock mu of the chromium guards these fields.
	problems []string // messages of the console, exceptions, and violations of the content security policy
	urls     []string // the URLs of all requests
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// timeout limits the time that a test waits for the browser. It is long enough
// for a busy machine.
const timeout = time.Minute

// launch starts Chromium. It skips the test if Chromium is not installed.
func launch(t testing.TB) *chromium {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("Chromium is not in PATH; internal/interop/cmdline/install.sh installs that of Debian")
	}
	profile := t.TempDir()
	fromTest, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, toTest, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Chromium's sandbox needs namespaces and a user other than root, so it is off.
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--remote-debugging-pipe", "--user-data-dir="+profile,
		"--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", "--no-proxy-server", "about:blank")
	cmd.ExtraFiles = []*os.File{fromTest, toTest} // file descriptors 3 and 4 of the browser
	// Wait returns only after every process of the browser closed standard error.
	cmd.Stderr, cmd.WaitDelay = io.MultiWriter(io.Discard), 10*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromTest.Close()
	toTest.Close()
	b := &chromium{in: in, replies: make(map[int]chan reply), tabs: make(map[string]*tab), names: make(map[string]string), downloaded: make(chan string, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.read(out)
	}()
	t.Cleanup(func() {
		b.send("", "Browser.close", nil)
		in.Close()
		cmd.Wait()
		<-done
		out.Close()
	})
	return b
}

// open opens an empty tab, which shares no cookies or storage with the tabs of
// other tests.
func (c *chromium) open(t testing.TB) *tab {
	t.Helper()
	b := &tab{chromium: c, t: t}
	var context struct{ BrowserContextID string }
	b.call("Target.createBrowserContext", nil, &context)
	b.context = context.BrowserContextID
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": b.context}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.mu.Lock()
	b.session = attached.SessionID
	c.tabs[b.session] = b
	c.mu.Unlock()
	t.Cleanup(func() {
		<-c.send("", "Target.disposeBrowserContext", map[string]any{"browserContextId": b.context})
	})
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// run runs a subtest. Until it ends, failures of the tab's methods are
// failures of the subtest.
func (b *tab) run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		defer func(outer testing.TB) { b.t = outer }(b.t)
		b.t = t
		f(t)
	})
}

// read receives messages until the browser ends.
func (b *chromium) read(out io.Reader) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			for id, c := range b.replies {
				close(c)
				delete(b.replies, id)
			}
			b.replies = nil
			b.mu.Unlock()
			return
		}
		var m struct {
			ID        int
			SessionID string
			Method    string
			Params    struct {
				Request          struct{ URL string }
				ExceptionDetails struct {
					Text      string
					Exception struct{ Description string }
				}
				Entry struct{ Level, Text, URL string }
				Type  string
				Args  []struct{ Value any }

				GUID, SuggestedFilename, State string // the fields of a download's event
			}
			reply
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		tab := b.tabs[m.SessionID]
		switch {
		case m.ID != 0:
			if c := b.replies[m.ID]; c != nil {
				delete(b.replies, m.ID)
				c <- m.reply
			}
		case m.Method == "Browser.downloadWillBegin":
			b.names[m.Params.GUID] = m.Params.SuggestedFilename
		case m.Method == "Browser.downloadProgress" && m.Params.State == "completed":
			b.downloaded <- b.names[m.Params.GUID]
		case tab == nil:
		case m.Method == "Network.requestWillBeSent":
			tab.urls = append(tab.urls, m.Params.Request.URL)
		case m.Method == "Runtime.exceptionThrown":
			d := m.Params.ExceptionDetails
			tab.problems = append(tab.problems, d.Text+" "+d.Exception.Description)
		case m.Method == "Log.entryAdded":
			tab.problems = append(tab.problems, fmt.Sprintf("%s: %s (%s)", m.Params.Entry.Level, m.Params.Entry.Text, m.Params.Entry.URL))
		case m.Method == "Runtime.consoleAPICalled":
			tab.problems = append(tab.problems, fmt.Sprint("console.", m.Params.Type, m.Params.Args))
		}
		b.mu.Unlock()
	}
}

// send sends a message to the browser and returns the channel that receives the reply.
func (b *chromium) send(session, method string, params any) chan reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	c := make(chan reply, 1)
	if b.replies == nil {
		close(c)
		return c
	}
	b.replies[b.last] = c
	m := map[string]any{"id": b.last, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	if err != nil {
		delete(b.replies, b.last)
		close(c)
	}
	return c
}

// call sends a message to the tab and waits for the result.
func (b *tab) call(method string, params, result any) {
	b.t.Helper()
	select {
	case r, ok := <-b.send(b.session, method, params):
		switch {
		case !ok:
			b.t.Fatalf("%s: the browser ended", method)
		case r.Error != nil:
			b.t.Fatalf("%s: %s", method, r.Error.Message)
		case result != nil:
			if err := json.Unmarshal(r.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
	case <-time.After(timeout):
		b.t.Fatalf("%s: no reply within %v", method, timeout)
	}
}

// eval evaluates a JavaScript expression in the page. If the value is a promise,
// eval waits for its result.
func (b *tab) eval(expression string, result any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &r)
	if e := r.ExceptionDetails; e != nil {
		b.t.Fatalf("%s\n%s %s", expression, e.Text, e.Exception.Description)
	}
	if result != nil && r.Result.Value != nil {
		if err := json.Unmarshal(r.Result.Value, result); err != nil {
			b.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// text returns the string that a JavaScript expression evaluates to.
func (b *tab) text(expression string) (s string) {
	b.t.Helper()
	b.eval("String("+expression+")", &s)
	return s
}

// until waits until a JavaScript expression is true in the page. It fails the
// test if that takes too long.
func (b *tab) until(expression string) {
	b.t.Helper()
	var ok bool
	b.eval(fmt.Sprintf(`new Promise(done => {
		const end = performance.now() + %d;
		const look = () => {
			let ok = false;
			try { ok = !!(%s); } catch {}
			if (ok || performance.now() > end) done(ok); else setTimeout(look, 5);
		};
		look();
	})`, timeout.Milliseconds()/3, expression), &ok)
	if !ok {
		b.t.Fatalf("this did not become true: %s\nthe page has:\n%s\n%v", expression, b.text("document.body.innerText.slice(0, 3000)"), b.problems)
	}
}

// click clicks on the element that matches the CSS selector.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.clickOn("document.querySelector(" + quote(selector) + ")")
}

// clickText clicks on the button or summary that has the text. The CSS selector within
// limits the search.
func (b *tab) clickText(within, text string) {
	b.t.Helper()
	b.clickOn(fmt.Sprintf(`[...document.querySelectorAll(%s)].flatMap(x => [...x.querySelectorAll('button, summary')]).find(x => x.checkVisibility() && x.textContent.includes(%s))`, quote(within), quote(text)))
}

// clickOn clicks on an element and fails if another element covers its middle. It
// does not use mouse events, because the page may move the element at any time.
func (b *tab) clickOn(element string) {
	b.t.Helper()
	b.until(element)
	if hit := b.text(fmt.Sprintf(`(() => {
		const el = %s;
		el.scrollIntoView({ block: 'center' });
		const box = el.getBoundingClientRect();
		const hit = document.elementFromPoint(box.x + Math.min(box.width / 2, 40), box.y + box.height / 2);
		if (!hit || !el.contains(hit) && !hit.contains(el)) return false;
		el.focus();
		el.click();
		return true;
	})()`, element)); hit != "true" {
		b.t.Fatalf("another element covers %s", element)
	}
}

// press presses keys one after the other, such as "j" or "Enter".
func (b *tab) press(keys ...string) {
	b.t.Helper()
	codes := map[string]int{"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "ArrowRight": 39, "ArrowLeft": 37, "Tab": 9, "Home": 36, "End": 35, "PageDown": 34, " ": 32}
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": codes[key]}
		if len(key) == 1 {
			down["text"] = key
		} else if key == "Enter" {
			down["text"] = "\r"
		}
		b.call("Input.dispatchKeyEvent", down, nil)
		b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": codes[key]}, nil)
	}
}

// write types text into the field that has the focus.
func (b *tab) write(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

// size sets the size of the window and the color theme of the system.
func (b *tab) size(width, height int, theme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": theme}}}, nil)
	b.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))", nil)
}

// shoot writes a picture of the page to the directory in the environment variable
// SCREENSHOTS, if the variable is set.
func (b *tab) shoot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	b.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))", nil)
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o666)
	}
	if err != nil {
		b.t.Error(err)
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s) // a string always encodes
	return strings.ReplaceAll(string(text), "\u2028", `\u2028`)
}
