package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
)

// A journalServer is a registry with a journal, as a Server has it.
type journalServer struct {
	*httptest.Server
	Journal
	store registry.Store
}

// newJournalServer listens on a port, or, in a bubble, on a pipe.
func newJournalServer(t *testing.T, bodies int64, opts ...registry.Option) *journalServer {
	s := &journalServer{store: memstore.New()}
	opts = append([]registry.Option{registry.WithRecorder(s)}, opts...)
	s.KeepBodies(bodies)
	s.Server = httptest.NewUnstartedServer(s.Handler(registry.New(s.store, opts...)))
	var conns atomic.Int64
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return conn.WithNumber(ctx, int(conns.Add(1)))
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// do sends a request and returns the answer, with its body read.
func (s *journalServer) do(t *testing.T, method, target string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = s.URL + target
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body = io.NopCloser(bytes.NewReader(content))
	return resp
}

func (s *journalServer) put(t *testing.T, ref string, c content.Content) content.Content {
	t.Helper()
	require.NoError(t, content.Put(t.Context(), s.store, ref, c))
	return c
}

func TestRecordHasWhatWasAskedAndAnswered(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	app := s.put(t, "team/app:v1", content.Image(content.Files(map[string]string{"a": "hello"})))
	layer := app.Layers[0]
	before := time.Now()

	s.do(t, "GET", "/v2/team/app/manifests/v1", nil, "Accept", "*/*")
	s.do(t, "GET", "/v2/team/app/blobs/"+string(layer.Digest), nil, "Range", "bytes=0-9")
	s.do(t, "GET", "/v2/team/app/manifests/v2", nil)
	start := s.do(t, "POST", "/v2/team/app/blobs/uploads/", nil)
	s.do(t, "PATCH", start.Header.Get("Location"), strings.NewReader("0123"), "Content-Range", "0-3")
	s.do(t, "POST", "/v2/team/fork/blobs/uploads/?mount="+string(layer.Digest)+"&from=team/app", nil)
	s.do(t, "GET", "/nothing", nil)

	all := s.Requests()
	require.Equal(t, 7, all.Len())
	for i, r := range all.All() {
		require.Equal(t, i+1, r.Number)
		require.Equal(t, 1, r.Conn, "one client, one connection")
		require.Equal(t, "HTTP/1.1", r.Proto)
		require.False(t, r.Ongoing)
		require.False(t, r.Gone)
		require.NoError(t, r.Err)
		require.Nil(t, r.Fault)
		require.False(t, r.Start.Before(before))
		require.Positive(t, r.Duration)
		require.Equal(t, s.URL, r.URL.Scheme+"://"+r.URL.Host)
		require.Nil(t, r.RequestBody)
		require.Nil(t, r.ResponseBody)
	}

	r := all.At(0)
	require.Equal(t, registry.GetManifest, r.Op)
	require.Equal(t, "team/app", r.Repo)
	require.Equal(t, "v1", r.Tag)
	require.Equal(t, "GET", r.Method)
	require.Equal(t, "/v2/team/app/manifests/v1", r.URL.Path)
	require.Equal(t, "*/*", r.RequestHeader.Get("Accept"))
	require.Equal(t, string(app.Digest), r.ResponseHeader.Get("Docker-Content-Digest"))
	require.Equal(t, 200, r.Status)
	require.EqualValues(t, 0, r.BytesIn)
	require.Equal(t, app.Size, r.BytesOut)

	r = all.At(1)
	require.Equal(t, registry.GetBlob, r.Op)
	require.Equal(t, layer.Digest, r.Digest)
	require.Equal(t, "bytes=0-9", r.Range)
	require.Equal(t, 206, r.Status)
	require.EqualValues(t, 10, r.BytesOut)

	r = all.At(2)
	require.Equal(t, 404, r.Status)
	require.Equal(t, registry.CodeManifestUnknown, r.Errors[0].Code)

	session := start.Header.Get("Docker-Upload-Uuid")
	require.NotEmpty(t, session)
	require.Equal(t, session, all.At(3).Session, "of the request that started it")
	r = all.At(4)
	require.Equal(t, registry.PatchUpload, r.Op)
	require.Equal(t, session, r.Session)
	require.Equal(t, "0-3", r.Range)
	require.EqualValues(t, 4, r.BytesIn)
	require.EqualValues(t, 4, r.ContentLength)

	r = all.At(5)
	require.Equal(t, registry.MountBlob, r.Op)
	require.Equal(t, "team/app", r.From)
	require.Empty(t, r.Session)
	require.Equal(t, registry.UnknownOp, all.At(6).Op)
}

func TestConnectionsAreNumbered(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	for range 2 {
		s.do(t, "GET", "/v2/", nil)
		s.do(t, "GET", "/v2/", nil)
		s.Client().CloseIdleConnections()
	}
	var conns []int
	for _, r := range s.Requests().All() {
		conns = append(conns, r.Conn)
	}
	require.Equal(t, []int{1, 1, 2, 2}, conns)
}

// A client that has the whole of an answer finds its request recorded, and
// recorded as answered, however large the answer was.
func TestWhoHasTheAnswerFindsTheRecord(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	const size = 100_000
	blob := content.Random("application/octet-stream", size, 1)
	require.NoError(t, content.PutBlob(t.Context(), s.store, "app", blob))
	for i := range 300 {
		resp, err := s.Client().Get(s.URL + "/v2/app/blobs/" + string(blob.Digest))
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		resp.Body.Close()
		r := s.Requests().Last()
		require.Equal(t, i+1, r.Number)
		require.False(t, r.Ongoing)
		require.Equal(t, 200, r.Status)
		require.EqualValues(t, size, r.BytesOut)
	}
}

func TestRequestsThatAreNotAnsweredAreThere(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := newJournalServer(t, 0, registry.WithMiddleware(func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			if r.Op == registry.ListTags {
				<-release
			}
			return next(w, r)
		}
	}))
	s.put(t, "app:v1", content.Image())
	var done sync.WaitGroup
	done.Go(func() {
		resp, err := s.Client().Get(s.URL + "/v2/app/tags/list")
		if err == nil {
			resp.Body.Close()
		}
	})
	asked, err := s.Requests().Op(registry.ListTags).WaitFor(t.Context(), 1)
	require.NoError(t, err)
	s.do(t, "GET", "/v2/", nil)

	all := s.Requests()
	require.Equal(t, 2, all.Len())
	r := all.First()
	require.Equal(t, registry.ListTags, r.Op, "the order is that of arrival")
	require.True(t, r.Ongoing)
	require.Equal(t, "app", r.Repo)
	require.Zero(t, r.Status)
	require.Zero(t, all.Failed().Len(), "it has not failed yet")
	require.Contains(t, all.String(), "…")

	close(release)
	done.Wait()
	require.True(t, asked.First().Ongoing, "records do not change")
	require.True(t, all.First().Ongoing, "records do not change")
	r = s.Requests().First()
	require.False(t, r.Ongoing)
	require.Equal(t, 200, r.Status)
}

