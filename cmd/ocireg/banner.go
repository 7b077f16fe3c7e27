package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// maxPulls is how many tags the banner has a line for.
const maxPulls = 20

// A banner is what the command says when it begins to serve.
type banner struct {
	scheme, host string
	what         string // what is served
	readOnly     bool
	caFile       string   // "" without TLS
	found        bool     // whether there is any repository
	tags         int      // how many there are
	untagged     int      // how many manifests a layout names without a tag
	pulls        []string // the references of the first ones
}

// list looks up what there is to be pulled. Repositories that cannot be read do
// not keep the others from being served.
func (b *banner) list(ctx context.Context, store registry.Store, logger *log.Logger) error {
	for repo, err := range store.Repositories(ctx, "") {
		if err != nil {
			return fmt.Errorf("listing the repositories: %w", err)
		}
		b.found = true
		for tag, err := range store.Tags(ctx, repo, "") {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				logger.Print(oneLine(fmt.Sprintf("repository %s cannot be read: %v", repo, err)))
				break
			}
			b.tags++
			b.add(repo + ":" + tag)
		}
		layouts, ok := store.(*layout.Store)
		if !ok {
			continue
		}
		for d, err := range layouts.Untagged(ctx, repo) {
			if err != nil {
				break // Listing the tags has given the same error.
			}
			b.untagged++
			b.add(repo + "@" + string(d.Digest))
		}
	}
	return ctx.Err()
}

// add adds a reference to those that can be pulled, if there is room.
func (b *banner) add(ref string) {
	if len(b.pulls) < maxPulls {
		b.pulls = append(b.pulls, b.host+"/"+ref)
	}
}

// print writes the banner at once, so that what else is written to the same
// terminal does not come between.
func (b *banner) print(out io.Writer) {
	w := new(bytes.Buffer)
	defer w.WriteTo(out)
	fmt.Fprintf(w, "%s://%s serves %s\n", b.scheme, b.host, b.what)
	if b.caFile != "" {
		fmt.Fprintf(w, "trust %s\n", b.caFile)
	}
	for _, ref := range b.pulls {
		fmt.Fprintf(w, "docker pull %s\n", ref)
	}
	if more := b.tags + b.untagged - len(b.pulls); more > 0 && b.untagged == 0 {
		fmt.Fprintf(w, "and %d more tags\n", more)
	} else if more > 0 {
		fmt.Fprintf(w, "and %d more tags and manifests without a tag\n", more)
	}
	if b.tags+b.untagged == 0 && (b.found || b.readOnly) {
		fmt.Fprintln(w, "there are no tags")
	}
	if b.tags+b.untagged == 0 && !b.readOnly {
		fmt.Fprintf(w, "push to %s/NAME:TAG\n", b.host)
	}
}
