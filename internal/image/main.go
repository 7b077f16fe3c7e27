// Image builds the OCI image of the command ocireg, for several platforms, and
// puts it into a directory of OCI image layouts.
//
//	go run ./internal/image -o images -version 0.1.0
//
// The same source, version and release of Go make the same digests on every
// machine. The document docs/image.md describes the image.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/registrytest/content"
)

const module = "github.com/ocireg/registry"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(2)
	}
}

// run builds the image according to the flags in args, and prints its
// reference and digest.
func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("image", flag.ContinueOnError)
	fs.SetOutput(out)
	dir := fs.String("o", "", "put the image into the layout ocireg in `DIR`, which is made if there is none")
	version := fs.String("version", "devel", "the `VERSION`, such as 0.1.0: the tag of the image, and what ocireg -version prints")
	revision := fs.String("revision", "", "the `COMMIT` that the checkout has, for a label (default no label)")
	platforms := fs.String("platforms", "linux/amd64,linux/arm64", "build for the `PLATFORMS`")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *dir == "" || fs.NArg() > 0 {
		return errors.New("want -o DIR, and no arguments")
	}
	license, err := license(ctx)
	if err != nil {
		return err
	}
	r := recipe{version: *version, revision: *revision, license: license}
	var images []content.IndexPart
	for platform := range strings.SplitSeq(*platforms, ",") {
		program, err := build(ctx, platform, *version)
		if err != nil {
			return fmt.Errorf("building for %s: %w", platform, err)
		}
		image, err := r.image(platform, program)
		if err != nil {
			return fmt.Errorf("the image for %s: %w", platform, err)
		}
		images = append(images, image)
	}
	index := r.index(images)
	if err := put(ctx, *dir, "ocireg:"+*version, index); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s:%s %s\n", filepath.Join(*dir, "ocireg"), *version, index.Digest)
	return err
}

// put writes the image to a directory of OCI image layouts.
func put(ctx context.Context, dir, ref string, c content.Content) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	store, err := layout.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(content.Put(ctx, store, ref, c), store.Close())
}

// build returns the command's binary for a platform. Neither the directory of the
// checkout nor the environment changes a byte of it.
func build(ctx context.Context, platform, version string) ([]byte, error) {
	system, architecture, ok := strings.Cut(platform, "/")
	if !ok || strings.Contains(architecture, "/") {
		return nil, fmt.Errorf("%q is not a platform such as linux/amd64", platform)
	}
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ldflags := "-s -w -buildid="
	if version != "devel" {
		ldflags += " -X main.release=v" + version
	}
	file := filepath.Join(dir, "ocireg")
	_, err = goCommand(ctx, []string{"GOOS=" + system, "GOARCH=" + architecture},
		"build", "-trimpath", "-buildvcs=false", "-ldflags="+ldflags, "-o", file, module+"/cmd/ocireg")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// license returns the licenses that must accompany each copy of the command.
func license(ctx context.Context) ([]byte, error) {
	dir, err := goCommand(ctx, nil, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "LICENSE"))
}

// goCommand returns the output of the go command. It resets environment variables
// that would change the compiled code.
func goCommand(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return out, nil
}
