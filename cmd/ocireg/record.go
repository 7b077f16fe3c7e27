package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/clientfile"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/overlay"
	"github.com/ocireg/registry/registrytest/upstream"
)

// recordFlags holds the flags for recording other registries and replaying the recording.
type recordFlags struct {
	upstreams []string // values of -upstream: NAME or NAME=URL
	users     []string // values of -upstream-user: [UPSTREAM=]NAME:PASSWORD
	refresh   []string
	dir       string
	offline   bool
	strict    bool
	writes    bool

	store *upstream.Store // the store that open opened, or nil
}

func (f *recordFlags) add(fs *flag.FlagSet) {
	several := func(name, usage string, to *[]string) {
		fs.Func(name, usage, func(v string) error {
			if v == "" {
				return errors.New("the value is empty")
			}
			*to = append(*to, v)
			return nil
		})
	}
	several("upstream", "fetch what DIR of -record does not have from the registry `NAME`, such as docker.io; NAME=URL\nis a registry at another address; may be given several times; without -record,\nevery request is passed on to the registry at the URL", &f.upstreams)
	fs.StringVar(&f.dir, "record", "", "keep what clients pull from -upstream in `DIR`; ocireg DIR serves that without a network")
	fs.BoolVar(&f.offline, "offline", false, "ask no upstream: answer 404 to what is not recorded, and list it at the end")
	fs.BoolVar(&f.strict, "strict", false, "exit with 1 if clients asked for content that is not recorded")
	several("refresh", "ask once more for `TAG`, such as latest or library/alpine:latest, or all", &f.refresh)
	several("upstream-user", "log in to the upstream as `NAME:PASSWORD`, or UPSTREAM=NAME:PASSWORD to one of several\n(default the credentials of docker login)", &f.users)
	fs.BoolVar(&f.writes, "upstream-writes", false, "pass pushes and deletions on to the upstream; without it and -overlay they get 405")
}

// check returns an error if a flag lacks another one that it needs, or if flags
// contradict each other. With -record, it sets the directory that the command serves.
// Args is the number of arguments of the command.
func (f *recordFlags) check(s *settings, args int) error {
	switch {
	case f.dir != "" && args > 0:
		return errors.New("-record has the directory; leave DIR out")
	case f.dir != "":
		s.dir = f.dir
	}
	switch {
	case f.dir == "" && len(f.upstreams) > 0:
		return errors.New("-upstream needs -record DIR")
	case f.dir != "" && len(f.upstreams) == 0 && !f.offline:
		return errors.New("-record needs -upstream NAME, such as -upstream docker.io")
	case f.offline && s.dir == "":
		return errors.New("-offline needs DIR")
	case f.offline && (len(f.refresh) > 0 || f.writes):
		return errors.New("-refresh and -upstream-writes need a network; leave out -offline")
	case f.dir == "" && (len(f.refresh) > 0 || f.writes || len(f.users) > 0):
		return errors.New("-refresh, -upstream-user and -upstream-writes need -upstream and -record")
	case f.strict && s.dir == "":
		return errors.New("-strict needs DIR")
	case f.writes && (s.readOnly || s.overlay):
		return errors.New("-upstream-writes has no effect with -read-only or -overlay; leave one out")
	}
	return nil
}

// records reports whether the command fetches from upstreams the content that the
// directory lacks.
func (f *recordFlags) records() bool { return f.dir != "" && !f.offline }

// replays reports whether the command serves the directory as a recording,
// without a network.
func (f *recordFlags) replays(dir string) bool {
	if f.records() || dir == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, upstream.RecordingFile))
	return f.offline || f.strict || err == nil
}

