package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/names"
)

// The lifecycle of Cloud Native Buildpacks keeps each image in a separate layout
// (imgutil, layout/util.go, ParseRefToPath): the image host/repo:tag is in the
// directory host/repo/tag, and host/repo@sha256:hex is in host/repo/sha256/hex.
// In this file, the images of a repository are these layouts. The directory
// host/repo itself is not a layout.

// hasHost reports whether the name of a repository begins with a host, as all
// names in a tree of the Buildpacks lifecycle do.
func hasHost(repo string) bool {
	host, _ := names.SplitHost(repo)
	return host != "" && names.Repository(repo)
}

// image returns the layout in the directory dir if it is an image of the
// repository with the tag, and nil otherwise. To be an image, the layout must
// have exactly one entry, and that entry must have this tag or none. If it has
// none, index.json must be the work of another tool and not of a store.
func (s *Store) image(repo, dir, tag string) (*imageLayout, error) {
	if yes, err := s.disk.isLayout(dir); err != nil || !yes {
		return nil, err
	}
	s.mu.Lock()
	l := s.images[dir]
	if l == nil {
		l = newImageLayout(s.disk, dir, repo, true, tag)
		s.images[dir] = l
	}
	s.mu.Unlock()
	x, err := l.index()
	if err != nil {
		return nil, err
	}
	if len(x.entries) != 1 || x.entries[0].digest == "" || x.entries[0].tag != tag || x.given && isMarked(x.file) {
		s.mu.Lock()
		delete(s.images, dir) // The index may be large, so do not keep it.
		s.mu.Unlock()
		return nil, nil
	}
	return l, nil
}

// imagesIn returns the images of a repository in the order of their directories.
// The directory dir is the directory of the repository. If some images cannot be
// read, it returns the others and the first error.
func (s *Store) imagesIn(repo, dir string) (images []*imageLayout, err error) {
	if !hasHost(repo) {
		return nil, nil
	}
	if own, err := s.disk.isLayout(dir); err != nil || own {
		return nil, err
	}
	add := func(dir, tag string) {
		l, imageErr := s.image(repo, dir, tag)
		if l != nil {
			images = append(images, l)
		}
		err = cmp.Or(err, imageErr)
	}
	dirs := func(dir string) []string {
		list, dirsErr := s.dirs(dir)
		err = cmp.Or(err, dirsErr)
		return list
	}
	for _, name := range dirs(dir) {
		switch {
		case isOnlyDigest(path.Base(repo) + ":" + name):
			// The image belongs to the parent repository: dir is named after an
			// algorithm, such as sha256, and name is the hex part of a digest.
		case digest.Algorithm(name).Available():
			for _, encoded := range dirs(join(dir, name)) {
				if isOnlyDigest(name + ":" + encoded) {
					add(join(join(dir, name), encoded), "")
				}
			}
		case names.Tag(name):
			add(join(dir, name), name)
		}
	}
	return images, err
}

// dirs returns the sorted names of the directories in dir, and of the symbolic
// links in dir, which may lead to directories. It returns none if dir is not a
// directory.
func (s *Store) dirs(dir string) (list []string, err error) {
	entries, err := s.disk.readDir(dir)
	if err != nil {
		info, statErr := s.disk.stat(dir)
		if isAbsent(err) || s.disk.leadsNowhere(dir) || statErr == nil && !info.IsDir() {
			err = nil
		}
	}
	for _, e := range entries {
		if e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
			list = append(list, e.Name())
		}
	}
	return list, err
}

// imagesOf returns the images of a repository. If the repository has none, the
// error wraps [fs.ErrNotExist].
func (s *Store) imagesOf(repo string) ([]*imageLayout, error) {
	if s.single != nil || !hasHost(repo) {
		return nil, names.NoRepository(repo)
	}
	dir, err := s.disk.dirFor(repo)
	if err != nil {
		return nil, err
	}
	images, err := s.imagesIn(repo, dir)
	if len(images) == 0 && err == nil {
		err = names.NoRepository(repo)
	}
	return images, err
}

