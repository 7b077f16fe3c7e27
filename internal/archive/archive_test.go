package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// An entry is the header and the content of an entry in a tar archive.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func special(kind byte, name, link string) entry {
	return entry{tar.Header{Typeflag: kind, Name: name, Linkname: link}, ""}
}

func symlink(name, to string) entry  { return special(tar.TypeSymlink, name, to) }
func hardlink(name, to string) entry { return special(tar.TypeLink, name, to) }

// pack returns a tar archive with the entries, without the blocks of zeros at its end.
func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		require.NoError(t, w.WriteHeader(&e.Header))
		_, err := io.WriteString(w, e.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	return b.Bytes()
}

func read(t testing.TB, archive []byte) (*FS, error) {
	t.Helper()
	return New(bytes.NewReader(archive), int64(len(archive)))
}

// marker and index are the files of the smallest layout.
var (
	marker = file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
	index  = file("index.json", `{"schemaVersion":2,"manifests":[]}`)
)

func TestFilesOfArchive(t *testing.T) {
	t.Parallel()
	a, err := read(t, pack(t,
		special(tar.TypeXGlobalHeader, "", ""), marker, special(tar.TypeDir, "./blobs/", ""), index,
		file("./blobs/sha256/a", "first"), file("blobs/sha512/empty", ""), special(tar.TypeDir, "blobs", ""),
		symlink("blobs/sha256/link", "../sha512/../sha256/a"), hardlink("hard", "./blobs/sha256/link"),
		file("blobs/sha256/a", "first"), file(strings.Repeat("long/", 60)+"name", "deep"),
	))
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(a, "oci-layout", "index.json", "blobs/sha256/a", "blobs/sha512/empty", "blobs/sha256/link", "hard", strings.Repeat("long/", 60)+"name"))
	for name, want := range map[string]string{"blobs/sha256/link": "first", "hard": "first", "blobs/sha512/empty": ""} {
		content, err := fs.ReadFile(a, name)
		require.NoError(t, err)
		require.Equal(t, want, string(content))
	}
	_, err = a.Stat("none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = a.ReadDir("hard")
	require.Error(t, err)
}

func TestHostileArchives(t *testing.T) {
	t.Parallel()
	huge := file("blobs/sha256/a", "x")
	huge.Size, huge.content = 1<<40, ""
	sparse := file("blobs/sha256/a", "x")
	sparse.PAXRecords = map[string]string{"GNU.sparse.size": "1099511627776", "GNU.sparse.numblocks": "0", "GNU.sparse.map": ""}
	loop := []entry{marker, index, symlink("lu", "oci-layout")}
	for i := range 20 {
		loop = append(loop, symlink("l"+string(rune('a'+i)), "l"+string(rune('b'+i))))
	}
	for name, test := range map[string]struct {
		archive []byte
		want    string
	}{
		"path outside":            {pack(t, file("../etc/passwd", "x"), marker, index), `entry "../etc/passwd" leads out of the archive`},
		"path outside in between": {pack(t, file("blobs/../../x", "x"), marker, index), `leads out of the archive`},
		"absolute path":           {pack(t, file("/index.json", "x"), marker), `entry "/index.json" leads out of the archive`},
		"long path":               {pack(t, file(strings.Repeat("a", 5000), "x")), "has a name of 5000 bytes, more than 4096"},
		"link outside":            {pack(t, marker, index, symlink("blobs/sha256/a", "../../../etc/passwd")), `entry "blobs/sha256/a" is a link that leads out of the archive`},
		"absolute link":           {pack(t, marker, index, symlink("a", "/etc/passwd")), "is a link that leads out of the archive"},
		"hard link outside":       {pack(t, marker, index, hardlink("a", "../x")), "is a link that leads out of the archive"},
		"link to nothing":         {pack(t, marker, index, symlink("a", "b")), `link "a" leads to "b", which is not a file of the archive`},
		"link to a directory":     {pack(t, marker, index, special(tar.TypeDir, "d", ""), symlink("a", "d")), `link "a" leads to "d", which is not a file of the archive`},
		"link to itself":          {pack(t, marker, index, symlink("a", "a")), `link "a" leads to more than 16 others, or to itself`},
		"chain of links":          {pack(t, loop...), "leads to more than 16 others, or to itself"},
		"device":                  {pack(t, marker, index, special(tar.TypeChar, "dev/null", "")), `entry "dev/null" is neither a file, a directory nor a link`},
		"fifo":                    {pack(t, marker, index, special(tar.TypeFifo, "pipe", "")), "is neither a file, a directory nor a link"},
		"other content":           {pack(t, marker, index, file("blobs/sha256/a", "one"), file("./blobs/sha256/a", "two")), `entry "./blobs/sha256/a" is in the archive twice, with different content`},
		"other size":              {pack(t, marker, index, file("oci-layout", "{}")), "is in the archive twice, with different content"},
		"file and link":           {pack(t, marker, index, file("a", "x"), symlink("a", "oci-layout")), "is in the archive twice, with different content"},
		"file and directory":      {pack(t, marker, index, file("a", "x"), file("a/b", "x")), `entry "a/b" is in a directory, but a is a file`},
		"directory and file":      {pack(t, marker, index, file("a/b", "x"), file("a", "x")), `entry "a" is in the archive twice, with different content`},
		"file as root":            {pack(t, marker, index, file(".", "x")), `entry "." is in the archive twice`},
		"truncated content":       {pack(t, marker, index, file("blobs/sha256/a", strings.Repeat("x", 2000)))[:4*512+2000], "has 2000 bytes, but the archive ends after 1488: it is truncated"},
		"truncated header":        {pack(t, marker, index)[:2*512+100], "entry 2: unexpected EOF"},
		"huge entry":              {append(headerOf(t, huge), pack(t, marker, index)...), "has 1099511627776 bytes, but the archive ends after 2048: it is truncated"},
		"sparse file":             {sparseOf(t, sparse), "is a sparse file"},
		"no index":                {pack(t, marker), "it is not an archive of images"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(t, test.archive)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestHugeIndex(t *testing.T) {
	t.Parallel()
	huge := file("index.json", "")
	huge.Size = maxIndex + 1
	start := append(pack(t, marker), headerOf(t, huge)...)
	_, err := New(thenZeros(start), int64(len(start)+maxIndex+512))
	require.ErrorContains(t, err, "index.json has 67108865 bytes, more than 67108864")
}

// New reads the headers of an archive, but not the content of large files.
func TestLargeFilesAreNotRead(t *testing.T) {
	t.Parallel()
	huge := file("blobs/sha256/a", "")
	huge.Size = 1 << 40
	start := append(pack(t, marker, index), headerOf(t, huge)...)
	r := &counting{thenZeros: start}
	a, err := New(r, int64(len(start))+1<<40)
	require.NoError(t, err)
	require.Less(t, r.read, int64(16<<10))
	info, err := a.Stat("blobs/sha256/a")
	require.NoError(t, err)
	require.Equal(t, int64(1<<40), info.Size())
}

// counting is a reader that counts the bytes read from it.
type counting struct {
	thenZeros
	read int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.read += int64(len(p))
	return c.thenZeros.ReadAt(p, off)
}

// thenZeros is a reader that yields its bytes and then zeros without end.
type thenZeros []byte

func (z thenZeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z)) {
		copy(p, z[off:])
	}
	return len(p), nil
}

// headerOf returns the header of an entry in a tar archive, without the content.
func headerOf(t *testing.T, e entry) []byte {
	var b bytes.Buffer
	require.NoError(t, tar.NewWriter(&b).WriteHeader(&e.Header))
	return b.Bytes()
}

// sparseOf returns an archive with an entry in the sparse format of GNU tar, which
// package tar reads but does not write.
func sparseOf(t *testing.T, e entry) []byte {
	records := e.PAXRecords
	e.PAXRecords = map[string]string{}
	for key, value := range records {
		e.PAXRecords[strings.Replace(key, "GNU.", "ANU.", 1)] = value
	}
	return bytes.ReplaceAll(pack(t, e), []byte("ANU.sparse"), []byte("GNU.sparse"))
}

func TestTooManyEntries(t *testing.T) {
	t.Parallel()
	var block bytes.Buffer
	w := tar.NewWriter(&block)
	e := special(tar.TypeDir, "d/", "")
	require.NoError(t, w.WriteHeader(&e.Header))
	_, err := New(repeated(block.Bytes()), int64(block.Len())*(maxEntries+1))
	require.ErrorContains(t, err, "it has more than 262144 entries")
}

// An archive is refused if its paths have too many directories, even if it has few
// entries.
func TestTooManyDirectories(t *testing.T) {
	t.Parallel()
	deep := []entry{marker, index}
	for i := range 3000 {
		deep = append(deep, file(fmt.Sprint(i)+strings.Repeat("/d", 100), ""))
	}
	_, err := read(t, pack(t, deep...))
	require.ErrorContains(t, err, "has a path that brings the archive to more than 262144 files and directories")
}

// repeated is a reader that repeats its bytes without end.
type repeated []byte

func (r repeated) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], r[(off+int64(n))%int64(len(r)):])
	}
	return len(p), nil
}