func TestRecordSaysWhenTheClientWentAway(t *testing.T) {
	t.Parallel()
	t.Run("waiting for the answer", func(t *testing.T) {
		t.Parallel()
		s := newJournalServer(t, 0, registry.WithMiddleware(func(registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				<-r.Context().Done()
				return nil
			}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "GET", s.URL+"/v2/", nil)
			_, err := s.Client().Do(r)
			require.Error(t, err)
		})
		_, err := s.Requests().WaitFor(t.Context(), 1)
		require.NoError(t, err)
		cancel()
		done.Wait()
		gone, err := s.Requests().Where(func(r *Record) bool { return r.Gone }).WaitFor(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, 1, gone.Failed().Len())
	})
	t.Run("in the middle of the body", func(t *testing.T) {
		t.Parallel()
		s := newJournalServer(t, 0)
		session := s.do(t, "POST", "/v2/app/blobs/uploads/", nil).Header.Get("Location")
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123", session)
		conn.Close()
		gone, err := s.Requests().Where(func(r *Record) bool { return r.Gone }).WaitFor(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, registry.PatchUpload, gone.First().Op)
		require.EqualValues(t, 4, gone.First().BytesIn)
	})
	t.Run("only if it was the client", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			cause error
			body  io.Reader
			gone  bool
		}{
			"nobody has":         {nil, strings.NewReader("a"), false},
			"the body ends":      {nil, iotest.ErrReader(io.ErrUnexpectedEOF), true},
			"the request ends":   {context.Canceled, strings.NewReader("a"), true},
			"the server closes":  {conn.ErrClosed, iotest.ErrReader(net.ErrClosed), false},
			"the time is over":   {context.DeadlineExceeded, strings.NewReader("a"), false},
			"the body is closed": {nil, iotest.ErrReader(http.ErrBodyReadAfterClose), false},
		} {
			var j Journal
			h := j.Handler(registry.New(memstore.New(), registry.WithRecorder(registry.RecorderFunc(j.Record))))
			ctx, cancel := context.WithCancelCause(t.Context())
			if c.cause != nil {
				cancel(c.cause)
			}
			r := httptest.NewRequestWithContext(ctx, "POST", "/v2/app/blobs/uploads/?digest="+string(digest.FromString("a")), c.body)
			r.ContentLength = 1
			h.ServeHTTP(httptest.NewRecorder(), r)
			cancel(nil)
			require.Equal(t, c.gone, j.Requests().First().Gone, name)
		}
	})
	t.Run("not when it has all", func(t *testing.T) {
		t.Parallel()
		s := newJournalServer(t, 0)
		session := s.do(t, "POST", "/v2/app/blobs/uploads/", nil).Header.Get("Location")
		s.do(t, "PATCH", session, strings.NewReader("0123"))
		s.do(t, "PATCH", session, io.MultiReader(strings.NewReader("0123"))) // of a length that is not announced
		require.EqualValues(t, -1, s.Requests().Last().ContentLength)
		require.Zero(t, s.Requests().Failed().Len())
	})
}