// isImage reports whether a directory with the given name, in the directory dir of
// a repository, holds an image of this repository or of its parent repository.
func (s *Store) isImage(repo, dir, name string) bool {
	if !hasHost(repo) {
		return false
	}
	tag, at := name, join(dir, name)
	if isOnlyDigest(path.Base(repo) + ":" + name) {
		repo, dir, tag = path.Dir(repo), path.Dir(dir), ""
	}
	if tag != "" && (!names.Tag(tag) || digest.Algorithm(tag).Available()) || !hasHost(repo) {
		return false
	}
	if own, err := s.disk.isLayout(dir); err != nil || own {
		return false
	}
	l, _ := s.image(repo, at, tag)
	return l != nil
}

// checkNoImages returns an error if a repository consists of images of the
// Buildpacks lifecycle. A push would make the directory of the repository a
// layout, and a layout hides the images below it.
func (s *Store) checkNoImages(repo string) error {
	if !hasHost(repo) {
		return nil
	}
	if _, err := s.layout(repo); err == nil {
		return nil
	}
	images, err := s.imagesOf(repo)
	switch {
	case len(images) > 0:
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("looking for images in repository %s: %w", repo, err)
	}
	return fmt.Errorf("writing to repository %s: it consists of images in layouts of their own, such as %s; write to one of these, or to another repository: %w",
		repo, images[0].dir, errors.ErrUnsupported)
}

// read returns the result of f for the layout of a repository. If the repository
// consists of images, read calls f for one image after the other until f does
// not report that the content is missing.
func read[T any](s *Store, repo string, f func(*imageLayout) (T, error)) (found T, err error) {
	l, err := s.loaded(repo)
	if err == nil {
		return f(l)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	images, imagesErr := s.imagesOf(repo)
	if len(images) > 0 || !errors.Is(imagesErr, fs.ErrNotExist) {
		err = imagesErr
	}
	for _, l := range images {
		found, imageErr := f(l)
		if imageErr == nil || !errors.Is(imageErr, fs.ErrNotExist) {
			return found, imageErr
		}
		err = cmp.Or(err, imageErr)
	}
	return found, err
}

// tags yields the tags of a repository that sort after the given tag. If the
// repository consists of images, it yields the tags of all of them.
func (s *Store) tags(ctx context.Context, repo, after string, yield func(string, error) bool) {
	l, err := s.layout(repo)
	if err == nil {
		l.tags(ctx, repo, after, yield)
		return
	}
	if !errors.Is(err, fs.ErrNotExist) {
		yield("", err)
		return
	}
	images, imagesErr := s.imagesOf(repo)
	for _, l := range images {
		more := true
		l.tags(ctx, repo, after, func(tag string, err error) bool {
			more = yield(tag, err) && err == nil
			return more
		})
		if !more {
			return
		}
	}
	if imagesErr != nil {
		yield("", imagesErr)
	}
}

// eachDescriptor yields the descriptors that list yields for the layout of a
// repository. If the repository consists of images, it yields the descriptors of
// all of them, without duplicates and sorted by digest.
func (s *Store) eachDescriptor(repo string, yield func(ocispec.Descriptor, error) bool, list func(*imageLayout, func(ocispec.Descriptor, error) bool) error) error {
	l, err := s.layout(repo)
	if err == nil {
		return list(l, yield)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	images, err := s.imagesOf(repo)
	var all []ocispec.Descriptor
	for _, l := range images {
		err = cmp.Or(err, list(l, func(d ocispec.Descriptor, _ error) bool {
			all = append(all, d)
			return true
		}))
	}
	byDigest := func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) }
	slices.SortFunc(all, byDigest)
	all = slices.CompactFunc(all, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
	for _, d := range all {
		if !yield(d, nil) {
			return nil
		}
	}
	return err
}
