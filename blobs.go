package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/names"
)

const blobMediaType = "application/octet-stream"

// getBlob implements GET and HEAD of end-2 (Pulling blobs, Checking if content
// exists in the registry).
func (h *handler) getBlob(w http.ResponseWriter, r *Request) error {
	ctx := r.Context()
	repo, err := h.blobRepository(r, r.Digest)
	if err != nil {
		return h.blobError(r, "looking up", err)
	}
	if r.Op == HeadBlob {
		size, err := h.store.StatBlob(ctx, repo, r.Digest)
		if err != nil {
			return h.blobError(r, "looking up", err)
		}
		return h.serveContent(w, r, blobMediaType, r.Digest, size, sized(size))
	}
	content, err := h.store.OpenBlob(ctx, repo, r.Digest)
	if err != nil {
		return h.blobError(r, "opening", err)
	}
	defer content.Close()
	size, err := content.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("seeking in blob %s of %s: %w", r.Digest, r.Repo, err)
	}
	return h.serveContent(w, r, blobMediaType, r.Digest, size, content)
}

// blobRepository returns the repository to read the blob from. This is the
// repository of the request, unless the registry is without [BlobIsolation]:
// then it is any repository that has the blob and that the client may read.
func (h *handler) blobRepository(r *Request, d digest.Digest) (string, error) {
	if !h.without.has(BlobIsolation) {
		return r.Repo, nil
	}
	return h.anyRepository(r, d)
}

// anyRepository is the part of blobRepository for a registry without
// [BlobIsolation]. If the loop were in blobRepository, every other registry
// would make two more allocations.
func (h *handler) anyRepository(r *Request, d digest.Digest) (string, error) {
	ctx := r.Context()
	if _, err := h.store.StatBlob(ctx, r.Repo, d); !errors.Is(err, fs.ErrNotExist) {
		return r.Repo, err
	}
	for repo, err := range h.visible(r, ActionPull, "") {
		if err == nil {
			_, err = h.store.StatBlob(ctx, repo, d)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return repo, err
		}
	}
	return "", fmt.Errorf("no repository has blob %s: %w", d, fs.ErrNotExist)
}

// requireBlob returns an error unless the repository of the request has the
// blob. In a registry without [BlobIsolation], it mounts the blob from a
// repository that has it.
func (h *handler) requireBlob(r *Request, d digest.Digest) error {
	if !h.computes(d.Algorithm()) {
		return fs.ErrNotExist
	}
	repo, err := h.blobRepository(r, d)
	switch {
	case err != nil:
		return err
	case repo != r.Repo:
		return h.store.MountBlob(r.Context(), r.Repo, d, repo)
	}
	_, err = h.store.StatBlob(r.Context(), repo, d)
	return err
}

// deleteBlob implements end-10 (Deleting Blobs).
func (h *handler) deleteBlob(w http.ResponseWriter, r *Request) error {
	err := h.checkDelete(r)
	if err != nil {
		return err
	}
	if h.without.has(BlobIsolation) {
		err = h.deleteShared(r)
	} else {
		err = h.store.DeleteBlob(r.Context(), r.Repo, r.Digest)
	}
	if err != nil {
		return h.blobError(r, "deleting", err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// deleteShared deletes the blob of the request from every repository from which
// the client may delete.
func (h *handler) deleteShared(r *Request) error {
	err := fs.ErrNotExist
	for repo, listErr := range h.visible(r, ActionDelete, "") {
		if listErr != nil {
			return listErr
		}
		switch e := h.store.DeleteBlob(r.Context(), repo, r.Digest); {
		case e == nil && errors.Is(err, fs.ErrNotExist):
			err = nil
		case e != nil && !errors.Is(e, fs.ErrNotExist):
			err = e
		}
	}
	return err
}

// mountBlob implements end-11 (Mounting a blob from another repository). It starts
// an upload session instead if no repository that the client may read has the
// blob, or if an argument is missing or invalid (Docker Registry HTTP API V2,
// Cross Repository Blob Mount).
func (h *handler) mountBlob(w http.ResponseWriter, r *Request) error {
	if r.Digest == "" || r.From == "" && h.without.has(AnonymousMount) || r.From != "" && !names.Repository(r.From) {
		return h.startUpload(w, r)
	}
	from, err := h.mountSource(r)
	if err == nil {
		err = h.store.MountBlob(r.Context(), r.Repo, r.Digest, from)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h.startUpload(w, r)
	case err != nil:
		return fmt.Errorf("mounting blob %s from %q to %s: %w", r.Digest, r.From, r.Repo, err)
	}
	return h.writeCreated(w, r, "blobs", r.Digest)
}

func (h *handler) blobError(r *Request, doing string, err error) error {
	if !isMissing(err) {
		return fmt.Errorf("%s blob %s of %s: %w", doing, r.Digest, r.Repo, err)
	}
	e := Errorf(CodeBlobUnknown, "%s has no blob %s", r.Repo, r.Digest)
	e.Detail = detail(r)
	return h.unknown(r, e)
}

// isMissing reports whether the error means that content does not exist. It
// returns false if the error wraps an [*Error], because the client gets that
// error of the store instead.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) && len(errorsIn(err)) == 0 }

// unknown returns the error for content that does not exist: a NAME_UNKNOWN if
// its repository does not exist, or else the given error. Of the methods of a Store,
// only Tags tells whether a repository exists; unknown asks it for one tag.
func (h *handler) unknown(r *Request, otherwise error) error {
	for _, err := range h.store.Tags(r.Context(), r.Repo, "") {
		if errors.Is(err, fs.ErrNotExist) {
			return nameUnknown(r)
		}
		break
	}
	return otherwise
}

// nameUnknown returns the error for a request whose repository does not exist.
func nameUnknown(r *Request) error {
	e := Errorf(CodeNameUnknown, "there is no repository %s", r.Repo)
	e.Detail = map[string]string{"name": r.Repo}
	return e
}

// detail returns the repository, tag and digest of the request, for the detail
// of an error.
func detail(r *Request) map[string]string {
	d := map[string]string{"name": r.Repo}
	if r.Tag != "" {
		d["tag"] = r.Tag
	}
	if r.Digest != "" {
		d["digest"] = string(r.Digest)
	}
	return d
}

// A sized stands for content of which only the size is known, in the response to
// a HEAD request.
type sized int64

func (s sized) Read([]byte) (int, error) { return 0, io.EOF }

func (s sized) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset += int64(s)
	}
	return offset, nil
}