func TestRecordHasTheFault(t *testing.T) {
	t.Parallel()
	fault := &registry.Fault{
		Name: "overload",
		Serve: func(http.ResponseWriter, *registry.Request) error {
			return registry.Errorf(registry.CodeTooManyRequests, "later")
		},
	}
	s := newJournalServer(t, 0, registry.WithFaults(func(r *registry.Request) *registry.Fault {
		if r.Op == registry.Ping {
			return fault
		}
		return nil
	}))
	s.do(t, "GET", "/v2/", nil)
	s.do(t, "GET", "/v2/app/tags/list", nil)
	require.Equal(t, 1, s.Requests().Faulted().Len())
	r := s.Requests().First()
	require.Same(t, fault, r.Fault)
	require.Equal(t, 429, r.Status)
	require.Equal(t, "GET /v2/ 429 TOOMANYREQUESTS fault=overload", r.String())
}

func TestRecordHasTheCutConnection(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0, registry.WithFaults(func(r *registry.Request) *registry.Fault {
		return &registry.Fault{Serve: func(http.ResponseWriter, *registry.Request) error { return registry.CloseConnection }}
	}))
	_, err := s.Client().Get(s.URL + "/v2/")
	require.Error(t, err)
	r, err := s.Requests().Failed().WaitFor(t.Context(), 1)
	require.NoError(t, err)
	require.Zero(t, r.First().Status)
	require.ErrorIs(t, r.First().Err, registry.CloseConnection)
	require.Equal(t, "GET /v2/ - fault", r.First().String())
}

// Before the handler has returned, the last byte of an answer is not written,
// in whatever way the body is.
func TestNobodyHasAllBeforeTheEnd(t *testing.T) {
	t.Parallel()
	const text = "0123456789"
	for name, write := range map[string]func(w http.ResponseWriter){
		"at once":  func(w http.ResponseWriter) { io.WriteString(w, text) },
		"in parts": func(w http.ResponseWriter) { io.WriteString(w, text[:5]); io.WriteString(w, text[5:]) },
		"bytewise": func(w http.ResponseWriter) {
			for i := range text {
				io.WriteString(w, text[i:i+1])
			}
		},
		"from a reader":  func(w http.ResponseWriter) { w.(io.ReaderFrom).ReadFrom(strings.NewReader(text)) },
		"from a limited": func(w http.ResponseWriter) { io.CopyN(w, strings.NewReader(text+"more"), int64(len(text))) },
		"after a part": func(w http.ResponseWriter) {
			io.WriteString(w, text[:5])
			io.CopyN(w, strings.NewReader(text[5:]), 5)
		},
		"with empty writes": func(w http.ResponseWriter) {
			io.WriteString(w, "")
			io.WriteString(w, text)
			io.WriteString(w, "")
		},
		"after its header": func(w http.ResponseWriter) { w.WriteHeader(200); io.WriteString(w, text) },
	} {
		for _, bodies := range []int64{0, 3, 100} {
			for _, readsFrom := range []bool{false, true} {
				to := &bytesWriter{header: http.Header{}}
				h := (&Journal{bodies: bodies}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", fmt.Sprint(len(text)))
					write(w)
					require.Equal(t, text[:9], to.String(), "%s, %d, %t", name, bodies, readsFrom)
				}))
				if readsFrom {
					h.ServeHTTP(readingWriter{to}, httptest.NewRequest("GET", "/", nil))
				} else {
					h.ServeHTTP(to, httptest.NewRequest("GET", "/", nil))
				}
				require.Equal(t, text, to.String(), "%s, %d, %t", name, bodies, readsFrom)
			}
		}
	}
}

