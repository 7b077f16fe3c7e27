package content

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The image-spec module has no constants for these media types of layers, or only
// deprecated ones.
const (
	dockerLayer        = "application/vnd.docker.image.rootfs.diff.tar"
	dockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	ociForeignLayer    = "application/vnd.oci.image.layer.nondistributable.v1.tar"
)

// created returns the time at which all content claims to have been created. It is
// not zero, because some clients treat zero as unset, and not in the future.
func created() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

// A layer is one layer of a recipe, before its blob is built.
type layer struct {
	// blob is the layer itself. If it is nil, pack makes the layer: it returns the
	// content, and the number of stored blocks that hold the content in gzip's format,
	// or 0 if the layer is not in that format.
	blob *Blob
	pack func(id layerID, compressed bool) (s source, blocks int64, err error)

	uncompressed bool
	absent       bool
	urls         []string
	annotations  map[string]string
}

// A layerID identifies a generated layer. The content of the layer depends on it, so
// that all layers differ.
type layerID struct {
	platform string
	seed     uint64
	number   int // the number of the layer in its image, from 1
}

func (id layerID) String() string {
	return fmt.Sprintf("layer %d for %s, seed %d", id.number, id.platform, id.seed)
}

func (id layerID) name() string { return fmt.Sprintf("layer-%d", id.number) }

// packLayers builds the layers of the recipe, and returns them with their DiffIDs.
func (r *recipe) packLayers() (blobs []Blob, diffIDs []digest.Digest) {
	id := layerID{platform: "any platform", seed: r.seed}
	if p := r.platform; p != nil {
		id.platform = p.OS + "/" + p.Architecture
		if p.Variant != "" {
			id.platform += "/" + p.Variant
		}
	}
	// Empty slices, unlike nil, are arrays in JSON.
	blobs, diffIDs = []Blob{}, []digest.Digest{}
	for i, l := range r.layers {
		if r.err != nil {
			return nil, nil
		}
		id.number = i + 1
		b, diffID, err := l.build(id, r)
		if err != nil {
			r.fail(err)
		}
		blobs, diffIDs = append(blobs, b), append(diffIDs, diffID)
	}
	return blobs, diffIDs
}

func (l *layer) build(id layerID, r *recipe) (b Blob, diffID digest.Digest, err error) {
	if l.blob != nil {
		b, diffID = r.rehash(*l.blob), l.blob.Digest
	} else {
		s, blocks, err := l.pack(id, !l.uncompressed)
		if err != nil {
			return Blob{}, "", err
		}
		if blocks > 0 {
			s, diffID = compress(s, blocks)
			b = newBlob(l.mediaType(r.docker), s, digestOf(s, r.algorithm))
		} else {
			diffID = digestOf(s, digest.Canonical)
			b = r.rehash(newBlob(l.mediaType(r.docker), s, diffID))
		}
	}
	for k, v := range l.annotations {
		b.Annotations = with(b.Annotations, k, v)
	}
	b.URLs = append(b.URLs, l.urls...)
	b.absent = l.absent
	return b, diffID, nil
}

// rehash returns the blob with its digest computed by the recipe's algorithm.
func (r *recipe) rehash(b Blob) Blob {
	if b.source != nil && b.Digest.Algorithm() != r.algorithm {
		b.Digest = digestOf(b.source, r.algorithm)
	}
	return b
}

func (l *layer) mediaType(docker bool) string {
	var t, gz string
	switch foreign := l.urls != nil; {
	case docker && foreign:
		t, gz = dockerForeignLayer, ".gzip"
	case docker:
		t, gz = dockerLayer, ".gzip"
	case foreign:
		t, gz = ociForeignLayer, "+gzip"
	default:
		t, gz = ocispec.MediaTypeImageLayer, "+gzip"
	}
	if l.uncompressed {
		return t
	}
	return t + gz
}

func packFS(fsys fs.FS, compressed bool) (source, int64, error) {
	t, err := tarFS(fsys)
	return packTar(t, err, compressed)
}

