package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
)

// These are the times after which the command closes a connection. The transfer
// of a blob may take any time while its bytes keep moving.
const (
	headerTime = time.Minute     // the time for the header of a request
	bodyTime   = time.Minute     // the time for the next byte of a request's body, or the next 256 KiB of a response's
	idleTime   = 3 * time.Minute // the time without a request: more than the 90 seconds of Go's clients
)

// setTimes sets the times for headers and idle connections of a server.
func setTimes(server *http.Server) {
	server.ReadHeaderTimeout = headerTime
	server.IdleTimeout = idleTime
}

// guard returns the options that refuse requests of web pages and end
// stalled connections.
func (s *settings) guard(listener net.Listener) registry.Option {
	opts := []registry.Option{registry.WithMiddleware(limitStalls(bodyTime))}
	if !s.crossOrigin {
		opts = append(opts, registry.Without(registry.CrossOrigin))
	}
	if a, ok := listener.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		opts = append(opts, registry.WithMiddleware(s.checkHost))
	}
	return registry.Options(opts...)
}

// checkHost refuses requests whose host is not this registry. Without the check,
// a web page of evil.example could read a registry on loopback as its own host,
// once that name resolves to 127.0.0.1 (DNS rebinding).
func (s *settings) checkHost(next registry.Handler) registry.Handler {
	return func(w http.ResponseWriter, r *registry.Request) error {
		if !s.knows(r.Host) {
			return registry.Errorf(registry.CodeDenied, "%.200q is no name of this registry; ocireg -host NAME gives it one", r.Host)
		}
		return next(w, r)
	}
}

// hostsOfContainers are the names by which containers of Docker and Podman reach
// the loopback addresses of their host. A web page cannot use them, because no
// public name ends in .internal.
var hostsOfContainers = []string{"host.docker.internal", "host.containers.internal"}

// knows reports whether a registry on loopback accepts the Host of a request. It
// accepts an empty Host, the names of this machine, hostsOfContainers, the names in the
// settings, and any IP address: a web page that attacks by DNS needs a name.
func (s *settings) knows(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	configured, _, _ := net.SplitHostPort(s.addr)
	return host == "" || net.ParseIP(host) != nil || names.Loopback(host) || slices.Contains(hostsOfContainers, host) ||
		strings.EqualFold(host, configured) || slices.Contains(s.hosts, host)
}

// addHost adds a value of -host to the names of the registry.
func (s *settings) addHost(v string) error {
	if v == "" || strings.ContainsAny(v, ":/ ") {
		return errors.New("want a host without a scheme and a port, such as registry.test")
	}
	s.hosts = append(s.hosts, strings.ToLower(strings.TrimSuffix(v, ".")))
	return nil
}

// limitStalls returns a middleware that closes a connection if, for the time d, no
// byte of the request's body arrives, or no piece of the response's body leaves.
func limitStalls(d time.Duration) func(registry.Handler) registry.Handler {
	return func(next registry.Handler) registry.Handler {
		return func(w http.ResponseWriter, r *registry.Request) error {
			// The errors of c are ignored: a ResponseWriter without a connection, as
			// in tests, has no deadlines.
			c := http.NewResponseController(w)
			body := &limitedBody{ReadCloser: r.Body, conn: c, d: d, ended: r.ContentLength == 0}
			hr := *r.Request
			hr.Body = body
			r.Request = &hr
			defer func() {
				// After the handler, net/http reads the rest of a short body,
				// sends the rest of the response, and removes the deadlines.
				if !body.ended {
					c.SetReadDeadline(time.Now().Add(d))
				}
				c.SetWriteDeadline(time.Now().Add(d))
			}()
			return next(&limitedWriter{w, c, d, body}, r)
		}
	}
}

// A limitedBody is a request's body that sets a deadline for each Read.
type limitedBody struct {
	io.ReadCloser
	conn  *http.ResponseController
	d     time.Duration
	ended bool
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.ended {
		return b.ReadCloser.Read(p)
	}
	b.conn.SetReadDeadline(time.Now().Add(b.d))
	n, err := b.ReadCloser.Read(p)
	b.ended = err != nil
	if err == nil || err == io.EOF {
		// After the end of the body, net/http keeps reading to notice that the
		// client goes away. After an error other than EOF, it waits for the rest
		// of the body, so the deadline stays.
		b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// pieceSize is the number of bytes of a response that a client has to take
// before each deadline.
const pieceSize = 256 << 10

// A limitedWriter is a ResponseWriter that sets a deadline for each piece of
// the response's body.
type limitedWriter struct {
	http.ResponseWriter
	conn *http.ResponseController
	d    time.Duration
	body *limitedBody
}

// limit sets the deadlines for a piece. Net/http may read the rest of a short
// request body before it sends the header of the response.
func (w *limitedWriter) limit() {
	if !w.body.ended {
		w.conn.SetReadDeadline(time.Now().Add(w.d))
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.d))
}

func (w *limitedWriter) Write(p []byte) (n int, err error) {
	for {
		w.limit()
		m, err := w.ResponseWriter.Write(p[:min(len(p), pieceSize)])
		n += m
		if p = p[m:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// ReadFrom writes the pieces of a file in a way that lets the operating system send
// them (sendfile). That works only with a single [io.LimitedReader] around the file.
func (w *limitedWriter) ReadFrom(src io.Reader) (n int64, err error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	for limited.N > 0 {
		w.limit()
		piece := &io.LimitedReader{R: limited.R, N: min(limited.N, pieceSize)}
		m, err := io.Copy(w.ResponseWriter, piece)
		n += m
		limited.N -= m
		if err != nil || piece.N > 0 {
			return n, err
		}
	}
	return n, nil
}

// Flush implements [http.Flusher].
func (w *limitedWriter) Flush() { w.conn.Flush() }

// Unwrap returns the underlying ResponseWriter, for [http.ResponseController].
func (w *limitedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