// Of an answer that was given up in the middle, nothing is written afterwards.
func TestNothingFollowsAnAbortedAnswer(t *testing.T) {
	t.Parallel()
	to := &bytesWriter{header: http.Header{}}
	h := new(Journal).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
		panic(http.ErrAbortHandler)
	}))
	require.Panics(t, func() { h.ServeHTTP(to, httptest.NewRequest("GET", "/", nil)) })
	require.Equal(t, "ab", to.String())
}

// A bytesWriter keeps the body of an answer.
type bytesWriter struct {
	bytes.Buffer
	header http.Header
}

func (w *bytesWriter) Header() http.Header { return w.header }
func (w *bytesWriter) WriteHeader(int)     {}

// ReadFrom hides the one of bytes.Buffer.
func (w *bytesWriter) ReadFrom() {}

// A readingWriter is one that a body can be read from.
type readingWriter struct{ *bytesWriter }

func (w readingWriter) ReadFrom(src io.Reader) (int64, error) { return w.Buffer.ReadFrom(src) }

// What a handler gets wrong, net/http still notices.
func TestAnswersThatAreNotAsAnnouncedAreCut(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]string{
		"too short": {"0123"}, "too long": {"0123456789"}, "too long in parts": {"01234", "5"}, "with more than one byte": {"01234", "56"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var written error
			s := httptest.NewServer(new(Journal).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "5")
				for _, part := range parts {
					_, written = io.WriteString(w, part)
				}
			})))
			defer s.Close()
			resp, err := s.Client().Get(s.URL)
			require.NoError(t, err)
			defer resp.Body.Close()
			content, err := io.ReadAll(resp.Body)
			s.Close()
			if name == "too short" {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, "0123", string(content))
			} else {
				require.ErrorIs(t, written, http.ErrContentLength)
			}
		})
	}
}

func TestJournalOfAnyHandler(t *testing.T) {
	t.Parallel()
	var j Journal
	require.Zero(t, j.Requests().Len(), "the zero Journal is ready")
	h := registry.New(memstore.New(), registry.WithRecorder(registry.RecorderFunc(j.Record)))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/_catalog", nil))
	j.Requests().CheckSequence(t, registry.Ping, registry.ListRepositories)
	require.Zero(t, j.Requests().First().Conn, "there is no connection")
}

// A journal that only hears of requests afterwards brings them into the order
// of their arrival.
func TestOrderIsThatOfArrival(t *testing.T) {
	t.Parallel()
	var j Journal
	start := time.Now()
	for _, i := range []int{2, 0, 3, 1} {
		r := &registry.Request{Request: httptest.NewRequest("GET", fmt.Sprintf("/v2/?%d", i), nil)}
		j.Record(&registry.Exchange{Request: r, Start: start.Add(time.Duration(i))})
		j.Requests()
	}
	for i, r := range j.Requests().All() {
		require.Equal(t, fmt.Sprint(i), r.URL.RawQuery)
		require.Equal(t, i+1, r.Number)
	}
}

// What a handler or a client does with headers afterwards does not reach the
// records.
func TestRecordsAreCopies(t *testing.T) {
	t.Parallel()
	var j Journal
	h := registry.New(memstore.New(), registry.WithRecorder(registry.RecorderFunc(j.Record)))
	r, w := httptest.NewRequest("GET", "/v2/?a=b", nil), httptest.NewRecorder()
	r.Header.Set("Accept", "a/b")
	h.ServeHTTP(w, r)
	r.Header.Set("Accept", "changed")
	r.URL.RawQuery = "changed"
	w.Header()["Content-Type"][0] = "changed"
	got := j.Requests().First()
	require.Equal(t, "a/b", got.RequestHeader.Get("Accept"))
	require.Equal(t, "a=b", got.URL.RawQuery)
	require.Equal(t, "application/json", got.ResponseHeader.Get("Content-Type"))
}

func TestJournalIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 10)
	app := s.put(t, "app:v1", content.Image(content.LayerSizes(20_000)))
	var clients sync.WaitGroup
	const n, each = 8, 20
	for range n {
		clients.Go(func() {
			for range each {
				resp, err := s.Client().Get(s.URL + "/v2/app/blobs/" + string(app.Layers[0].Digest))
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				all := s.Requests()
				_ = all.Op(registry.GetBlob).Sorted().String()
			}
		})
	}
	blobs, err := s.Requests().Op(registry.GetBlob).Status(200).WaitFor(t.Context(), n*each)
	require.NoError(t, err)
	clients.Wait()
	require.Equal(t, n*each, blobs.Len())
	require.Empty(t, s.open, "what was answered is forgotten but for its record")
	for i, r := range blobs.All() {
		require.Equal(t, i+1, r.Number)
	}
}

