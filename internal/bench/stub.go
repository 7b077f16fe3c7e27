package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/ordered"
)

// A stub is a registry that does the least that a registry has to do, and checks
// nothing. It routes by the path, hashes and keeps content, and serves the
// content with the header that clients need. If it has a directory, it keeps
// blobs in files and rewrites an index for every manifest.
type stub struct {
	dir string

	mu      sync.RWMutex
	blobs   map[string][]byte
	types   map[string]string
	tags    ordered.Map[string]
	uploads map[string]*bytes.Buffer
	lastID  int
	index   ocispec.Index
	refs    map[string][]ocispec.Descriptor
}

func newStub(dir string) *stub {
	s := &stub{
		dir: dir, blobs: map[string][]byte{}, types: map[string]string{},
		uploads: map[string]*bytes.Buffer{}, refs: map[string][]ocispec.Descriptor{},
	}
	if dir != "" {
		os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o777)
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o666)
		if text, err := os.ReadFile(filepath.Join(dir, "index.json")); err == nil {
			json.Unmarshal(text, &s.index)
			for _, d := range s.index.Manifests {
				s.tags.Set(d.Annotations[ocispec.AnnotationRefName], string(d.Digest))
				s.types[string(d.Digest)] = d.MediaType
			}
		}
	}
	return s
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch i := strings.LastIndexByte(path, '/'); {
	case path == "/v2/":
		w.WriteHeader(http.StatusOK)
	case strings.HasSuffix(path, "/blobs/uploads/"):
		s.start(w, r, path)
	case strings.HasSuffix(path[:i], "/uploads"):
		s.upload(w, r, path)
	case strings.HasSuffix(path[:i], "/blobs"):
		s.get(w, r, path[i+1:], "application/octet-stream")
	case strings.HasSuffix(path[:i], "/manifests"):
		s.manifest(w, r, path[i+1:])
	case strings.HasSuffix(path, "/tags/list"):
		s.list(w, r)
	case strings.HasSuffix(path[:i], "/referrers"):
		s.referrers(w, path[i+1:])
	}
}

func (s *stub) start(w http.ResponseWriter, r *http.Request, path string) {
	s.mu.Lock()
	s.lastID++
	id := strconv.Itoa(s.lastID)
	s.uploads[id] = &bytes.Buffer{}
	s.mu.Unlock()
	w.Header()["Location"] = []string{path + id}
	w.WriteHeader(http.StatusAccepted)
}

func (s *stub) upload(w http.ResponseWriter, r *http.Request, path string) {
	id := path[strings.LastIndexByte(path, '/')+1:]
	s.mu.RLock()
	kept := s.uploads[id]
	s.mu.RUnlock()
	if s.dir == "" && kept.Len() == 0 && r.ContentLength > 0 {
		kept.Grow(int(r.ContentLength))
	}
	h := sha256.New()
	if s.dir != "" {
		s.toFile(h, id, r)
	} else {
		kept.ReadFrom(io.TeeReader(r.Body, h))
	}
	if r.Method == http.MethodPatch {
		w.Header()["Location"] = []string{path}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s.mu.Lock()
	delete(s.uploads, id)
	s.mu.Unlock()
	d := r.URL.Query().Get("digest")
	if s.dir != "" {
		os.Rename(filepath.Join(s.dir, id), s.file(d))
	} else {
		s.mu.Lock()
		s.blobs[d] = kept.Bytes()
		s.mu.Unlock()
	}
	created(w, d)
}

func (s *stub) toFile(h io.Writer, id string, r *http.Request) {
	f, err := os.OpenFile(filepath.Join(s.dir, id), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return
	}
	defer f.Close()
	io.CopyBuffer(struct{ io.Writer }{f}, io.TeeReader(r.Body, h), make([]byte, 256<<10))
}

func (s *stub) file(d string) string {
	return filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(d, "sha256:"))
}

func created(w http.ResponseWriter, d string) {
	w.Header()["Location"] = []string{d}
	w.Header()["Docker-Content-Digest"] = []string{d}
	w.WriteHeader(http.StatusCreated)
}

func (s *stub) manifest(w http.ResponseWriter, r *http.Request, ref string) {
	if r.Method != http.MethodPut {
		s.mu.RLock()
		if d, ok := s.tags.Get(ref); ok {
			ref = d
		}
		mediaType := s.types[ref]
		s.mu.RUnlock()
		s.get(w, r, ref, mediaType)
		return
	}
	content := make([]byte, r.ContentLength)
	io.ReadFull(r.Body, content)
	sum := sha256.Sum256(content)
	d := "sha256:" + hex.EncodeToString(sum[:])
	var parsed ocispec.Manifest
	json.Unmarshal(content, &parsed)
	if s.dir != "" {
		temp := s.file(d) + ".new"
		os.WriteFile(temp, content, 0o666)
		os.Rename(temp, s.file(d))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		s.blobs[d] = content
	}
	s.types[d] = r.Header.Get("Content-Type")
	if !strings.HasPrefix(ref, "sha256:") {
		s.tags.Set(ref, d)
	}
	if parsed.Subject != nil {
		desc := ocispec.Descriptor{
			MediaType: s.types[d], Digest: digest.Digest(d), Size: int64(len(content)),
			ArtifactType: parsed.Config.MediaType, Annotations: parsed.Annotations,
		}
		w.Header()["Oci-Subject"] = []string{string(parsed.Subject.Digest)}
		s.refs[string(parsed.Subject.Digest)] = append(s.refs[string(parsed.Subject.Digest)], desc)
	}
	if s.dir != "" {
		s.index.Manifests = append(s.index.Manifests, ocispec.Descriptor{
			MediaType: s.types[d], Digest: digest.Digest(d), Size: int64(len(content)),
			Annotations: map[string]string{ocispec.AnnotationRefName: ref},
		})
		text, _ := json.Marshal(s.index)
		temp := filepath.Join(s.dir, "index.json.new")
		os.WriteFile(temp, text, 0o666)
		os.Rename(temp, filepath.Join(s.dir, "index.json"))
	}
	created(w, d)
}

func (s *stub) get(w http.ResponseWriter, r *http.Request, d, mediaType string) {
	var content []byte
	if s.dir != "" {
		f, err := os.Open(s.file(d))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return
		}
		header(w, d, mediaType, info.Size())
		if r.Method == http.MethodGet {
			io.CopyN(w, f, info.Size())
		}
		return
	}
	s.mu.RLock()
	content, ok := s.blobs[d]
	s.mu.RUnlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	header(w, d, mediaType, int64(len(content)))
	if r.Method == http.MethodGet {
		w.Write(content)
	}
}

func header(w http.ResponseWriter, d, mediaType string, size int64) {
	h := w.Header()
	h["Content-Type"] = []string{mediaType}
	h["Docker-Content-Digest"] = []string{d}
	h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	w.WriteHeader(http.StatusOK)
}

func (s *stub) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.mu.Lock()
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil {
		n = s.tags.Len()
	}
	page := make([]string, 0, n)
	for tag := range s.tags.After(query.Get("last")) {
		if len(page) == n {
			break
		}
		page = append(page, tag)
	}
	s.mu.Unlock()
	text, _ := json.Marshal(map[string]any{"tags": page})
	w.Write(text)
}

func (s *stub) referrers(w http.ResponseWriter, d string) {
	s.mu.RLock()
	text, _ := json.Marshal(ocispec.Index{Manifests: s.refs[d]})
	s.mu.RUnlock()
	w.Write(text)
}
