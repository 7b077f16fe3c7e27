package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/names"
)

// These are the limits for the files with which docker save describes images.
const (
	maxJSON   = 4 << 20 // the size in bytes of a file that is read into memory
	maxLayers = 1 << 16 // the number of layers of all images together
)

// A savedImage is an image in the manifest.json of docker save.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// addDockerImages makes an OCI image layout of an archive of docker save. It adds
// the files that Docker writes itself since version 25: an index.json with the
// images that manifest.json describes, under the names that Docker gives them,
// and their manifests.
func (a *FS) addDockerImages() error {
	if a.nodes["manifest.json"] == nil {
		return errors.New("it is not an archive of images: it has neither an oci-layout with an index.json nor the manifest.json of docker save")
	}
	text, err := a.readJSON("manifest.json")
	if err != nil {
		return err
	}
	var images []savedImage
	if err := json.Unmarshal(text, &images); err != nil {
		return fmt.Errorf("reading manifest.json: %w", err)
	}
	if len(images) == 0 {
		return errors.New("manifest.json lists no images")
	}
	b := builder{FS: a, configs: make(map[int64]savedConfig), digests: make(map[int64]digest.Digest), tagged: make(map[string]digest.Digest)}
	for i, m := range images {
		if err := b.add(m); err != nil {
			return fmt.Errorf("image %d of manifest.json: %w", i+1, err)
		}
	}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: b.entries,
	})
	if err != nil {
		return err
	}
	if err := a.putText("index.json", index); err != nil {
		return err
	}
	return a.putText("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// A builder builds an OCI image layout from the files of docker save. It reads
// each file once, even if several images name it: the maps configs and digests have
// the offset of a file in the archive as their key.
type builder struct {
	*FS
	configs map[int64]savedConfig
	digests map[int64]digest.Digest
	tagged  map[string]digest.Digest // the digest of the config for each tag
	layers  int
	entries []ocispec.Descriptor
}

// A savedConfig holds the digest of an image's config, and the digests of the
// uncompressed layers that the config lists.
type savedConfig struct {
	id      digest.Digest
	diffIDs []digest.Digest
}

// config returns the file of an image's config and its parsed content.
func (b *builder) config(name string) (*node, savedConfig, error) {
	n, err := b.file(name)
	if err != nil {
		return nil, savedConfig{}, err
	}
	c, known := b.configs[n.offset]
	if !known {
		text, err := b.readJSON(name)
		if err != nil {
			return nil, c, err
		}
		var image struct {
			RootFS ocispec.RootFS `json:"rootfs"`
		}
		if err := json.Unmarshal(text, &image); err != nil {
			return nil, c, fmt.Errorf("reading config %.100q: %w", name, err)
		}
		c = savedConfig{digest.FromBytes(text), image.RootFS.DiffIDs}
		b.configs[n.offset] = c
	}
	if named := namedDigest(name); named != "" && named != c.id {
		return nil, c, fmt.Errorf("config %.100q has the digest %s, not the one in its name", name, c.id)
	}
	return n, c, nil
}

// add adds an image, with an entry in index.json for each of its tags.
func (b *builder) add(m savedImage) error {
	file, config, err := b.config(m.Config)
	if err != nil {
		return err
	}
	if len(config.diffIDs) != len(m.Layers) {
		return fmt.Errorf("it has %d layers, but its config has %d", len(m.Layers), len(config.diffIDs))
	}
	if b.layers += len(m.Layers); b.layers > maxLayers {
		return fmt.Errorf("the images have more than %d layers", maxLayers)
	}
	id := config.id
	if err := b.putBlob(id, file); err != nil {
		return err
	}
	built := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: id, Size: file.size},
		Layers:    []ocispec.Descriptor{},
	}
	for i, name := range m.Layers {
		layer, err := b.layer(name, config.diffIDs[i])
		if err != nil {
			return fmt.Errorf("layer %.100q: %w", name, err)
		}
		built.Layers = append(built.Layers, layer)
	}
	text, err := json.Marshal(built)
	if err != nil {
		return err
	}
	entry := ocispec.Descriptor{MediaType: built.MediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	if err := b.putBlob(entry.Digest, &node{text: text, size: entry.Size}); err != nil {
		return err
	}
	if len(m.RepoTags) == 0 {
		b.entries = append(b.entries, entry)
	}
	for _, tag := range m.RepoTags {
		full, err := fullName(tag)
		if err != nil {
			return err
		}
		if other, taken := b.tagged[full]; taken && other != id {
			return fmt.Errorf("%q is the name of another image, too", tag)
		} else if taken {
			continue
		}
		b.tagged[full] = id
		entry.Annotations = map[string]string{
			"io.containerd.image.name": full,
			ocispec.AnnotationRefName:  full[strings.LastIndexByte(full, ':')+1:],
		}
		b.entries = append(b.entries, entry)
	}
	return nil
}

