package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/layout"
)

// A setting is a kind of directory, and the number of processes that serve it
// and are killed.
type setting struct {
	name      string
	layout    bool // whether the directory is one layout of two repositories, and not a tree
	processes int
}

var settings = []setting{
	{"layout, one process", true, 1},
	{"tree, one process", false, 1},
	{"layout, three processes", true, 3},
	{"tree, two processes", false, 2},
}

const (
	clientsPerProcess = 3
	killsPerDirectory = 25
	longestLife       = 120 * time.Millisecond
)

// A stormResult counts the events and findings for one setting.
type stormResult struct {
	kills, reads, acknowledged int
	findings                   []string
}

// storm is the part of the campaign that kills processes at random moments while
// clients use them, and checks the directory after each round of kills.
func storm(ctx context.Context, c *campaign) error {
	rng := c.rng(1)
	results := make([]stormResult, len(settings))
	for round := 0; more(ctx, round, len(settings)); round++ {
		i := round % len(settings)
		dir := filepath.Join(c.dir, fmt.Sprint("storm-", round))
		if err := results[i].directory(ctx, settings[i], dir, rng); err != nil {
			return err
		}
		if len(results[i].findings) > 0 {
			break
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	for i, r := range results {
		c.report("storm", settings[i].name, fmt.Sprintf("%d kills, %d writes checked, %d reads", r.kills, r.acknowledged, r.reads), r.findings)
	}
	return nil
}

// directory creates a directory, and starts and kills the processes that serve
// it several times.
func (r *stormResult) directory(ctx context.Context, set setting, dir string, rng *rand.Rand) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if set.layout {
		if err := os.WriteFile(filepath.Join(dir, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
			return err
		}
	}
	clients := make([]*client, set.processes*clientsPerProcess)
	for i := range clients {
		clients[i] = &client{ledger: newLedger(), name: fmt.Sprintf("c%d", i), rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	}
	for range killsPerDirectory {
		if err := r.kill(set, dir, clients, rng); err != nil {
			return err
		}
		if len(r.findings) > 0 || ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// kill starts the processes that serve a directory, lets clients use them, kills
// all of them, and checks the directory.
func (r *stormResult) kill(set setting, dir string, clients []*client, rng *rand.Rand) error {
	ctx := context.Background()
	var children []*child
	defer func() {
		for _, c := range children {
			c.kill()
		}
	}()
	for range set.processes {
		c, err := startChild(ctx, dir)
		if err != nil {
			return err
		}
		children = append(children, c)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i, c := range clients {
		c.http, c.url = &http.Client{Transport: transport}, children[i%len(children)].url
		wg.Go(func() { c.work(ctx) })
	}
	for _, c := range children {
		time.Sleep(time.Duration(rng.Int64N(int64(longestLife))))
		c.kill()
		r.kills++
	}
	wg.Wait()

	r.findings = append(r.findings, checkDisk(dir)...)
	s, err := layout.Open(dir, layout.Repository(repositories[0]))
	if err != nil {
		r.findings = append(r.findings, fmt.Sprintf("the directory cannot be opened: %v", err))
		return nil
	}
	defer s.Close()
	for _, c := range clients {
		acknowledged, findings := c.check(s)
		r.acknowledged += acknowledged
		r.reads += c.reads
		r.findings = append(r.findings, append(findings, c.findings...)...)
		c.reads, c.findings = 0, nil
		c.forget()
	}
	return nil
}

// checkDisk checks the files of layouts as another tool sees them: each
// index.json is valid, each blob has the digest in its name, and each entry has
// a file of the right size.
func checkDisk(dir string) (findings []string) {
	find := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".ocireg" {
				return fs.SkipDir
			}
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch rel, _ := filepath.Rel(dir, path); {
		case d.Name() == ocispec.ImageIndexFile:
			var index ocispec.Index
			if err := json.Unmarshal(content, &index); err != nil {
				find("%s: %v", rel, err)
			}
			for _, entry := range index.Manifests {
				name := filepath.Join(filepath.Dir(path), "blobs", string(entry.Digest.Algorithm()), entry.Digest.Encoded())
				if info, err := os.Stat(name); err != nil || info.Size() != entry.Size {
					find("%s names %s, but the file is missing or has a different size", rel, entry.Digest)
				}
			}
		case strings.Contains(rel, "blobs"):
			algorithm := digest.Algorithm(filepath.Base(filepath.Dir(path)))
			if got := algorithm.FromBytes(content).Encoded(); got != d.Name() {
				find("%s has content with the digest %s", rel, got)
			}
		case d.Name() != ocispec.ImageLayoutFile:
			find("%s does not belong to a layout", rel)
		}
		return nil
	})
	if err != nil {
		find("%v", err)
	}
	return findings
}