// open opens the upstream store on top of the layouts, and adds its options to
// the settings.
func (f *recordFlags) open(s *settings, l *layout.Store) (registry.Store, error) {
	var opts []upstream.StoreOption
	if info, err := os.Stat(s.dir); err == nil && info.IsDir() {
		opts = append(opts, upstream.RecordTo(filepath.Join(s.dir, upstream.RecordingFile)))
	}
	if !f.records() {
		opts = append(opts, upstream.Offline())
	}
	if len(f.refresh) > 0 {
		opts = append(opts, upstream.Refresh(f.refresh...))
	}
	if f.writes {
		opts = append(opts, upstream.PassWrites())
	}
	logins := make(map[string]upstream.RemoteOption)
	for _, text := range f.users {
		name, login := "", text
		if before, after, ok := strings.Cut(text, "="); ok && !strings.Contains(before, ":") {
			name, login = before, after
		}
		user, password, ok := strings.Cut(login, ":")
		if !ok || user == "" || password == "" {
			return nil, errors.New("-upstream-user wants NAME:PASSWORD, or UPSTREAM=NAME:PASSWORD")
		}
		logins[name] = upstream.User(user, password)
	}
	if logins[""] != nil && len(f.upstreams) > 1 {
		return nil, errors.New("-upstream-user wants UPSTREAM=NAME:PASSWORD if there are several upstreams")
	}
	transport, err := s.upstream.transport()
	if err != nil {
		return nil, err
	}
	for _, text := range f.upstreams {
		name, address, ok := strings.Cut(text, "=")
		if u, err := url.Parse(text); !ok && err == nil && u.Host != "" {
			name, address, ok = u.Host, text, true
		}
		login := upstream.DockerConfig("")
		if own := logins[name]; own != nil {
			login = own
		} else if logins[""] != nil {
			login = logins[""]
		}
		remote := []upstream.RemoteOption{login}
		if ok {
			remote = append(remote, upstream.At(address))
		}
		if transport != nil {
			remote = append(remote, upstream.RoundTripper(transport))
		}
		opts = append(opts, upstream.Remote(name, remote...))
		delete(logins, name)
	}
	delete(logins, "")
	for name := range logins {
		return nil, fmt.Errorf("-upstream-user names %q, but there is no -upstream %[1]q", name)
	}
	store, err := upstream.Open(l, opts...)
	if err != nil {
		return nil, err
	}
	f.store = store
	if s.overlay {
		s.options = append(s.options, registry.WithMiddleware(store.Middleware))
		return overlay.New(store, memstore.New()), nil
	}
	s.options = append(s.options, store.Options()...)
	s.readOnly = !f.writes
	return store, nil
}

// snippets returns configurations that make clients use this registry, at the given
// URL, as a mirror of the upstreams. CaFile is the file of the certificate
// authority that clients must trust, or "".
func (f *recordFlags) snippets(s *settings, url, caFile string) string {
	if f.store == nil {
		return ""
	}
	certs := ""
	if caFile != "" {
		if path, err := filepath.Abs(caFile); err == nil {
			caFile = path
		}
		certs = fmt.Sprintf("ca = %q\n", caFile)
	}
	host := url[strings.Index(url, "://")+len("://"):]
	insecure := strings.HasPrefix(url, "http://")
	var b strings.Builder
	for i, name := range f.store.Upstreams() {
		location := host
		if i > 0 {
			location += "/" + name
		}
		fmt.Fprintf(&b, "containerd, /etc/containerd/certs.d/%s/hosts.toml:\n%s", name, indent(clientfile.HostsTOML(url+s.pathPrefix, certs, true, s.readOnly)))
		if s.pathPrefix != "" {
			continue // The configurations of other clients have no place for a path.
		}
		fmt.Fprintf(&b, "Podman, registries.conf:\n%s", indent(clientfile.RegistryTable(name, location, insecure)))
		if text, err := clientfile.DaemonJSON(url, name); i == 0 && err == nil {
			fmt.Fprintf(&b, "Docker, daemon.json, for pulls:\n%s", indent(text))
		}
	}
	return b.String()
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}

// errNotRecorded is the error of a command with -strict whose clients requested
// content that is not in the recording. The exit code is 1.
var errNotRecorded = errors.New("clients asked for content that is not recorded")

// end closes the store, and prints the requests for content that is not in the recording.
func (f *recordFlags) end(stderr io.Writer) error {
	if f.store == nil {
		return nil
	}
	missed := f.store.Missed()
	for _, name := range missed {
		fmt.Fprintln(stderr, "not recorded: "+field.Printable(name))
	}
	err := f.store.Close()
	if err == nil && f.strict && len(missed) > 0 {
		err = errNotRecorded
	}
	return err
}