// Open unpacks a compressed archive to a temporary file. The file is removed when
// the archive and its open files are closed.
func TestCompressedArchive(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(pack(t, marker, index, file("blobs/sha256/a", "content")))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	name := filepath.Join(t.TempDir(), "app.tgz")
	require.NoError(t, os.WriteFile(name, b.Bytes(), 0o600))
	a, err := Open(name)
	require.NoError(t, err)
	content, err := fs.ReadFile(a, "blobs/sha256/a")
	require.NoError(t, err)
	require.Equal(t, "content", string(content))
	open, err := a.Open("blobs/sha256/a")
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.ErrorIs(t, a.Close(), fs.ErrClosed)
	content, err = io.ReadAll(open)
	require.NoError(t, err)
	require.Equal(t, "content", string(content))
	require.NoError(t, open.Close())
	require.ErrorIs(t, open.Close(), fs.ErrClosed)
	_, err = a.Open("blobs/sha256/a")
	require.ErrorIs(t, err, fs.ErrClosed)

	require.NoError(t, os.WriteFile(name, b.Bytes()[:b.Len()-20], 0o600))
	_, err = Open(name)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = Open(name + ".none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// FuzzNew checks that New refuses an archive or returns a valid file system.
func FuzzNew(f *testing.F) {
	f.Add(pack(f, marker, index, file("blobs/sha256/a", "x"), symlink("b", "blobs/sha256/a")))
	f.Add(pack(f, saved(`["app:v1"]`)...))
	f.Add(pack(f, append(saved(`null`), hardlink("c", "layer.tar"))...))
	f.Fuzz(func(t *testing.T, archive []byte) {
		a, err := read(t, archive)
		if err != nil {
			if a != nil {
				t.Error("New returned an FS and an error")
			}
			return
		}
		var read int64
		err = fs.WalkDir(a, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := fs.ReadFile(a, name)
			if info, _ := d.Info(); err == nil && info.Size() != int64(len(content)) {
				t.Errorf("%s has %d bytes, but its size is %d", name, len(content), info.Size())
			}
			read += int64(len(content))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for _, name := range []string{"oci-layout", "index.json"} {
			if _, err := a.Stat(name); err != nil && len(a.nodes) < 3 {
				t.Error(err)
			}
		}
	})
}
