package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/ocireg/registry/internal/hint"
)

// usage is the help of ocireg -h, which fits a screen. The names of the flags follow it.
const usage = `Usage: ocireg [flags] [DIR | FILE]
       ocireg profiles | diff | check | help

Ocireg serves an OCI registry to the clients on this machine. Without DIR it is
in memory and empty. DIR is an OCI image layout, or a directory with layouts
below it, to which clients push. FILE is an archive: docker save, or layouts.

  ocireg                       an empty registry on 127.0.0.1:5000
  ocireg -read-only ./images   the images in ./images
  ocireg -overlay app.tar      those of docker save -o app.tar; pushes go to memory
  ocireg -addr :0 -tls         on a free port, over HTTPS
  ocireg -user ci:secret -allow 'anonymous pull public/**'
  ocireg -fault 'get-blob times=2 status=503 retry-after=1'
  ocireg -profile ghcr         with the quirks of GHCR
  ocireg -upstream docker.io -record ./images
                               Docker Hub; ./images keeps what is pulled
  ocireg -upstream https://registry.example.com
                               every request goes on to that registry
  ocireg -control :0           with an API for tests in any language

  ocireg help flags            what each flag does
  ocireg help faults           the words of -fault
  ocireg help profiles         the registries of -profile, and the names of -quirk
  ocireg help control          the requests of the API of -control
  ocireg profiles ghcr         the quirks of GHCR, with their sources
  ocireg diff -h               which of them another registry has
  ocireg check -h              whether a client meets the spec

The first word on standard output is the URL; the images to pull follow.
Requests are logged to standard error. Ctrl-C lets the running requests finish.

Flags:`

// helpFaults is the help about faults. It has every word of the language of
// package fault.
const helpFaults = `A fault is a list of words: operations, then which requests, when and how.

  ocireg -fault 'get-blob,head-blob repo=team/* times=2 status=503'

Operations  ping get-blob head-blob delete-blob get-manifest head-manifest
            put-manifest delete-manifest delete-tag start-upload post-blob
            mount-blob patch-upload put-upload get-upload cancel-upload list-tags
            list-referrers catalog discover token; or any, or unknown
Which       repo=team/** tag=v? digest=sha256:ab* method=HEAD user=ci conn=2
            has-header=Range has-header=!?n where=found where=body>1000
When        once times=3 after=2 every=3 first-bytes=1000 probability=0.1 seed=7
            optional; then begins the next part
Response    status=503 code=DENIED message="not now" retry-after=1 body=html
            after-commit, once the operation has been carried out
Headers     set-header=Name:value add-header=Name:value drop-header=Name
            location=https://cdn.example.com content-length=+5
Requests    ignore=Range, keep=7 bytes, acknowledge=7 bytes, lose-upload,
            duplicate
Bytes       corrupt=500 body=append:more
Time        delay=5s delay=1s..5s stall=100 throttle=100
Connection  close=100 reset=100 half-close, also without a byte

A word that makes no sense is refused, with a suggestion. docs/faults.md describes
each, and shows what a client sees.
`

// helpControl is the help about the control API, with its most important paths.
const helpControl = `ocireg -control :0 -ready-file FILE serves an API beside the registry. FILE gets
the URLs and the token: {"registry": …, "control": …, "token": …}. The second line
of standard output has them, too, with a page to look at in a browser.

  curl -H "Authorization: Bearer TOKEN" CONTROL/v1/faults -d 'get-blob once status=503'

  GET /v1/                             what is served
  GET POST DELETE /v1/faults           rules; DELETE ?check fails if one did not happen
  GET POST DELETE /v1/holds            gates; /ID?wait=5s, /ID/release
  GET DELETE /v1/requests              the journal; ?op=get-blob&wait=2, ?follow, ?format=har
  GET /v1/findings                     requests that break the spec
  GET POST PUT /v1/content             {"ref": "team/app:v1", "image": {"layers": 3}}, or a tar
  GET POST DELETE /v1/tamper           damage what is stored
  GET POST DELETE /v1/snapshots        /ID/restore
  PUT DELETE /v1/users/NAME            DELETE /v1/tokens: they expire
  POST /v1/listener/ACTION             stop, start, restart, refuse, silence, drop
  POST /v1/clock                       {"advance": "6m"}
  POST /v1/reset                       all as at the start

docs/control.md describes them; docs/languages.md has tests in four languages.
`

