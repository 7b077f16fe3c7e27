package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/profile"
)

const diffUsage = `Usage: ocireg diff -profile NAME -prefix REPOSITORY [flags] URL

Ocireg diff plays the probes of a profile's quirks against the registry at URL,
and prints which of them hold there. It uses only repositories below the prefix,
and deletes its content again as far as the registry lets it. The exit code is 1 if
a quirk does not hold, and 2 if the comparison is not possible. The credentials
are those of docker login, unless -user gives others.

  ocireg diff -profile quay -prefix me/probe https://quay.io
  ocireg diff -profile ecr -prefix probe -repository probe/app https://…
                                 if a repository has to exist before the first push

Flags:
`

// errDiffers is the error of ocireg diff for a registry that differs from the profile.
var errDiffers = errors.New("the registry differs from the profile")

// diff runs ocireg diff, which compares a registry with a profile.
func diff(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("ocireg diff", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var t profile.Target
	name := fs.String("profile", "", "compare with the profile `NAME`, such as ghcr or gitlab@2026-08; \"ocireg profiles\" lists the names")
	fs.StringVar(&t.Prefix, "prefix", "", "use only repositories below `REPOSITORY`, such as team/probe")
	fs.StringVar(&t.Repository, "repository", "", "use the `REPOSITORY` for all probes: it must be empty, unused and below the prefix; its tags\nare moved and deleted (default a new repository for each probe)")
	fs.DurationVar(&t.Timeout, "timeout", 30*time.Second, "wait for each response this `duration`")
	verbose := fs.Bool("v", false, "print the observation of each quirk that holds")
	var users access
	fs.Func("user", "log in as the user `NAME:PASSWORD` instead of the one in Docker's config.json; -user anonymous:\nsends no credentials", func(v string) error {
		if v == "anonymous:" {
			users.users = []auth.Credentials{{}}
			return nil
		}
		return users.addUser(v)
	})
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, diffUsage)
		fs.SetOutput(out)
		fs.PrintDefaults()
		return err
	} else if err != nil {
		return fmt.Errorf("%w; ocireg diff -h lists the flags", err)
	}
	switch {
	case *name == "" || t.Prefix == "":
		return errors.New("diff needs -profile and -prefix; ocireg diff -h shows the usage")
	case fs.NArg() != 1:
		return fmt.Errorf("diff needs one URL after the flags, got %d; ocireg diff -h shows the usage", fs.NArg())
	case len(users.users) > 1:
		return errors.New("-user is given several times; want one")
	case t.Timeout <= 0:
		return errors.New("-timeout has to be above 0")
	}
	t.URL = fs.Arg(0)
	var err error
	if len(users.users) == 1 {
		t.Credentials = users.users[0]
	} else if t.Credentials, err = loginOf(ctx, t.URL); err != nil {
		return err
	}
	p := profile.Get(*name)
	if err := p.Err(); err != nil {
		return fmt.Errorf("-profile: %w; ocireg profiles lists them", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 256 << 10}
	defer transport.CloseIdleConnections()
	t.Transport = transport
	results, err := p.Diff(ctx, t)
	if err != nil {
		return err
	}
	report := diffReport{out: out, verbose: *verbose}
	for r := range results {
		report.add(r)
	}
	if err := report.end(); err != nil {
		return err
	}
	return ctx.Err()
}

// A diffReport prints the results of ocireg diff and counts them.
type diffReport struct {
	out                  io.Writer
	verbose              bool
	hold, differ, failed int
	left                 []string
}

func (d *diffReport) add(r profile.Result) {
	f := r.Quirk.Fact()
	switch {
	case r.Err != nil:
		d.failed++
		d.print("untried", string(r.Quirk), r.Err.Error())
	case r.Holds():
		d.hold++
		if d.verbose {
			d.print("holds", string(r.Quirk), r.Got)
		} else {
			d.print("holds", string(r.Quirk), "")
		}
	default:
		d.differ++
		d.print("differs", string(r.Quirk), f.Sentence)
		d.print("", "", "want "+r.Want)
		d.print("", "", "got  "+r.Got)
		d.print("", "", fmt.Sprintf("source %s (%s, %s)", f.Source, f.Evidence, cmp.Or(f.Date, "undated")))
	}
	d.left = append(d.left, r.Left...)
}

// print prints a line. It replaces control characters, because the text may come
// from the registry.
func (d *diffReport) print(outcome, quirk, text string) {
	line := fmt.Sprintf("%-8s %s", outcome, quirk)
	if quirk == "" {
		line = "        "
	}
	if text != "" && quirk != "" {
		line += ":"
	}
	if text != "" {
		line += " " + field.Printable(field.Shorten(text, 1000))
	}
	fmt.Fprintln(d.out, line)
}

// end prints the summary. It returns errDiffers if the registry lacks a quirk,
// and another error if no quirk could be tried.
func (d *diffReport) end() error {
	fmt.Fprintf(d.out, "%d of %d quirks hold, %d differ, %d could not be tried\n", d.hold, d.hold+d.differ+d.failed, d.differ, d.failed)
	for _, line := range d.left {
		fmt.Fprintln(d.out, field.Printable(field.Shorten("not deleted: "+line, 1000)))
	}
	switch {
	case d.differ > 0:
		return errDiffers
	case d.hold == 0 && d.failed > 0:
		return errors.New("no quirk could be tried")
	}
	return nil
}

// loginOf returns the credentials that docker login stored for the host of the URL,
// or none.
func loginOf(ctx context.Context, address string) (auth.Credentials, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return auth.Credentials{}, fmt.Errorf("%q is not a URL such as https://registry.example.com", address)
	}
	return readLogin(ctx, strings.ToLower(u.Host))
}
