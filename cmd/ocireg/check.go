package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ocireg/registry/internal/check"
)

const checkUsage = `Usage: ocireg check [flags] -- COMMAND [ARGUMENT...]
       ocireg check [flags] -client FILE

Ocireg check judges a client of registries by the OCI Distribution Specification.
It runs the command against a registry on this machine: once undisturbed, and then
once for each behaviour of a registry that concerns the command, such as tags in
pages. The report has the requirements that the client met, and those that it
violated, with the requests that show it. The exit code is 1 if a requirement at the
level MUST is violated or the command crashes, and 2 if it cannot be judged.

  ocireg check -- crane pull {ref} {dir}/image.tar
  ocireg check -- crane copy {ref} {to}
  ocireg check -- skopeo copy --dest-tls-verify=false oci:{layout}:v1 docker://{to}
  ocireg check -client crane     all tasks of a client that ocireg knows
  ocireg check -client my.check  those of a client that a file describes
  ocireg check -profile ecr -client crane
                                 against a registry that behaves like ECR

The command runs without a shell, in a home directory of its own. These words
stand for values of each run:

`

const checkFile = `
A file for -client has a line for each task of the client:

  name    regctl
  version regctl version
  setup   regctl registry set --tls=disabled --skip-check {registry}
  pull    regctl image copy {ref} ocidir://{dir}/layout
  list    regctl tag ls {repo}

Flags:
`

// errViolates is the error of ocireg check for a client that violates a requirement
// or crashes.
var errViolates = errors.New("the client violates a requirement, or crashes")

// checkClient runs ocireg check, which judges a client.
func checkClient(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("ocireg check", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var cfg check.Config
	name := fs.String("client", "", "check all tasks of the client that `FILE` describes, or of one of those that ocireg knows:\n"+check.Known())
	like := imitation{repositories: []string{"**"}}
	fs.Func("profile", "check against a registry that behaves like `NAME`, such as ecr, and has all repositories;\nthe credentials are in Docker's config.json; \"ocireg profiles\" lists the names", like.setName)
	fs.Func("quirk", "check against a registry with the quirk `NAME`, such as ecr.patch-201; may be given several times", like.addQuirks)
	format := fs.String("format", "text", "print the report as `text`, markdown, junit or json")
	output := fs.String("o", "", "write the report to `FILE` instead of printing it")
	strict := fs.Bool("strict", false, "exit with 1 if a requirement at the level SHOULD is violated, too")
	fs.DurationVar(&cfg.Timeout, "timeout", 30*time.Second, "kill a command that runs for this `duration`, with its children")
	fs.IntVar(&cfg.Jobs, "jobs", 0, "run `N` commands at a time (default the number of processors)")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, checkUsage)
		for _, p := range check.Placeholders() {
			fmt.Fprintf(out, "  %-11s %s\n", "{"+p.Name+"}", p.Meaning)
		}
		fmt.Fprint(out, checkFile)
		fs.SetOutput(out)
		fs.PrintDefaults()
		return err
	} else if err != nil {
		return fmt.Errorf("%w; ocireg check -h lists the flags", err)
	}
	write, ok := map[string]func(*check.Report, io.Writer) error{
		"text":     (*check.Report).WriteText,
		"markdown": (*check.Report).WriteMarkdown,
		"json":     (*check.Report).WriteJSON,
		"junit":    func(r *check.Report, w io.Writer) error { return r.WriteJUnit(w, *strict) },
	}[*format]
	switch {
	case !ok:
		return fmt.Errorf("-format %s: want text, markdown, junit or json", *format)
	case cfg.Timeout <= 0:
		return errors.New("-timeout has to be above 0")
	case cfg.Jobs < 0:
		return errors.New("-jobs must not be negative")
	case *name == "" && fs.NArg() == 0:
		return errors.New("check needs a command after --, or -client; ocireg check -h shows the usage")
	case *name != "" && fs.NArg() > 0:
		return errors.New("-client has the commands; leave out the one after --")
	}
	client, err := clientOf(*name, fs.Args())
	if err != nil {
		return err
	}
	if like.given() {
		if _, err := like.profile(); err != nil {
			return err
		}
		cfg.Like = like.String()
		cfg.Imitate = func() check.Imitation {
			p, _ := like.profile() // Making the profile succeeded above.
			return p
		}
	}
	report, err := check.Check(ctx, client, cfg)
	if err != nil {
		return err
	}
	if err := writeReport(report, write, *output, out); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if len(report.Crashes) > 0 || len(report.Violations(check.Must)) > 0 || *strict && len(report.Violations(check.Should)) > 0 {
		return errViolates
	}
	return nil
}

// clientOf returns the client that ocireg knows by the name, or the one that the file
// of that name describes. If the name is "", it returns a client with the command args.
func clientOf(name string, args []string) (check.Client, error) {
	if name == "" {
		return check.One(args)
	}
	if client, ok := check.Get(name); ok {
		return client, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return check.Client{}, fmt.Errorf("-client: %w; the clients that ocireg knows are %s", err, check.Known())
	}
	client, err := check.Parse(string(text))
	if err != nil {
		return check.Client{}, fmt.Errorf("%s: %w", name, err)
	}
	return client, nil
}

// writeReport writes the report to the file, or to out if file is "".
func writeReport(r *check.Report, write func(*check.Report, io.Writer) error, file string, out io.Writer) error {
	if file == "" {
		return write(r, out)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(write(r, f), f.Close())
}
