package registry_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/memstore"
)

// A suffixer is a writer that writes a text when it is closed. If it is chained,
// it also closes the writer that it writes to.
type suffixer struct {
	io.Writer
	text    string
	chained bool
}

func (s suffixer) Close() error {
	if _, err := io.WriteString(s.Writer, s.text); err != nil {
		return err
	}
	if c, ok := s.Writer.(io.Closer); ok && s.chained {
		return c.Close()
	}
	return nil
}

// The faults of several options combine. The fault of the first option takes
// effect last.
func TestFaultsCombine(t *testing.T) {
	t.Parallel()
	header := func(status int, value string) func(int, http.Header) int {
		return func(_ int, h http.Header) int {
			h.Set("X-Last", value)
			h.Add("X-All", value)
			h.Del("Content-Length")
			return status
		}
	}
	body := func(text string, chained bool) func(io.Writer, int64) io.Writer {
		return func(w io.Writer, _ int64) io.Writer { return suffixer{w, text, chained} }
	}
	before := func(value string) func(*registry.Request) error {
		return func(r *registry.Request) error {
			r.Header.Set("X-Last", value)
			return nil
		}
	}
	failing := func(*registry.Request) error { return errors.New("before") }
	serve := func(text string) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			_, err := io.WriteString(w, text+r.Header.Get("X-Last"))
			return err
		}
	}
	for name, test := range map[string]struct {
		faults []*registry.Fault
		status int
		last   string
		body   string
		fault  string // the name of the recorded fault
	}{
		"none":        {[]*registry.Fault{nil, nil}, 200, "", "{}", ""},
		"the first":   {[]*registry.Fault{{Name: "a", Header: header(201, "a")}, nil}, 201, "a", "{}", "a"},
		"the last":    {[]*registry.Fault{nil, {Name: "b", Header: header(202, "b")}}, 202, "b", "{}", "b"},
		"both":        {[]*registry.Fault{{Name: "a", Header: header(201, "a")}, {Name: "b", Header: header(202, "b")}}, 201, "a", "{}", "b; a"},
		"a semicolon": {[]*registry.Fault{{Name: "a;", Header: header(201, "a")}, {Name: "b", Header: header(202, "b")}}, 201, "a", "{}", "b; a;"},
		"different":   {[]*registry.Fault{{Header: header(201, "a")}, {Name: "b", Body: body("+b", false)}}, 201, "a", "{}+b", "b"},
		"bodies": {[]*registry.Fault{{Header: header(200, "a"), Body: body("+a", false)}, {Body: body("+b", false)}},
			200, "a", "{}+b+a", ""},
		"bodies that close each other": {[]*registry.Fault{{Header: header(200, "a"), Body: body("+a", true)}, {Body: body("+b", true)}, {Body: body("+c", false)}},
			200, "a", "{}+c+b+a", ""},
		"the second responds": {[]*registry.Fault{{Name: "a", Before: before("a")}, {Name: "b", Before: before("b"), Serve: serve("b")}},
			200, "", "ba", "b; a"},
		"the first responds": {[]*registry.Fault{{Name: "a", Serve: serve("a")}, {Name: "b", Header: header(502, "b"), Body: body("+b", false)}},
			502, "b", "a+b", "b; a"},
		"both respond": {[]*registry.Fault{{Name: "a", Serve: serve("a")}, {Name: "b", Before: before("b"), Serve: serve("b"), AfterCommit: true}},
			200, "", "ab", "b; a"},
		"the first responds after the commit": {[]*registry.Fault{{AfterCommit: true, Serve: serve("a")}, {Serve: serve("b")}, {Name: "c", AfterCommit: true}},
			200, "", "a", "c"},
		"the first responds, the second fails": {[]*registry.Fault{{Name: "a", Serve: serve("a")}, {Name: "b", Before: failing}},
			500, "", `{"errors":[{"code":"UNKNOWN","message":"before"}]}`, "b; a"},
		"an error before": {[]*registry.Fault{{Header: header(503, "a"), Before: before("a")}, {Before: failing}},
			503, "a", `{"errors":[{"code":"UNKNOWN","message":"before"}]}`, ""},
	} {
		var opts []registry.Option
		for _, f := range test.faults {
			opts = append(opts, registry.WithFaults(func(*registry.Request) *registry.Fault { return f }))
		}
		var recorded *registry.Fault
		opts = append(opts, registry.WithRecorder(registry.RecorderFunc(func(x *registry.Exchange) { recorded = x.Fault })))
		w := httptest.NewRecorder()
		registry.New(memstore.New(), opts...).ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
		require.Equal(t, test.status, w.Code, name)
		require.Equal(t, test.last, w.Header().Get("X-Last"), name)
		require.Equal(t, test.body, w.Body.String(), name)
		if recorded != nil {
			require.Equal(t, test.fault, recorded.Name, name)
		} else {
			require.Empty(t, test.fault, name)
		}
	}
}