// layer adds the file of a layer as a blob, and returns its descriptor. The media
// type depends on the compression with which the layer was saved.
func (b *builder) layer(name string, diffID digest.Digest) (ocispec.Descriptor, error) {
	n, err := b.file(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: b.digests[n.offset], Size: n.size}
	if d.Digest == "" {
		if d.Digest, err = digest.FromReader(n.open(b.from)); err != nil {
			return d, err
		}
		b.digests[n.offset] = d.Digest
	}
	start := make([]byte, 4)
	io.ReadFull(n.open(b.from), start)
	switch {
	case bytes.HasPrefix(start, []byte(gzipMagic)):
		d.MediaType = ocispec.MediaTypeImageLayerGzip
	case bytes.HasPrefix(start, []byte(zstdMagic)):
		d.MediaType = ocispec.MediaTypeImageLayerZstd
	case d.Digest != diffID:
		return d, fmt.Errorf("it has the digest %s, but the config of the image says %s", d.Digest, diffID)
	}
	return d, b.putBlob(d.Digest, n)
}

// putBlob adds a file for a blob to the layout, unless the layout has it.
func (b *builder) putBlob(d digest.Digest, n *node) error {
	name := "blobs/" + string(d.Algorithm()) + "/" + d.Encoded()
	if b.nodes[name] != nil {
		return nil
	}
	return b.nodes.put(name, &node{name: path.Base(name), offset: n.offset, size: n.size, text: n.text})
}

// file returns the file at a path that manifest.json names. It returns an error
// if the archive does not have the file.
func (a *FS) file(name string) (*node, error) {
	if n := a.nodes[path.Clean(name)]; n != nil && !n.isDir() {
		return n, nil
	}
	return nil, fmt.Errorf("the archive has no file %.100q", name)
}

// readJSON returns the content of a file that may have at most maxJSON bytes.
func (a *FS) readJSON(name string) ([]byte, error) {
	n, err := a.file(name)
	if err != nil {
		return nil, err
	}
	if n.size > maxJSON {
		return nil, fmt.Errorf("%.100q has %d bytes, more than %d", name, n.size, maxJSON)
	}
	text := make([]byte, n.size)
	if _, err := io.ReadFull(n.open(a.from), text); err != nil {
		return nil, fmt.Errorf("reading %.100q: %w", name, err)
	}
	return text, nil
}

// putText adds a file with the text. It replaces a file of that name in the archive.
func (a *FS) putText(name string, text []byte) error {
	return a.nodes.put(name, &node{name: path.Base(name), text: text, size: int64(len(text))})
}

// namedDigest returns the digest in the name of a config's file, or "". Tools
// name the file <hex>.json, sha256:<hex> or blobs/sha256/<hex>.
func namedDigest(name string) digest.Digest {
	encoded := strings.TrimPrefix(strings.TrimSuffix(path.Base(name), ".json"), "sha256:")
	if d := digest.NewDigestFromEncoded(digest.SHA256, encoded); d.Validate() == nil {
		return d
	}
	return ""
}

// fullName returns a tag of Docker with its host, such as
// docker.io/library/app:v1 for app:v1.
func fullName(tag string) (string, error) {
	host, rest := names.SplitHost(tag)
	if r, err := names.ParseReference(rest); err != nil || r.Tag == "" || r.Digest != "" {
		return "", fmt.Errorf("%.300q is not a name with a tag", tag)
	}
	if host == "" || host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return host + "/" + rest, nil
}
