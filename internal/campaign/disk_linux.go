package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ocireg/registry/layout"
)

// diskSize is the mount option for the size of the file system that diskFaults
// fills.
const diskSize = "size=1m"

// diskFaults lets a client use a store on a small file system until the file
// system is full, and again after making it read-only. Acknowledged content must
// remain, deletions must work on the full disk, and writes must work again when
// the disk has space and is writable.
func diskFaults(ctx context.Context, c *campaign) error {
	kinds := []fullDisk{{setting: setting{name: "layout", layout: true}}, {setting: setting{name: "tree"}}}
	rounds := 0
	for ; more(ctx, rounds, len(kinds)) && rounds < maxDisks; rounds++ {
		f := &kinds[rounds%len(kinds)]
		f.rng = c.rng(uint64(400 + rounds))
		err := f.round(filepath.Join(c.dir, "disk"))
		if errors.Is(err, fs.ErrPermission) {
			c.report("disk", "full and read-only", "skipped: needs root", nil)
			return nil
		}
		if err != nil {
			return err
		}
	}
	for i, f := range kinds {
		c.report("disk", f.name+", full and read-only", fmt.Sprintf("%d disks, %d writes refused, %d checked",
			(rounds+1-i)/len(kinds), f.refused, f.acknowledged), f.findings)
	}
	return nil
}

// maxDisks limits the number of file systems that diskFaults uses. More of them
// would show nothing new.
const maxDisks = 200

// A fullDisk tests one kind of store on small file systems and counts the
// results.
type fullDisk struct {
	setting
	rng                   *rand.Rand
	refused, acknowledged int
	findings              []string
}

func (f *fullDisk) round(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskSize); err != nil {
		return err
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	if f.layout {
		if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
			return err
		}
	}
	c := &client{ledger: newLedger(), name: "c", rng: f.rng}
	for range 3 {
		if err := f.serve(c, dir, f.full); err != nil || len(f.findings) > 0 {
			return err
		}
		// The kernel refuses to make a file system read-only while files on it are
		// open for writing.
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, diskSize); err != nil {
			return err
		}
		if err := f.serve(c, dir, f.readOnly); err != nil || len(f.findings) > 0 {
			return err
		}
	}
	return nil
}

// serve serves the directory to the client c while use runs.
func (f *fullDisk) serve(c *client, dir string, use func(c *client, dir string) error) error {
	s, err := layout.Open(dir, layout.Repository(repositories[0]))
	if err != nil {
		return err
	}
	defer s.Close()
	srv, err := startServer(s)
	if err != nil {
		return err
	}
	defer srv.stop()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c.http, c.url = &http.Client{Transport: transport}, srv.url
	return use(c, dir)
}

// full fills the disk, then deletes blobs, and then manifests. A manifest can be
// deleted only after blobs, because the new index.json needs space.
func (f *fullDisk) full(c *client, dir string) error {
	f.fill(c, "no space left on device")
	f.check(c, dir)
	ctx := context.Background()
	for _, i := range c.images[:min(4, len(c.images))] {
		if !c.deleteBlobs(ctx, i) {
			f.findings = append(f.findings, "blobs of a full disk cannot be deleted: "+strings.Join(c.findings, "\n"))
			return nil
		}
	}
	c.forget()
	for range min(4, len(c.images)) {
		if !c.deleteImage(ctx, 0) {
			f.findings = append(f.findings, "manifests cannot be deleted when there is space: "+strings.Join(c.findings, "\n"))
			return nil
		}
	}
	c.forget()
	f.check(c, dir)
	return nil
}

// readOnly checks that writes to the read-only disk fail, makes the disk
// writable, and checks that a write succeeds.
func (f *fullDisk) readOnly(c *client, dir string) error {
	f.fill(c, "read-only file system")
	f.check(c, dir)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, diskSize); err != nil {
		return err
	}
	if len(c.images) > 0 && !c.pull(context.Background()) || !c.pushSmall() {
		f.findings = append(f.findings, "a request fails although the disk can be written again: "+strings.Join(c.findings, "\n"))
	}
	return nil
}

// fill pushes images until a push fails. The response must have the status 500,
// and its error must contain the text in why.
func (f *fullDisk) fill(c *client, why string) {
	for range 10_000 {
		if c.pushImage(context.Background()) {
			continue
		}
		f.refused++
		for _, finding := range c.findings {
			if !strings.Contains(finding, why) || !strings.Contains(finding, ": 500 ") {
				f.findings = append(f.findings, finding)
			}
		}
		c.findings = nil
		return
	}
	f.findings = append(f.findings, "no push fails with "+why)
}

// check checks the files on the disk, and opens the directory as another process
// would, to compare the store with the acknowledged writes of the client.
func (f *fullDisk) check(c *client, dir string) {
	f.findings = append(f.findings, checkDisk(dir)...)
	s, err := layout.Open(dir, layout.Repository(repositories[0]), layout.ReadOnly())
	if err != nil {
		f.findings = append(f.findings, err.Error())
		return
	}
	defer s.Close()
	n, lost := c.check(s)
	f.acknowledged += n
	f.findings = append(f.findings, lost...)
	c.forget()
}

// pushSmall pushes a small blob and reports whether the push was acknowledged.
func (c *client) pushSmall() bool {
	_, ok := c.pushBlob(context.Background(), repositories[0], c.text(1))
	return ok
}
