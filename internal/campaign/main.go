// Campaign tries to make registries lose, damage or leak something. It runs for
// some minutes, and prints a table of its trials and findings.
//
//	go run ./internal/campaign -minutes 5
//
// The document docs/reliability.md describes its parts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A campaign is one run of this program.
type campaign struct {
	dir  string // the directory for all files of the campaign
	seed uint64
	rows []row
}

// A row is a line of the table that a campaign prints.
type row struct {
	part, subject string
	tried         string
	findings      []string
}

// report adds a row to the table. The findings may be empty.
func (c *campaign) report(part, subject, tried string, findings []string) {
	c.rows = append(c.rows, row{part, subject, tried, findings})
}

// rng returns a source of random numbers that depends on the seed of the
// campaign and the purpose.
func (c *campaign) rng(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, purpose)) }

// A part of the campaign runs one kind of test while [more] is true, and adds its
// rows with [campaign.report].
type part struct {
	name  string
	share float64 // the share of the campaign's time
	run   func(ctx context.Context, c *campaign) error
}

var parts = []part{
	{"storm", 0.5, storm},
	{"differential", 0.2, compare},
	{"disk", 0.05, diskFaults},
	{"hostile", 0.1, hostileClients},
	{"load", 0.15, load},
}

func main() {
	if dir, ok := os.LookupEnv(childEnv); ok {
		if err := serveChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	found, err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "campaign:", err)
		os.Exit(2)
	case found:
		os.Exit(1)
	}
}

// run runs the selected parts of the campaign in turn and prints the table. It
// reports whether a part found something.
func run(ctx context.Context, args []string, stdout io.Writer) (found bool, err error) {
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	minutes := flags.Float64("minutes", 5, "run for about this many `minutes`")
	only := flags.String("only", "", "run only these `parts`, separated by commas: storm, differential, disk, hostile, load")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "seed the random choices with this `number`")
	dir := flags.String("dir", defaultDir(), "write below this `directory`")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	selected, total := parts, 0.0
	if *only != "" {
		names := strings.Split(*only, ",")
		selected = slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !slices.Contains(names, p.name) })
	}
	for _, p := range selected {
		total += p.share
	}
	if total == 0 {
		return false, fmt.Errorf("-only %s names no part", *only)
	}
	c := &campaign{seed: *seed}
	if c.dir, err = os.MkdirTemp(*dir, "campaign-"); err != nil {
		return false, err
	}
	defer os.RemoveAll(c.dir)
	begin := time.Now()
	for _, p := range selected {
		d := time.Duration(*minutes * p.share / total * float64(time.Minute))
		ctx, cancel := context.WithTimeout(ctx, d)
		err := p.run(ctx, c)
		cancel()
		if err != nil {
			return false, fmt.Errorf("%s: %w (seed %d)", p.name, err, c.seed)
		}
	}
	fmt.Fprintf(stdout, "campaign of %v on %s, seed %d, in %s\n\n", time.Since(begin).Round(time.Second), begin.Format(time.DateOnly), c.seed, *dir)
	return c.print(stdout), nil
}

// more reports whether a part makes another trial after the first n. It does until
// ctx is done. After the deadline of ctx, it goes on until each of the kinds had a
// trial, which matters on a slow machine.
func more(ctx context.Context, n, kinds int) bool {
	return ctx.Err() == nil || n < kinds && errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// print prints the table and the findings. It reports whether there are
// findings.
func (c *campaign) print(stdout io.Writer) (found bool) {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "part\tsubject\ttried\tfound")
	for _, r := range c.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", r.part, r.subject, r.tried, len(r.findings))
	}
	w.Flush()
	for _, r := range c.rows {
		for i, f := range r.findings {
			found = true
			if i < 5 {
				fmt.Fprintf(stdout, "\n%s, %s:\n%s\n", r.part, r.subject, f)
			}
		}
	}
	return found
}

// defaultDir returns a directory in memory, if the system has one, because a
// campaign writes many small files. Otherwise, it returns the directory for
// temporary files.
func defaultDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return filepath.Clean(os.TempDir())
}