// help writes the help about a topic, or the usage.
func help(args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		_, err := parse([]string{"-h"}, out)
		return err
	case len(args) > 1:
		return fmt.Errorf("want one topic, got %d; ocireg -h lists them", len(args))
	}
	switch topic := args[0]; topic {
	case "flags":
		_, err := parse([]string{"-h"}, flagHelp{out})
		return err
	case "faults":
		_, err := io.WriteString(out, helpFaults)
		return err
	case "profiles":
		return helpProfiles(out)
	case "control":
		_, err := io.WriteString(out, helpControl)
		return err
	default:
		suggestion := ""
		if nearest := hint.Nearest(topic, "flags", "faults", "profiles", "control"); nearest != "" {
			suggestion = fmt.Sprintf("; did you mean %q?", nearest)
		}
		return fmt.Errorf("there is no help about %q%s; the topics are flags, faults, profiles and control", topic, suggestion)
	}
}

// A flagHelp is an output that makes the usage of the flag set describe each flag.
type flagHelp struct{ io.Writer }

// groups lists the flags by their subjects, for the help about flags.
var groups = []struct{ title, flags string }{
	{"Addresses and certificates", "addr host cross-origin path-prefix tls tls-dir"},
	{"Content", "read-only overlay repository tag sync referrers-tags"},
	{"Control and output", "control ready-file log quiet version"},
	{"Users", "user token allow"},
	{"Failures, and the behaviour of real registries", "fault profile quirk create warning"},
	{"Another registry behind this one", "upstream record offline strict refresh upstream-user upstream-writes upstream-ca"},
	{"Features", "no-delete no-referrers no-catalog no-mount no-anonymous-mount no-single-post sparse any-manifest no-schema-version shared-blobs absolute-locations flatpak"},
	{"Limits", "manifest-limit page-size min-chunk upload-expiry upload-limit storage-limit"},
}

// writeHelp writes the usage, or the descriptions of the flags if w is a flagHelp.
func writeHelp(w io.Writer, fs *flag.FlagSet) {
	if to, ok := w.(flagHelp); ok {
		for _, g := range groups {
			fmt.Fprintf(to, "%s:\n%s\n", g.title, describe(fs, strings.Fields(g.flags)))
		}
		fmt.Fprint(to, "A flag that the command line lacks can be set by a variable of the environment:\n"+
			variableOf("page-size")+"=10 is -page-size 10.\n")
		return
	}
	fmt.Fprint(w, usage)
	width := len("Flags:")
	fs.VisitAll(func(f *flag.Flag) {
		const lineWidth = 78
		if width+len(" -")+len(f.Name) > lineWidth {
			fmt.Fprint(w, "\n"+strings.Repeat(" ", len("Flags:")))
			width = len("Flags:")
		}
		fmt.Fprint(w, " -"+f.Name)
		width += len(" -") + len(f.Name)
	})
	fmt.Fprintln(w)
}

// describe returns the descriptions of the named flags, in the form of package flag.
func describe(fs *flag.FlagSet, names []string) string {
	var b strings.Builder
	some := flag.NewFlagSet("", flag.ContinueOnError)
	some.SetOutput(&b)
	for _, name := range names {
		f := fs.Lookup(name)
		some.Var(f.Value, f.Name, f.Usage)
		some.Lookup(name).DefValue = f.DefValue
	}
	some.PrintDefaults()
	return b.String()
}
