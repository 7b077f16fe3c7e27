package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
)

// A ledger records the content that one client pushed and deleted, and whether the
// writes were acknowledged. No other client writes to that content.
type ledger struct {
	blobs     map[string]fate // by repository and digest
	manifests map[string]fate
	tags      map[string][]string // the digests that each tag may name, by repository and tag; "" means that the tag may be missing
	contents  map[digest.Digest]string
}

// A fate is whether a blob or manifest must be in the store.
type fate uint8

const (
	unsure  fate = iota // a write had no response, so it may be there or not
	present             // it was pushed, so it must be there
	gone                // it was deleted, so it must be missing
)

func newLedger() *ledger {
	return &ledger{map[string]fate{}, map[string]fate{}, map[string][]string{}, map[digest.Digest]string{}}
}

func key(repo, name string) string { return repo + " " + name }

// write calls send to make a write, and records the fate of the blob or manifest.
// Send reports whether the write was acknowledged. If it was, the fate is that in
// the argument to; otherwise, it is unsure.
func write(fates map[string]fate, key string, to fate, send func() bool) bool {
	fates[key] = unsure
	if !send() {
		return false
	}
	fates[key] = to
	return true
}

// writeTag calls send to make a write that sets a tag to a digest, or deletes the
// tag if the digest is "". It records the digests that the tag may name. Send
// reports whether the write was acknowledged.
func (l *ledger) writeTag(key, to string, send func() bool) bool {
	before := l.tags[key]
	if before == nil {
		before = []string{""}
	}
	l.tags[key] = append(slices.Clone(before), to)
	if !send() {
		return false
	}
	l.tags[key] = []string{to}
	return true
}

// check compares a store with the ledger. It returns the number of acknowledged
// writes and a finding for each difference. It then sets each fate and tag to
// the state of the store.
func (l *ledger) check(s registry.Store) (acknowledged int, findings []string) {
	ctx := context.Background()
	verify := func(kind string, fates map[string]fate, get func(repo, name string) (string, error)) {
		for _, key := range slices.Sorted(maps.Keys(fates)) {
			repo, name := split(key)
			content, err := get(repo, name)
			there := err == nil
			switch want := l.contents[digest.Digest(name)]; {
			case err != nil && !errors.Is(err, fs.ErrNotExist):
				findings = append(findings, fmt.Sprintf("%s %s: %v", kind, key, err))
			case fates[key] == present && !there:
				findings = append(findings, fmt.Sprintf("%s %s was acknowledged but is lost: %v", kind, key, err))
			case fates[key] == gone && there:
				findings = append(findings, fmt.Sprintf("%s %s was deleted but is still there", kind, key))
			case there && content != want:
				findings = append(findings, fmt.Sprintf("%s %s has %d bytes, which are not the %d that were pushed", kind, key, len(content), len(want)))
			}
			if fates[key] != unsure {
				acknowledged++
			}
			fates[key] = gone
			if there {
				fates[key] = present
			}
		}
	}
	verify("blob", l.blobs, func(repo, name string) (string, error) {
		r, err := s.OpenBlob(ctx, repo, digest.Digest(name))
		if err != nil {
			return "", err
		}
		defer r.Close()
		content, err := io.ReadAll(r)
		return string(content), err
	})
	verify("manifest", l.manifests, func(repo, name string) (string, error) {
		m, err := s.GetManifest(ctx, repo, name)
		return string(m.Content), err
	})
	for _, key := range slices.Sorted(maps.Keys(l.tags)) {
		repo, tag := split(key)
		m, err := s.GetManifest(ctx, repo, tag)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			findings = append(findings, fmt.Sprintf("tag %s: %v", key, err))
		} else if !slices.Contains(l.tags[key], string(m.Digest)) {
			findings = append(findings, fmt.Sprintf("tag %s names %q, want one of %q", key, m.Digest, l.tags[key]))
		}
		if len(l.tags[key]) == 1 {
			acknowledged++
		}
		l.tags[key] = []string{string(m.Digest)}
	}
	return acknowledged, findings
}

func split(key string) (repo, name string) {
	fmt.Sscan(key, &repo, &name)
	return repo, name
}
