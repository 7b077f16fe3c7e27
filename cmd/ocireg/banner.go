package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/field"
	"github.com/ocireg/registry/internal/hint"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/auth"
)

// maxPulls is the number of images that the banner lists.
const maxPulls = 20

// A banner holds the values for the text that the command prints when it serves.
type banner struct {
	scheme, host string
	source       string // a description of the content's source
	readOnly     bool
	login        auth.Credentials // a user to log in as, or none
	control      string           // a line about the control API, or ""
	caFile       string           // the file of the CA, or "" without TLS
	elsewhere    bool             // another registry has the content, so nothing is listed
	found        bool             // at least one repository exists
	mustCreate   bool             // a push does not create its repository
	created      []string         // the patterns of -create
	tags         int              // the number of tags
	untagged     int              // the number of manifests without a tag in index.json
	snippets     string           // configurations for clients of a registry with upstreams, or ""
	pulls        []string         // the references of the first images
}

// list adds the tagged images of the store to the banner and, unless layouts is
// nil, the manifests without a tag in layouts. It logs repositories that cannot be
// read and continues.
func (b *banner) list(ctx context.Context, store registry.Store, layouts *layout.Store, logger *log.Logger) error {
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
				logger.Print(field.Printable(fmt.Sprintf("repository %s cannot be read: %v", repo, err)))
				break
			}
			b.tags++
			b.add(repo + ":" + tag)
		}
		if layouts == nil {
			continue
		}
		for d, err := range layouts.Untagged(ctx, repo) {
			if err != nil {
				break // Listing the tags logged the same error.
			}
			b.untagged++
			b.add(repo + "@" + string(d.Digest))
		}
	}
	return ctx.Err()
}

// add adds a reference to the listed images if the list has room for it.
func (b *banner) add(ref string) {
	if len(b.pulls) < maxPulls {
		b.pulls = append(b.pulls, b.host+"/"+ref)
	}
}

// print writes the banner with a single Write, which no log line can interrupt.
func (b *banner) print(out io.Writer) {
	w := new(bytes.Buffer)
	defer w.WriteTo(out)
	fmt.Fprintf(w, "%s://%s serves %s\n", b.scheme, b.host, b.source)
	if b.control != "" {
		fmt.Fprintln(w, b.control)
	}
	if b.caFile != "" {
		fmt.Fprintf(w, "trust %s\n", b.caFile)
	}
	if b.login.Username != "" {
		fmt.Fprintf(w, "docker login --username %s --password %s %s\n", b.login.Username, b.login.Password, b.host)
	}
	for _, ref := range b.pulls {
		fmt.Fprintf(w, "docker pull %s\n", ref)
	}
	if more := b.tags + b.untagged - len(b.pulls); more > 0 && b.untagged == 0 {
		fmt.Fprintf(w, "and %s\n", hint.Count(more, "more tag"))
	} else if more > 0 {
		fmt.Fprintf(w, "and %s and manifests without a tag\n", hint.Count(more, "more tag"))
	}
	if b.tags+b.untagged == 0 && (b.found || b.readOnly) && !b.elsewhere {
		fmt.Fprintln(w, "there are no tags")
	}
	if b.tags+b.untagged == 0 && !b.readOnly {
		b.printPush(w)
	}
	io.WriteString(w, b.snippets)
}

// printPush prints the repositories to which clients can push, or that none exists.
func (b *banner) printPush(w io.Writer) {
	switch {
	case !b.mustCreate || b.found && len(b.created) == 0:
		fmt.Fprintf(w, "push to %s/NAME:TAG\n", b.host)
	case len(b.created) == 0:
		fmt.Fprintln(w, "no repository exists; -create PATTERN makes some")
	}
	if b.mustCreate {
		for _, pattern := range b.created {
			fmt.Fprintf(w, "push to %s/%s:TAG\n", b.host, strings.NewReplacer("**", "…", "*", "…").Replace(pattern))
		}
	}
}
