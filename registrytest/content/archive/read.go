package archive

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/layout"
)

// ImportFrom is like [Import], but reads the archive from r. The archive may be
// compressed with gzip. If it has more than limit bytes, uncompressed, the error
// wraps an [http.MaxBytesError]. ImportFrom writes the archive to a temporary
// file first, and verifies it before it changes the store.
func ImportFrom(ctx context.Context, s registry.Store, r io.Reader, limit int64, opts ...layout.Option) (refs []string, err error) {
	file, err := os.CreateTemp("", "import-*.tar")
	if err != nil {
		return nil, fmt.Errorf("importing an archive: %w", err)
	}
	defer os.Remove(file.Name())
	err = spool(file, r, limit)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	refs, err = Import(ctx, s, file.Name(), opts...)
	if err != nil {
		return nil, &importError{strings.ReplaceAll(err.Error(), file.Name(), "the archive"), err}
	}
	return refs, nil
}

// An importError is an error without the name of the temporary file, which means
// nothing to the caller.
type importError struct {
	text string
	err  error
}

func (e *importError) Error() string { return e.text }
func (e *importError) Unwrap() error { return e.err }

// spool copies the bytes to the file, uncompressed.
func spool(file io.Writer, r io.Reader, limit int64) error {
	buffered := bufio.NewReader(r)
	r = buffered
	if start, _ := buffered.Peek(2); string(start) == "\x1f\x8b" {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return err
		}
		r = z
	}
	n, err := io.Copy(file, io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return err
	case n > limit:
		return &http.MaxBytesError{Limit: limit}
	case n == 0:
		return errors.New("it is empty, and not a tar file of image layouts or of docker save")
	}
	return nil
}