// If several faults have a Wire, that of the first option is closest to the
// connection.
func TestFaultsCombineOnTheWire(t *testing.T) {
	t.Parallel()
	var order []string
	wire := func(name string) func(io.Writer) io.Writer {
		return func(w io.Writer) io.Writer {
			return writerFunc(func(p []byte) (int, error) {
				order = append(order, name)
				return w.Write(p)
			})
		}
	}
	inject := func(f *registry.Fault) registry.Option {
		return registry.WithFaults(func(*registry.Request) *registry.Fault { return f })
	}
	h := registry.New(memstore.New(), inject(&registry.Fault{Wire: wire("a")}), inject(&registry.Fault{Wire: wire("b")}), inject(&registry.Fault{LoseUpload: true}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	require.Equal(t, []string{"b", "a"}, order)
	require.True(t, bytes.Equal([]byte("{}"), w.Body.Bytes()))
}

// LastHeader is called after the Header of all faults. Body gets the Content-Length
// that the header had before the first LastHeader.
func TestLastHeader(t *testing.T) {
	t.Parallel()
	var calls []string
	var opts []registry.Option
	for _, name := range []string{"a", "b"} {
		opts = append(opts, registry.WithFaults(func(*registry.Request) *registry.Fault {
			return &registry.Fault{
				Header: func(status int, h http.Header) int {
					calls = append(calls, "header "+name)
					return status
				},
				LastHeader: func(h http.Header) error {
					calls = append(calls, "before header "+name)
					h.Set("Content-Length", h.Get("Content-Length")+"0")
					return nil
				},
				Body: func(w io.Writer, size int64) io.Writer {
					calls = append(calls, fmt.Sprintf("body %s of %d", name, size))
					return w
				},
			}
		}))
	}
	serve := func(opts ...registry.Option) (w *httptest.ResponseRecorder, x *registry.Exchange) {
		defer func() { recover() }()
		w = httptest.NewRecorder()
		opts = append(opts, registry.WithRecorder(registry.RecorderFunc(func(exchange *registry.Exchange) { x = exchange })))
		registry.New(memstore.New(), opts...).ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
		return w, x
	}
	w, _ := serve(opts...)
	require.Equal(t, "200", w.Header().Get("Content-Length"))
	require.Equal(t, "{}", w.Body.String())
	require.Equal(t, []string{"header b", "header a", "before header b", "before header a", "body a of 2", "body b of 2"}, calls)

	calls = nil
	end := &registry.Fault{LastHeader: func(http.Header) error { return registry.ResetConnection }}
	w, x := serve(opts[0], registry.WithFaults(func(*registry.Request) *registry.Fault { return end }), opts[1])
	require.Empty(t, w.Body.String())
	require.ErrorIs(t, x.Err, registry.ResetConnection)
	require.Zero(t, x.Status)
	require.Equal(t, []string{"header b", "header a", "before header b"}, calls)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// FaultResponds tells each injector whether the fault of an earlier injector
// responds to the request.
func TestFaultResponds(t *testing.T) {
	t.Parallel()
	var got []bool
	inject := func(f *registry.Fault) registry.Option {
		return registry.WithFaults(func(r *registry.Request) *registry.Fault {
			got = append(got, r.FaultResponds())
			return f
		})
	}
	serve := func(http.ResponseWriter, *registry.Request) error { return nil }
	for _, responding := range []*registry.Fault{{Serve: serve}, {AfterCommit: true, Serve: serve}} {
		got = nil
		h := registry.New(memstore.New(), inject(nil), inject(&registry.Fault{LoseUpload: true}), inject(responding), inject(nil), inject(&registry.Fault{}), inject(nil))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v2/", nil))
		require.Equal(t, []bool{false, false, false, true, true, true}, got)
	}
	require.False(t, new(registry.Request).FaultResponds())
}

// With Duplicate, the registry carries out the operation twice, and the client
// gets the second response.
func TestFaultDuplicate(t *testing.T) {
	store := memstore.New()
	duplicate := false
	h := registry.New(store, registry.WithFaults(func(*registry.Request) *registry.Fault {
		return &registry.Fault{Duplicate: duplicate}
	}))
	do := func(method, target, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	start := func() string { return do("POST", "/v2/app/blobs/uploads/", "").Header().Get("Location") }

	stream, chunks := start(), start()
	duplicate = true
	w := do("PATCH", stream, "0123456789")
	require.Equal(t, 202, w.Code)
	require.Equal(t, "0-19", w.Header().Get("Range"), "the stream was added twice")
	w = do("PATCH", chunks, "0123456789", "Content-Range", "0-9")
	require.Equal(t, 416, w.Code)
	require.Equal(t, []string{"0-9"}, w.Header().Values("Range"))
	w = do("PUT", chunks+"?digest="+digest.FromString("0123456789").String(), "")
	require.Equal(t, 404, w.Code, "the session ended with the first request")
	_, err := store.StatBlob(t.Context(), "app", digest.FromString("0123456789"))
	require.NoError(t, err)
	w = do("DELETE", "/v2/app/blobs/"+digest.FromString("0123456789").String(), "")
	require.Equal(t, 404, w.Code)
}

// If only one of two faults has a field, Over keeps that field. Otherwise, the
// field would be lost whenever both faults hit the same request.
func TestOverKeepsEachField(t *testing.T) {
	t.Parallel()
	all := reflect.ValueOf(&registry.Fault{
		Name: "a", Quirk: true, LoseUpload: true, Duplicate: true, AfterCommit: true,
		Before:     func(*registry.Request) error { return nil },
		Serve:      func(http.ResponseWriter, *registry.Request) error { return nil },
		Header:     func(status int, _ http.Header) int { return status },
		LastHeader: func(http.Header) error { return nil },
		Body:       func(w io.Writer, _ int64) io.Writer { return w },
		Wire:       func(w io.Writer) io.Writer { return w },
	}).Elem()
	for i := range all.NumField() {
		field := all.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		require.False(t, all.Field(i).IsZero(), "set %s above", field.Name)
		one, other := new(registry.Fault), new(registry.Fault)
		reflect.ValueOf(one).Elem().Field(i).Set(all.Field(i))
		if field.Name == "Quirk" { // Over takes it from the fault that responds.
			one.Serve = all.FieldByName("Serve").Interface().(registry.Handler)
		}
		for _, both := range []*registry.Fault{one.Over(other), other.Over(one)} {
			require.False(t, reflect.ValueOf(both).Elem().Field(i).IsZero(), field.Name)
		}
	}
}
