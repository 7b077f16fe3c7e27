package flatpak

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/manifest"
)

const (
	maxIndex   = 16 << 20 // size of the largest index
	maxContent = 4 << 20  // size of the largest manifest or config that is read
	maxNotes   = 10       // largest number of notes for one index
)

// The types of the JSON objects in an index.
type (
	result struct {
		Name   string
		Images []json.RawMessage // encoded images
		Lists  []list
	}
	list struct {
		Tags              []string
		Digest, MediaType string
		Images            []json.RawMessage
	}
	image struct {
		Tags                                []string `json:",omitempty"`
		Digest, MediaType, OS, Architecture string
		Annotations, Labels                 map[string]string
	}
)

// A builder builds the index for one request.
type builder struct {
	*registry.Request
	query query
	room  int // remaining bytes for images
	notes int
}

// errOther is the error for an image that the query does not select, or that
// Flatpak does not support.
var errOther = errors.New("the image is not wanted")

// repositories returns the results for all repositories that have images in the
// index.
func (b *builder) repositories() ([]result, error) {
	results := []result{}
	for repo, err := range b.Store().Repositories(b.Context(), "") {
		if err != nil {
			return nil, fmt.Errorf("listing the repositories: %w", err)
		}
		if !b.query.repositories.match(repo) || !b.Public(repo) {
			continue
		}
		r, err := b.repository(repo)
		if err != nil {
			return nil, err
		}
		if len(r.Images)+len(r.Lists) > 0 {
			results = append(results, r)
		}
	}
	return results, nil
}

// A found is a manifest with at least one tag.
type found struct {
	digest digest.Digest
	tags   []string
}

// repository returns the images of a repository that the query selects.
func (b *builder) repository(repo string) (result, error) {
	r := result{Name: repo, Images: []json.RawMessage{}, Lists: []list{}}
	all, err := b.tagged(repo)
	if err != nil {
		return r, err
	}
	// Remember images that are not selected, since several indexes may list
	// them.
	other := make(map[digest.Digest]bool)
	for _, f := range all {
		m, d, err := b.manifest(repo, f.digest)
		if err == nil && manifest.Index(m.MediaType) {
			l := list{f.tags, string(f.digest), m.MediaType, nil}
			if l.Images, err = b.children(repo, d, other); err != nil {
				return r, err
			}
			if len(l.Images) > 0 {
				r.Lists = append(r.Lists, l)
			}
			continue
		}
		if err == nil {
			var text json.RawMessage
			if text, err = b.image(repo, m, d, f.tags); err == nil {
				r.Images = append(r.Images, text)
			}
		}
		if err := b.leftOut(repo, string(f.digest), err); err != nil {
			return r, err
		}
	}
	return r, nil
}

// tagged returns the manifests in the repository that have a selected tag, each
// with all of its tags. The manifests are in the order of their first tags.
func (b *builder) tagged(repo string) (wanted []*found, err error) {
	byDigest := make(map[digest.Digest]*found)
	var all []*found
	for tag, err := range b.Store().Tags(b.Context(), repo, "") {
		if err == nil {
			err = b.Context().Err()
		}
		if err != nil {
			return nil, b.leftOut(repo, "", err)
		}
		desc, err := b.Store().StatManifest(b.Context(), repo, tag)
		if err != nil {
			if err := b.leftOut(repo, tag, err); err != nil {
				return nil, err
			}
			continue
		}
		f := byDigest[desc.Digest]
		if f == nil {
			f = &found{digest: desc.Digest}
			byDigest[desc.Digest] = f
			all = append(all, f)
		}
		f.tags = append(f.tags, tag)
	}
	for _, f := range all {
		for _, tag := range f.tags {
			if b.query.tags.match(tag) {
				wanted = append(wanted, f)
				break
			}
		}
	}
	return wanted, nil
}