func TestBodiesAreKeptWhereAskedFor(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 10)
	content := []byte("0123456789abcdef")
	d := digest.FromBytes(content)
	s.do(t, "POST", "/v2/app/blobs/uploads/?digest="+string(d), bytes.NewReader(content))
	s.do(t, "GET", "/v2/app/blobs/"+string(d), nil)
	s.do(t, "GET", "/v2/app/blobs/"+string(d), nil, "Range", "bytes=10-15")
	s.do(t, "HEAD", "/v2/app/blobs/"+string(d), nil)
	all := s.Requests()
	require.Equal(t, "0123456789", string(all.At(0).RequestBody), "no more than was asked for")
	require.Empty(t, all.At(0).ResponseBody)
	require.Empty(t, all.At(1).RequestBody)
	require.Equal(t, "0123456789", string(all.At(1).ResponseBody))
	require.EqualValues(t, 16, all.At(1).BytesOut)
	require.Equal(t, "abcdef", string(all.At(2).ResponseBody))
	require.Empty(t, all.At(3).ResponseBody)
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newJournalServer(t, 0)
	s.do(t, "GET", "/v2/", nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrNoProgress)
	got, err := s.Requests().Op(registry.GetBlob).WaitFor(ctx, 1)
	require.Zero(t, got.Len())
	require.ErrorIs(t, err, io.ErrNoProgress)
	require.ErrorContains(t, err, "waiting for 1 requests, of which 0 have come")
	require.ErrorContains(t, err, "GET /v2/")

	got, err = s.Requests().WaitFor(ctx, 1)
	require.NoError(t, err, "what is there already needs no waiting")
	require.Equal(t, 1, got.Len())
}

func TestWaitForInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j Journal
		h := registry.New(memstore.New(), registry.WithRecorder(&j))
		go func() {
			for range 3 {
				time.Sleep(time.Minute)
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/_catalog", nil))
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
			}
		}()
		begin := time.Now()
		got, err := j.Requests().Op(registry.Ping).WaitFor(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, 2, got.Len())
		require.Equal(t, 2*time.Minute, time.Since(begin))

		// What is known only when a request is answered is waited for, too.
		slow := registry.New(memstore.New(), registry.WithRecorder(&j),
			registry.WithMiddleware(func(next registry.Handler) registry.Handler {
				return func(w http.ResponseWriter, r *registry.Request) error {
					time.Sleep(90 * time.Second)
					return next(w, r)
				}
			}))
		go slow.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/app/tags/list", nil))
		_, err = j.Requests().Status(404).WaitFor(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, 210*time.Second, time.Since(begin))
		begin = time.Now()

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = j.Requests().Op(registry.GetBlob).WaitFor(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(begin))
	})
}

// What it costs to record: of the handler alone, and of what a client sees.
func BenchmarkManifestGet(b *testing.B) {
	for _, c := range []struct {
		name string
		opts func(*Journal) []registry.Option
	}{
		{"plain", func(*Journal) []registry.Option { return nil }},
		{"journal", func(j *Journal) []registry.Option {
			return []registry.Option{registry.WithRecorder(j)}
		}},
	} {
		var j Journal
		store := memstore.New()
		require.NoError(b, content.Put(b.Context(), store, "app:v1", content.Image(content.Layers(3))))
		opts := c.opts(&j)
		h := registry.New(store, opts...)
		if opts != nil {
			h = new(Journal).Handler(h)
		}
		// A journal of a million requests is not what is measured.
		forget := func(i int) {
			if i%1000 == 0 {
				j.mu.Lock()
				j.entries = nil
				j.mu.Unlock()
			}
		}
		b.Run("handler/"+c.name, func(b *testing.B) {
			r := httptest.NewRequest("GET", "/v2/app/manifests/v1", nil)
			for _, header := range []string{"Accept", "User-Agent", "Accept-Encoding"} {
				r.Header.Set(header, "something")
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.ServeHTTP(&discardWriter{header: http.Header{}}, r)
				forget(i)
			}
		})
		b.Run("network/"+c.name, func(b *testing.B) {
			s := httptest.NewServer(h)
			defer s.Close()
			client := s.Client()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				resp, err := client.Get(s.URL + "/v2/app/manifests/v1")
				require.NoError(b, err)
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				forget(i)
			}
		})
	}
}

type discardWriter struct{ header http.Header }

func (w *discardWriter) Header() http.Header         { return w.header }
func (w *discardWriter) WriteHeader(int)             {}
func (w *discardWriter) Write(p []byte) (int, error) { return len(p), nil }