func packFiles(files map[string]string, compressed bool) (source, int64, error) {
	t, err := tarFiles(files)
	return packTar(t, err, compressed)
}

func packTar(t source, err error, compressed bool) (source, int64, error) {
	if err != nil {
		return nil, 0, fmt.Errorf("building a layer: %w", err)
	}
	if !compressed {
		return t, 0, nil
	}
	return t, storedBlocks(t.Size()), nil
}

func packText(id layerID, compressed bool) (source, int64, error) {
	return packFiles(map[string]string{id.name() + ".txt": id.String() + "\n"}, compressed)
}

const (
	tarBlock   = 512
	tarTrailer = 2 * tarBlock
	minTar     = tarBlock + tarBlock + tarTrailer // the size of an archive with one block of content
)

// packSize returns a pack function, see [layer], for a layer of exactly this size.
func packSize(size int64) func(layerID, bool) (source, int64, error) {
	return func(id layerID, compressed bool) (source, int64, error) {
		sum := sha256.Sum256([]byte(id.String()))
		seed := binary.LittleEndian.Uint64(sum[:])
		tarSize, blocks := size, int64(0)
		if compressed {
			blocks = max(1, (size-gzipFraming+maxStored+storedHeader-1)/(maxStored+storedHeader))
			tarSize = size - gzipFraming - blocks*storedHeader
		}
		if tarSize < minTar {
			return random{seed, size}, 0, nil
		}
		return tarRandom(id.name()+".bin", seed, tarSize), blocks, nil
	}
}

// tarRandom returns a tar archive of exactly the given size, which must be at least
// minTar. It has one file with random content.
func tarRandom(name string, seed uint64, size int64) source {
	n := (size - tarBlock - tarTrailer) / tarBlock * tarBlock
	for {
		var header bytes.Buffer
		tar.NewWriter(&header).WriteHeader(tarHeader(name, 0o644, n))
		// A file of 8 GiB or more has a longer header.
		rest := size - int64(header.Len()) - n
		if rest >= tarTrailer {
			return concat{bytes.NewReader(header.Bytes()), random{seed, n}, zeros(rest)}
		}
		n -= tarBlock
	}
}

// tarFS returns a tar archive of the file system, see [FS].
func tarFS(fsys fs.FS) (source, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		h := tarHeader(name, 0o644, 0)
		switch mode := info.Mode(); {
		case mode.IsDir():
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		case mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
			if h.Linkname, err = fs.ReadLink(fsys, name); err != nil {
				return err
			}
		case mode.IsRegular():
			if mode&0o111 != 0 {
				h.Mode = 0o755
			}
			if content, err = fs.ReadFile(fsys, name); err != nil {
				return err
			}
			h.Size = int64(len(content))
		default:
			return &fs.PathError{Op: "archive", Path: name, Err: errors.ErrUnsupported}
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	return bytes.NewReader(buf.Bytes()), err
}

// tarFiles returns a tar archive of the files and their parent directories, in
// the order of [fs.WalkDir].
func tarFiles(files map[string]string) (source, error) {
	var names []string
	seen := make(map[string]bool)
	for name := range files {
		path := strings.Split(name, "/")
		for i := range path {
			parent := strings.Join(path[:i+1], "/")
			if !seen[parent] {
				seen[parent] = true
				names = append(names, parent)
			}
			if _, ok := files[parent]; ok {
				// A file has no entries below it, so ignore the rest of the path.
				break
			}
		}
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	// sort.Slice is compiled only once, but slices.SortFunc in every package.
	sort.Slice(names, func(i, j int) bool {
		return slices.Compare(strings.Split(names[i], "/"), strings.Split(names[j], "/")) < 0
	})
	for _, name := range names {
		content, isFile := files[name]
		h := tarHeader(name, 0o644, int64(len(content)))
		if !isFile {
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return bytes.NewReader(buf.Bytes()), err
}

func tarHeader(name string, mode, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size, ModTime: created()}
}