// children returns the selected images of an index. The map other has the
// digests of images that are not selected: children skips those in the map, and
// adds further ones.
func (b *builder) children(repo string, d *manifest.Document, other map[digest.Digest]bool) (images []json.RawMessage, err error) {
	listed := make(map[digest.Digest]bool)
	for _, child := range d.Manifests {
		if other[child.Digest] || listed[child.Digest] || manifest.Index(child.MediaType) {
			continue
		}
		m, d, err := b.manifest(repo, child.Digest)
		var text json.RawMessage
		if err == nil {
			text, err = b.image(repo, m, d, nil)
		}
		if err == nil {
			listed[child.Digest] = true
			images = append(images, text)
			continue
		}
		other[child.Digest] = true
		if errors.Is(err, fs.ErrNotExist) && m.Content == nil {
			continue // Often a registry has only some platforms of an image.
		}
		if err := b.leftOut(repo, string(child.Digest), err); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// manifest returns the manifest with the digest, and its parsed content.
func (b *builder) manifest(repo string, d digest.Digest) (registry.Manifest, *manifest.Document, error) {
	if err := b.Context().Err(); err != nil {
		return registry.Manifest{}, nil, err
	}
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return registry.Manifest{}, nil, errOther
	}
	desc, err := b.Store().StatManifest(b.Context(), repo, string(d))
	if err == nil && desc.Size > maxContent {
		err = fmt.Errorf("it has %d bytes, more than %d", desc.Size, maxContent)
	}
	if err != nil {
		return registry.Manifest{}, nil, err
	}
	m, err := b.Store().GetManifest(b.Context(), repo, string(d))
	if err != nil {
		return m, nil, err
	}
	parsed, err := manifest.Parse(m.MediaType, m.Content)
	if err == nil {
		err = parsed.Check(m.MediaType)
	}
	m.Digest = d
	return m, &parsed, err
}

// image returns the JSON of an image in the index. It returns errOther if the
// query does not select the image, or Flatpak does not support it.
func (b *builder) image(repo string, m registry.Manifest, d *manifest.Document, tags []string) (json.RawMessage, error) {
	if !manifest.Image(m.MediaType) || d.Config == nil {
		return nil, errOther
	}
	for blob := range d.RequiredBlobs {
		if blob.Algorithm() != digest.SHA256 {
			return nil, errOther
		}
	}
	i := image{Tags: tags, Digest: string(m.Digest), MediaType: m.MediaType, Annotations: d.Annotations}
	if err := b.readConfig(repo, d.Config.Digest, &i); err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Config.Digest, err)
	}
	if !b.query.match(&i) {
		return nil, errOther
	}
	if i.Annotations == nil {
		i.Annotations = map[string]string{}
	}
	if i.Labels == nil {
		i.Labels = map[string]string{}
	}
	text, err := json.Marshal(i)
	if b.room -= len(text); err == nil && b.room < 0 {
		e := registry.Errorf(registry.CodeSizeInvalid, "the index would have more than %d bytes; select fewer images, such as those of one repository", maxIndex)
		e.Status = http.StatusInsufficientStorage
		return nil, e
	}
	return text, err
}

// readConfig sets the platform and the labels of i from the config with the
// digest.
func (b *builder) readConfig(repo string, d digest.Digest, i *image) error {
	blob, err := b.Store().OpenBlob(b.Context(), repo, d)
	if err != nil {
		return err
	}
	defer blob.Close()
	text, err := io.ReadAll(io.LimitReader(blob, maxContent+1))
	if err == nil && len(text) > maxContent {
		err = fmt.Errorf("it has more than %d bytes", maxContent)
	}
	if err != nil {
		return err
	}
	var config struct {
		OS, Architecture string
		Config           struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	i.OS, i.Architecture, i.Labels = config.OS, config.Architecture, config.Config.Labels
	return nil
}

// leftOut adds a note that a manifest is missing from the index because of err.
// If the reference is "", the note is about a whole repository. leftOut returns
// an error that must end the request, or nil.
func (b *builder) leftOut(repo, reference string, err error) error {
	var refused *registry.Error
	switch {
	case err == nil || err == errOther:
		return nil
	case b.Context().Err() != nil:
		return b.Context().Err()
	case errors.As(err, &refused) && refused.Status == http.StatusInsufficientStorage:
		return err
	case reference == "" && errors.Is(err, fs.ErrNotExist): // The repository was deleted meanwhile.
		return nil
	}
	if b.notes++; b.notes <= maxNotes {
		name := strings.TrimSuffix(repo+"@"+reference, "@")
		b.Note(fmt.Sprintf("flatpak: %s is not in the index: %v", name, err))
	}
	return nil
}
