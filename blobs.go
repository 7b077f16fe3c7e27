package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"github.com/ocireg/registry/internal/names"
)

const blobMediaType = "application/octet-stream"

// getBlob answers end-2 (Pulling blobs, Checking if content exists in the
// registry).
func (h *handler) getBlob(w http.ResponseWriter, r *Request) error {
	ctx := r.Context()
	if r.Op == HeadBlob {
		size, err := h.store.StatBlob(ctx, r.Repo, r.Digest)
		if err != nil {
			return h.blobError(r, "looking up", err)
		}
		return h.serveContent(w, r, blobMediaType, r.Digest, size, sized(size))
	}
	content, err := h.store.OpenBlob(ctx, r.Repo, r.Digest)
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

// deleteBlob answers end-10 (Deleting Blobs).
func (h *handler) deleteBlob(w http.ResponseWriter, r *Request) error {
	if err := h.store.DeleteBlob(r.Context(), r.Repo, r.Digest); err != nil {
		return h.blobError(r, "deleting", err)
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// mountBlob answers end-11 (Mounting a blob from another repository).
func (h *handler) mountBlob(w http.ResponseWriter, r *Request) error {
	if r.From == "" && h.without.has(AnonymousMount) || r.From != "" && !names.Repository(r.From) {
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
	return writeCreated(w, r, "blobs", r.Digest)
}

func (h *handler) blobError(r *Request, doing string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return h.unknown(r, &Error{
			Code:    CodeBlobUnknown,
			Message: fmt.Sprintf("%s has no blob %s", r.Repo, r.Digest),
			Detail:  err.Error(), // A store on disk names the file.
		})
	}
	return fmt.Errorf("%s blob %s of %s: %w", doing, r.Digest, r.Repo, err)
}

// unknown returns the error for something that is not there: that its
// repository is not there, or else the one given.
func (h *handler) unknown(r *Request, otherwise error) error {
	for _, err := range h.store.Tags(r.Context(), r.Repo, "") {
		if errors.Is(err, fs.ErrNotExist) {
			return Errorf(CodeNameUnknown, "there is no repository %s", r.Repo)
		}
		break
	}
	return otherwise
}

// sized stands for content that is not going to be read: for HEAD, only its
// size matters.
type sized int64

func (s sized) Read([]byte) (int, error) { return 0, io.EOF }

func (s sized) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset += int64(s)
	}
	return offset, nil
}
