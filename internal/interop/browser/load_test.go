package browser

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/ocireg/registry/registrytest/content"
)

// The page shows a journal of 10,000 requests, and renders only the rows in view.
// The test logs the times, which depend on the machine.
func manyRequests(t *testing.T, c *chromium) {
	s, b := c.newSite(t)
	s.put("team/app:v1", content.Image(content.Layers(1)))
	b.size(1280, 800, "light")

	for i := range 10_000 {
		r := httptest.NewRequest("GET", fmt.Sprintf("%s/v2/team/app/manifests/v%d", s.URL, 1+i%5), nil)
		r.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
		s.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}

	b.call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `
		window.longTasks = [];
		new PerformanceObserver(list => { for (const e of list.getEntries()) window.longTasks.push(e.duration); }).observe({ type: 'longtask', buffered: true });
	`}, nil)
	b.call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	start := b.cpu()
	s.visit(b)
	b.until("document.querySelector('#requests-foot').textContent.startsWith('10,000 requests')")
	loaded := b.cpu()
	var shown struct{ Ready, Rows float64 }
	b.eval(`({ ready: performance.now(), rows: document.querySelectorAll('#rows .row').length })`, &shown)
	if shown.Rows > 80 {
		t.Errorf("the page has %v rows in the document, want those in view", shown.Rows)
	}
	if n := b.text("document.querySelectorAll('#rows .row:not([hidden]) .c-n')[0].textContent"); n == "" {
		t.Error("no row is in view")
	}

	loading := b.longTasks()
	frameCount := 150
	if testing.Short() {
		frameCount = 40
	}
	before := b.cpu()
	var frames struct {
		Median, P95, Max float64
		Blank            int
	}
	b.eval(fmt.Sprintf(`new Promise(done => {
		const count = %d;
		const grid = document.getElementById('grid');
		document.getElementById('tail').checked = false;
		grid.scrollTop = 0;
		const times = [];
		let blank = 0, before = performance.now();
		const frame = now => {
			times.push(now - before);
			before = now;
			// A frame without a row near the bottom of the view is blank.
			const box = grid.getBoundingClientRect();
			if (!document.elementFromPoint(300, box.bottom - 40)?.closest('.row')) blank++;
			if (times.length < count) {
				grid.scrollTop += 260000 / count;
				requestAnimationFrame(frame);
				return;
			}
			times.sort((a, b) => a - b);
			done({ median: times[count / 2], p95: times[Math.floor(count * 0.95)], max: times.at(-1), blank });
		};
		requestAnimationFrame(now => { before = now; requestAnimationFrame(frame); });
	})`, frameCount), &frames)
	after, scrolling := b.cpu(), b.longTasks()
	if at := b.text("document.getElementById('grid').scrollTop > 240000"); at != "true" {
		t.Error("the list did not scroll to its end")
	}

	var filtering float64
	b.eval(`(() => {
		const filter = document.getElementById('filter');
		filter.value = 'tag:v3 status:404 team';
		const began = performance.now();
		filter.dispatchEvent(new Event('input'));
		document.getElementById('grid').getBoundingClientRect();
		return performance.now() - began;
	})()`, &filtering)
	b.until("document.querySelector('#requests-foot').textContent.startsWith('2,000 of 10,000')")
	t.Logf("10,000 requests, in processor time of the page's thread: %.0f ms until all are shown, %.2f ms for a frame while scrolling",
		1000*(loaded-start), 1000*(after-before)/float64(frameCount))
	t.Logf("in time that passed: shown %.0f ms after the page began to load; frames while scrolling: median %.1f ms, 95th percentile %.1f ms, longest %.1f ms, %d of %d blank at the bottom; filter %.1f ms",
		shown.Ready, frames.Median, frames.P95, frames.Max, frames.Blank, frameCount, filtering)
	t.Logf("tasks of more than 50 ms on the page's thread: while loading %s; while scrolling %s; while filtering %s", loading, scrolling, b.longTasks())
	b.shoot("many-1280-light")

	// With the button Tail, the page scrolls to the newest request as it arrives.
	b.eval(`document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'));
		document.getElementById('tail').click()`, nil)
	s.do("GET", "/v2/newest/manifests/one", "")
	b.until("[...document.querySelectorAll('#rows .row:not([hidden]) .c-target')].some(x => x.textContent === 'newest:one' && x.getBoundingClientRect().bottom <= innerHeight)")
	b.check(s)
}

// longTasks summarizes the tasks of the page, since the last call, that were long
// enough for a user to notice. The browser reports tasks of more than 50 ms.
func (b *tab) longTasks() string {
	b.t.Helper()
	var tasks struct{ N, Total, Longest float64 }
	b.eval(`new Promise(done => setTimeout(() => {
		const tasks = window.longTasks.splice(0);
		done({ n: tasks.length, total: tasks.reduce((a, b) => a + b, 0), longest: Math.max(0, ...tasks) });
	}, 100))`, &tasks)
	return fmt.Sprintf("%.0f, together %.0f ms, the longest %.0f ms", tasks.N, tasks.Total, tasks.Longest)
}

// cpu returns the CPU time that the main thread of the page used so far, in
// seconds.
func (b *tab) cpu() float64 {
	b.t.Helper()
	var r struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	b.call("Performance.getMetrics", nil, &r)
	for _, m := range r.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	b.t.Fatal("the browser does not measure tasks")
	return 0
}
