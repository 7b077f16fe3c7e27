// Ocireg serves an OCI registry on this machine: an empty one in memory, or the
// content of a directory of OCI image layouts or of an archive.
//
//	go run ./cmd/ocireg -h
//
// prints how it is used.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/control"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // the next signal ends the program at once
		cancel()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command: it serves until ctx is done and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 2 && args[0] == "help" && (args[1] == "check" || args[1] == "diff") {
		args = []string{args[1], "-h"}
	}
	var err error
	switch {
	case len(args) > 0 && args[0] == "help":
		err = help(args[1:], stdout)
	case len(args) > 0 && args[0] == "profiles":
		err = listProfiles(args[1:], stdout)
	case len(args) > 0 && args[0] == "diff":
		err = diff(ctx, args[1:], stdout)
	case len(args) > 0 && args[0] == "check":
		err = checkClient(ctx, args[1:], stdout)
	default:
		err = serve(ctx, args, stdout, stderr)
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errDiffers), errors.Is(err, errViolates), errors.Is(err, errNotRecorded):
		return 1
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		// A signal ended the command before it served.
		return 0
	}
	printError(stderr, err)
	return 2
}

// printError prints an error, which may have several lines, such as the output of
// a command. Each line is a separate error and begins with the name of the
// program, but an indented line belongs to the one before. Unprintable characters
// are replaced, because a text from elsewhere must not control the terminal.
func printError(w io.Writer, err error) {
	for line := range strings.Lines(field.Shorten(err.Error(), maxError)) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, " \t")
		if line != text {
			fmt.Fprintln(w, "    "+field.Printable(text))
		} else if text != "" {
			fmt.Fprintln(w, "ocireg: "+field.Printable(text))
		}
	}
}

// maxError is the greatest number of bytes of an error that printError prints.
const maxError = 64 << 10

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	s, err := parse(args, stdout)
	if err != nil {
		return err
	}
	logger, logRequests := s.newLog(stderr)
	store, closeStore, err := s.openStore(logger)
	if err != nil {
		return err
	}
	defer closeStore()
	defer func() {
		if endErr := s.record.end(stderr); err == nil {
			err = endErr
		}
	}()
	listener, err := listen("-addr", s.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := s.removeReady(); err != nil {
		return err
	}

	opts := []registrytest.Option{
		registrytest.WithStore(store),
		registrytest.WithListener(listener),
		s.guard(listener),
		registry.Options(append(s.options, logRequests)...),
		registrytest.WithHTTPServer(func(server *http.Server) {
			setTimes(server)
			server.ErrorLog = logger
		}),
	}
	b := banner{scheme: "http", host: hostOf(listener, s.addr), source: s.source(), readOnly: s.readOnly, login: s.login, mustCreate: s.mustCreate, created: s.created}
	if s.tls {
		certs, err := s.makeCertificates()
		if err != nil {
			return err
		}
		defer certs.remove()
		b.scheme, b.caFile = "https", certs.caFile
		opts = append(opts, registrytest.WithTLS(), registrytest.WithHTTPServer(func(server *http.Server) {
			server.TLSConfig = certs.config
		}))
	}
	var c *controller
	if s.control != "" {
		config := control.Config{URL: b.scheme + "://" + b.host}
		if b.caFile != "" {
			text, err := os.ReadFile(b.caFile)
			if err != nil {
				return err
			}
			config.CA = string(text)
		}
		if c, err = s.newController(ctx, config, logger); err != nil {
			return err
		}
		defer c.close()
	}
	b.control = c.line()
	// Clients can connect already, and wait until the servers start.
	listed := store
	if s.record.store != nil {
		listed = s.layouts // Listing must not send requests to an upstream.
	}
	b.snippets = s.record.snippets(s, b.scheme+"://"+b.host, b.caFile)
	if s.upstream.url != "" {
		b.elsewhere = true
	} else if err := b.list(ctx, listed, s.layouts, logger); err != nil {
		return err
	}
	server, err := registrytest.StartServer(append(opts, c.options()...)...)
	if err != nil {
		return err
	}
	defer server.Close()
	c.serve(server)
	remove, err := s.writeReady(b.scheme+"://"+b.host, b.caFile, c)
	if err != nil {
		return err
	}
	defer remove()
	b.print(stdout)
	<-ctx.Done()
	c.close()
	return shutDown(context.WithoutCancel(ctx), server, logger)
}

// shutDown waits until all running requests have a response. If that takes
// noticeably long, it logs a line.
func shutDown(ctx context.Context, server *registrytest.Server, logger *log.Logger) error {
	soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	err := server.Shutdown(soon)
	if errors.Is(err, context.DeadlineExceeded) {
		logger.Print("finishing the running requests; interrupt again to exit at once")
		err = server.Shutdown(ctx)
	}
	if err != nil {
		return fmt.Errorf("shutting down: %w", err)
	}
	return nil
}

// listen listens on the address of a flag, on loopback if the address has no host.
func listen(flag, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%s %q is not HOST:PORT or :PORT", flag, addr)
	}
	if host == "" {
		host = loopback
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if errors.Is(err, conn.InUse) {
		err = fmt.Errorf("%w; %s :0 takes a free port", err, flag)
	}
	return listener, err
}

const loopback = "127.0.0.1"

// hostOf returns the HOST:PORT by which clients on this machine reach the listener. The
// host is the host in addr. If clients cannot dial that, it is a loopback address.
func hostOf(listener net.Listener, addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = loopback
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port)
}
