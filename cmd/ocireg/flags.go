package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/flatpak"
	"github.com/ocireg/registry/registrytest/inject"
)

// settings holds the values of the command line.
type settings struct {
	dir        string // the directory or archive, or "" for a registry in memory
	repository string
	tag        string
	readOnly   bool
	overlay    bool
	layouts    *layout.Store // the store that openStore opened, or nil
	record     recordFlags

	referrersTags bool
	sync          bool

	upstream upstreamFlags

	control     string // the address of the control API, or ""
	readyFile   string
	faults      []string // the rules of -fault, if the control API manages them
	profile     string
	mustCreate  bool     // a push does not create its repository
	created     []string // the patterns of -create
	addr        string
	hosts       []string // further names of a registry on loopback
	crossOrigin bool
	pathPrefix  string
	tls         bool
	tlsDir      string
	log         string
	quiet       bool
	auth        *auth.Auth       // the authentication of clients, or nil
	login       auth.Credentials // the user that the banner names: the one of the profile, or none
	options     []registry.Option
}

// parse reads the command line and the environment. If args ask for help or the
// version, parse writes it to out and returns [flag.ErrHelp].
func parse(args []string, out io.Writer) (*settings, error) {
	s := &settings{log: "text"}
	fs := flag.NewFlagSet("ocireg", flag.ContinueOnError)
	fs.SetOutput(io.Discard)

	fs.StringVar(&s.addr, "addr", loopback+":5000", "listen on `HOST:PORT`; without HOST on "+loopback+", on all interfaces if HOST is 0.0.0.0;\nPORT 0 takes a free port")
	fs.StringVar(&s.control, "control", "", "serve the API that controls the registry on `HOST:PORT`, as for -addr, or unix:PATH;\ndocs/control.md describes it; "+tokenVariable+" sets its token")
	fs.StringVar(&s.readyFile, "ready-file", "", "when ready, write the URLs, the token of -control and the user of -profile to `FILE`, as JSON")
	fs.Func("host", "accept requests for the host `NAME`, such as one in /etc/hosts; a registry on loopback refuses\nother names, except localhost and the HOST of -addr; may be given several times", s.addHost)
	fs.BoolVar(&s.crossOrigin, "cross-origin", false, "accept requests of web pages of other hosts")
	fs.StringVar(&s.repository, "repository", "", "if DIR is one layout: the `NAME` of the repository of its tags that have no repository,\nand of that of -tag (default the name of DIR)")
	s.upstream.add(fs)
	fs.BoolVar(&s.overlay, "overlay", false, "leave DIR or FILE as it is: keep pushes and deletions in memory, until the command ends")
	fs.StringVar(&s.tag, "tag", "", "give `TAG` to the image of each layout if it is the only one there and has no tag")
	fs.BoolVar(&s.referrersTags, "referrers-tags", false, "keep the tags of referrers in layouts, for tools that do not find referrers otherwise")
	fs.BoolVar(&s.sync, "sync", false, "write pushes through to the disk before answering, to survive power failures; this is slow")
	fs.BoolVar(&s.tls, "tls", false, "serve HTTPS with a new certificate for localhost, 127.0.0.1, ::1 and the host of -addr")
	fs.StringVar(&s.tlsDir, "tls-dir", "", "write the certificates to `DIR`; clients have to trust ca.crt there; implies -tls\n(default a temporary directory)")
	fs.BoolVar(&s.quiet, "quiet", false, "log no requests")
	fs.Func("log", "log requests as `text` or json (default text)", func(v string) error {
		if v != "text" && v != "json" {
			return errors.New("want text or json")
		}
		s.log = v
		return nil
	})

	type choice struct {
		on     *bool
		option registry.Option
	}
	var choices []choice
	toggle := func(name, usage string, option registry.Option) *bool {
		on := fs.Bool(name, false, usage)
		choices = append(choices, choice{on, option})
		return on
	}
	values := make(map[string]registry.Option) // the option of each flag; its last value counts
	value := func(name, usage string, option func(string) (registry.Option, error)) {
		fs.Func(name, usage, func(v string) (err error) {
			values[name], err = option(v)
			return err
		})
	}
	number := func(name, usage string, option func(int64) registry.Option) {
		value(name, usage, func(v string) (registry.Option, error) {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 1 {
				return nil, errors.New("want a whole number above 0")
			}
			return option(n), nil
		})
	}
	readOnly := toggle("read-only", "answer 405 to every write", registry.WithReadOnly())
	toggle("no-delete", "answer 405 to the deletion of tags, manifests and blobs",
		registry.Without(registry.DeleteTag, registry.DeleteManifest, registry.DeleteBlob))
	toggle("no-referrers", "answer 404 to the referrers API", registry.Without(registry.ListReferrers))
	toggle("no-catalog", "answer 404 to the catalog of repositories", registry.Without(registry.ListRepositories))
	toggle("no-mount", "answer a mount with an upload session", registry.Without(registry.MountBlob))
	toggle("no-anonymous-mount", "answer a mount without the repository to mount from with an upload session", registry.Without(registry.AnonymousMount))
	toggle("no-single-post", "answer a blob in a single POST with an upload session", registry.Without(registry.PostBlob))
	someRepositories := func(name, usage string, option func(...string) registry.Option) {
		fs.BoolFunc(name, usage, func(v string) error {
			switch v {
			case "":
				return errors.New("want a pattern, such as junk/**, or no value for all repositories")
			case "true":
				s.options = append(s.options, option())
			case "false":
			default:
				s.options = append(s.options, option(v))
			}
			return nil
		})
	}
	someRepositories("sparse", "accept manifests whose blobs or children are missing; -sparse=PATTERN in some repositories,\nsuch as -sparse=junk/**; may be given several times", registry.WithSparseManifests)
	someRepositories("any-manifest", "accept any bytes as a manifest; -any-manifest=PATTERN in some repositories; may be given\nseveral times", registry.WithAnyManifest)
	toggle("no-schema-version", "accept image manifests and indexes without schemaVersion", registry.Without(registry.SchemaVersion))
	toggle("shared-blobs", "find a blob in every repository, not only where it was pushed", registry.Without(registry.BlobIsolation))
	toggle("absolute-locations", "send Location and Link with the host", registry.Without(registry.RelativeLocations))
	toggle("flatpak", "serve the index of images that remotes of Flatpak need, at /index/static", flatpak.Index())
	number("manifest-limit", "accept manifests of up to this many `bytes` (default 4194304)", registry.WithManifestLimit)
	number("page-size", "list up to `N` tags, repositories or referrers in a response (default no limit)", func(n int64) registry.Option {
		return registry.WithPageSize(int(min(n, math.MaxInt)))
	})
	number("min-chunk", "refuse chunks of fewer `bytes`, except for the last of a blob (default any size)", registry.WithMinChunk)
	value("upload-expiry", "forget upload sessions that are idle for this `duration` (default 1h)", func(v string) (registry.Option, error) {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return nil, errors.New("want a duration above 0, such as 90s")
		}
		return registry.WithUploadExpiry(d), nil
	})
	number("upload-limit", "answer 429 if there are `N` open upload sessions (default no limit)", func(n int64) registry.Option {
		return registry.WithUploadLimit(int(min(n, math.MaxInt)))
	})
	number("storage-limit", "answer 507 to pushes beyond this many `bytes`; deletions make room (default no limit)", registry.WithStorageLimit)
	warnings := 0
	fs.Func("warning", "send the `text` as a Warning with every response; may be given several times", func(v string) error {
		warnings += len(`299 - ""`) + len(v) + strings.Count(v, `"`) + strings.Count(v, `\`)
		if warnings > 4096 {
			return errors.New("the Warning headers together have more than 4096 bytes, each with 8 bytes around its text")
		}
		s.options = append(s.options, registry.WithWarnings(v))
		return nil
	})
	value("path-prefix", "serve the API under a `PATH`, such as /registry for /registry/v2/", func(v string) (registry.Option, error) {
		if !strings.HasPrefix(v, "/") || path.Clean(v) != v || v == "/" {
			return nil, errors.New("want a path that begins with a slash and does not end with one, such as /registry")
		}
		s.pathPrefix = v
		return registry.WithPathPrefix(v), nil
	})

	var who access
	fs.Func("user", "require Basic authentication; the user `NAME:PASSWORD` may do everything, or only the\nactions that -allow gives it; may be given several times", who.addUser)
	fs.BoolVar(&who.token, "token", false, "require tokens, which users get at /token, instead of Basic authentication")
	fs.Func("allow", "allow actions, such as `'anonymous pull public/**'`: a user, \"anonymous\" or * for all;\npull, push, delete, list or *; a pattern of repositories; may be given several times", who.addRule)
	var like imitation
	fs.Func("profile", "behave like the registry `NAME`, its authentication included; \"ocireg profiles\" lists the names,\nNAME@2026-08 is the registry as of a month; the banner names a user, unless -user adds one", like.setName)
	fs.Func("quirk", "have the quirk `NAME` of a real registry, such as ecr.patch-201, besides those of -profile;\n\"ocireg help profiles\" lists the names; with commas between several, or given several times", like.addQuirks)
	fs.Func("create", "create the repositories that match the `PATTERN`, such as team/**, for a -profile such as ecr,\nwhose repositories have to exist before a push; may be given several times", like.addRepository)
	var faults inject.Rules
	var texts []string
	fs.Func("fault", "inject a fault, such as `'get-blob repo=team/* times=2 status=503 retry-after=1'`;\ndocs/faults.md has the rules; may be given several times", func(v string) error {
		texts = append(texts, v)
		return addFault(&faults, v)
	})

	s.record.add(fs)
	asksVersion := fs.Bool(versionFlag, false, "print the version, that of Go and the platform, and exit")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		writeHelp(out, fs)
		return nil, err
	case err == nil && *asksVersion:
		info, _ := debug.ReadBuildInfo()
		fmt.Fprintln(out, version(release, info))
		return nil, flag.ErrHelp
	case err == nil:
		err = setFromEnvironment(fs)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; ocireg -h lists the flags", err)
	}
	s.options = slices.AppendSeq(s.options, maps.Values(values))
	for _, c := range choices {
		if *c.on {
			s.options = append(s.options, c.option)
		}
	}
	if s.control != "" {
		s.faults = texts
	} else {
		s.options = append(s.options, registry.WithFaults(faults.Inject))
	}
	who.later, s.profile = s.control != "", like.name
	if like.given() {
		err = s.addProfile(like, &who)
	} else if len(like.repositories) > 0 {
		err = errors.New("-create needs -profile or -quirk: without one, a push creates its repository")
	} else {
		err = s.addUsers(&who)
	}
	if err != nil {
		return nil, err
	}
	s.readOnly = *readOnly
	s.tls = s.tls || s.tlsDir != ""

	s.dir = fs.Arg(0)
	if err := s.upstream.check(s); err != nil {
		return nil, err
	}
	if err := s.record.check(s, fs.NArg()); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() > 1 && strings.HasPrefix(fs.Arg(1), "-"):
		return nil, fmt.Errorf("%s comes after DIR; put flags before it", fs.Arg(1))
	case fs.NArg() > 1:
		return nil, fmt.Errorf("want one DIR, got %d; ocireg -h shows the usage", fs.NArg())
	case fs.NArg() == 1 && s.dir == "":
		return nil, errors.New("DIR is an empty string; leave it out for a registry in memory")
	case s.dir == "" && s.overlay:
		return nil, errors.New("-overlay needs DIR")
	case s.overlay && (s.sync || s.referrersTags):
		return nil, errors.New("-sync and -referrers-tags have no effect with -overlay, which does not write to DIR; leave them out")
	case s.dir == "" && s.repository != "":
		return nil, errors.New("-repository needs DIR")
	case s.dir == "" && s.tag != "":
		return nil, errors.New("-tag needs DIR")
	case s.dir == "" && s.referrersTags:
		return nil, errors.New("-referrers-tags needs DIR")
	case s.dir == "" && s.sync:
		return nil, errors.New("-sync needs DIR")
	}
	return s, nil
}
