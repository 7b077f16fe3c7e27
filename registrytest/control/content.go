package control

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/layout"
	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/archive"
)

// contentRoutes are the endpoints of the content.
var contentRoutes = []route{
	{"GET /v1/content", (*Control).export},
	{"PUT /v1/content", (*Control).replace},
	{"POST /v1/content", (*Control).addContent},
}

// contentInput is content to build. One of Image, Artifact and Raw is given.
type contentInput struct {
	Ref      string     `json:"ref"`
	Image    *partInput `json:"image"`
	Artifact *partInput `json:"artifact"`
	Raw      *struct {
		MediaType string `json:"mediaType"`
		Content   string `json:"content"`
	} `json:"raw"`
}

// partInput is an image or an artifact to build.
type partInput struct {
	Layers       *int                `json:"layers"`
	LayerSizes   []int64             `json:"layerSizes"`
	Files        []map[string]string `json:"files"`
	Platforms    []string            `json:"platforms"`
	Platform     string              `json:"platform"`
	Labels       map[string]string   `json:"labels"`
	Annotations  map[string]string   `json:"annotations"`
	ArtifactType string              `json:"artifactType"`
	Subject      string              `json:"subject"`
	Docker       bool                `json:"docker"`
	Seed         uint64              `json:"seed"`
}

// contentInfo is content in JSON.
type contentInfo struct {
	Ref       string          `json:"ref,omitempty"`
	MediaType string          `json:"mediaType"`
	Digest    digest.Digest   `json:"digest"`
	Size      int64           `json:"size"`
	Platform  string          `json:"platform,omitempty"`
	Config    digest.Digest   `json:"config,omitempty"`
	Layers    []digest.Digest `json:"layers,omitempty"`
	Manifests []contentInfo   `json:"manifests,omitempty"`
}

func describeContent(ref string, c content.Content) contentInfo {
	i := contentInfo{Ref: ref, MediaType: c.MediaType, Digest: c.Digest, Size: c.Size, Config: c.Config.Digest}
	if p := c.Platform; p != nil {
		i.Platform = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	}
	for _, l := range c.Layers {
		i.Layers = append(i.Layers, l.Digest)
	}
	for _, child := range c.Children {
		i.Manifests = append(i.Manifests, describeContent("", child))
	}
	return i
}

// maxParts is the largest number of layers and platforms that a client can have
// built.
const maxParts = 1000

// build builds the content.
func (c *Control) build(ctx context.Context, in contentInput) (built content.Content, err error) {
	given := 0
	for _, is := range []bool{in.Image != nil, in.Artifact != nil, in.Raw != nil} {
		if is {
			given++
		}
	}
	ref, err := names.ParseReference(in.Ref)
	switch {
	case err != nil:
		return built, fail(http.StatusBadRequest, "ref: %v", err)
	case given != 1:
		return built, fail(http.StatusBadRequest, "give one of image, artifact and raw")
	case in.Raw != nil:
		return content.Raw(in.Raw.MediaType, []byte(in.Raw.Content)), nil
	}
	p := in.Image
	if p == nil {
		p = in.Artifact
	}
	layers, size := len(p.LayerSizes)+len(p.Files), int64(0)
	if p.Layers != nil {
		layers += *p.Layers
	}
	for _, n := range p.LayerSizes {
		if size += n; n < 0 || n > c.MaxImport || size > c.MaxImport {
			return built, fail(http.StatusBadRequest, "layerSizes: want sizes from 0, and at most %d bytes together", c.MaxImport)
		}
	}
	if layers > maxParts || len(p.Platforms) > maxParts/10 {
		return built, fail(http.StatusBadRequest, "want at most %d layers and %d platforms", maxParts, maxParts/10)
	}
	var all []content.Part
	for k, v := range p.Annotations {
		all = append(all, content.Annotation(k, v))
	}
	if p.Subject != "" {
		subject := p.Subject
		if strings.HasPrefix(subject, "sha") {
			subject = ref.Repository + "@" + subject
		} else if !strings.ContainsAny(subject, ":@") {
			subject = ref.Repository + ":" + subject
		}
		of, err := content.Get(ctx, c.reg.Store, subject)
		if err != nil {
			return built, fail(http.StatusBadRequest, "subject: %v", err)
		}
		all = append(all, content.Subject(of))
	}
	if p.Docker {
		all = append(all, content.Docker())
	}
	own := []content.ArtifactPart{content.Seed(p.Seed)}
	if p.Layers != nil {
		own = append(own, content.Layers(*p.Layers))
	}
	if p.LayerSizes != nil {
		own = append(own, content.LayerSizes(p.LayerSizes...))
	}
	for _, files := range p.Files {
		own = append(own, content.Files(files))
	}
	if in.Artifact != nil {
		for _, part := range all {
			own = append(own, part)
		}
		if p.Labels != nil || p.Platform != "" || p.Platforms != nil {
			return built, fail(http.StatusBadRequest, "labels and platforms are for images, not for artifacts")
		}
		return content.Artifact(p.ArtifactType, own...), nil
	}
	image := func(platform string, parts ...content.Part) content.Content {
		var list []content.ImagePart
		for _, part := range own {
			list = append(list, part)
		}
		for _, part := range parts {
			list = append(list, part)
		}
		if p.Labels != nil {
			list = append(list, content.ImageConfig(ocispec.ImageConfig{Labels: p.Labels}))
		}
		if platform != "" {
			list = append(list, content.Platform(platform))
		}
		return content.Image(list...)
	}
	if p.ArtifactType != "" {
		all = append(all, content.ArtifactType(p.ArtifactType))
	}
	if p.Platforms == nil {
		return image(p.Platform, all...), nil
	}
	var children []content.IndexPart
	for _, part := range all {
		children = append(children, part)
	}
	for _, platform := range p.Platforms {
		if p.Docker {
			children = append(children, image(platform, content.Docker()))
		} else {
			children = append(children, image(platform))
		}
	}
	return content.Index(children...), nil
}

// addContent serves POST /v1/content: an object in JSON, or an archive.
func (c *Control) addContent(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	body := bufio.NewReader(r.Body)
	if first, _ := body.Peek(1); len(first) == 0 || first[0] != '{' || strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-tar") {
		refs, err := c.load(r.Context(), c.reg.Store, body)
		if err != nil {
			return err
		}
		return reply(w, http.StatusCreated, map[string]any{"refs": refs})
	}
	r.Body = io.NopCloser(body)
	text, err := readBody(r)
	if err != nil {
		return err
	}
	var in contentInput
	if err := decode(text, false, &in); err != nil {
		return err
	}
	built, err := c.build(r.Context(), in)
	if err == nil {
		if err = built.Err(); err != nil {
			err = fail(http.StatusBadRequest, "%v", err)
		}
	}
	if err == nil {
		err = content.Put(r.Context(), c.reg.Store, in.Ref, built)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return fail(http.StatusConflict, "%v", err)
	} else if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, describeContent(in.Ref, built))
}

// replace serves PUT /v1/content: the content is that of the archive afterwards,
// or stays the same if the archive is not valid.
func (c *Control) replace(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	store, err := c.memory()
	if err != nil {
		return err
	}
	other := memstore.New()
	refs, err := c.load(r.Context(), other, bufio.NewReader(r.Body))
	if err != nil {
		return err
	}
	store.Restore(other, nil)
	return reply(w, http.StatusOK, map[string]any{"refs": refs})
}

// memory returns the store of the registry if its content can be replaced.
func (c *Control) memory() (*memstore.Store, error) {
	if s, ok := c.reg.Store.(*memstore.Store); ok {
		return s, nil
	}
	return nil, fail(http.StatusConflict, "the content of this registry is on disk, so it cannot be replaced; serve a registry in memory and POST the content to it")
}

// load copies the images of an archive into the store, and returns their
// references.
func (c *Control) load(ctx context.Context, to registry.Store, body *bufio.Reader) ([]string, error) {
	file, err := os.CreateTemp("", "control-*.tar")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	var in io.Reader = body
	if start, _ := body.Peek(2); bytes.Equal(start, []byte("\x1f\x8b")) {
		if in, err = gzip.NewReader(body); err != nil {
			return nil, fail(http.StatusBadRequest, "reading the archive: %v", err)
		}
	}
	n, err := io.Copy(file, io.LimitReader(in, c.MaxImport+1))
	switch {
	case n > c.MaxImport:
		return nil, fail(http.StatusRequestEntityTooLarge, "the archive has more than %d bytes, uncompressed", c.MaxImport)
	case err != nil:
		return nil, fail(http.StatusBadRequest, "reading the archive: %v", err)
	case n == 0:
		return nil, fail(http.StatusBadRequest, "the body is empty; send a tar file of image layouts, or JSON")
	}
	refs, err := archive.Import(ctx, to, file.Name())
	if err != nil {
		return nil, fail(http.StatusBadRequest, "%s", strings.ReplaceAll(err.Error(), file.Name(), "the archive"))
	}
	return append([]string{}, refs...), nil
}

// export serves GET /v1/content.
func (c *Control) export(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "repo")
	if err != nil {
		return err
	}
	var repos []string
	for repo, err := range c.reg.Store.Repositories(r.Context(), "") {
		if err != nil {
			return err
		}
		if !q.Has("repo") || names.MatchAny(listOf(q, "repo"), repo) {
			repos = append(repos, repo)
		}
	}
	dir, err := os.MkdirTemp("", "control-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTo(r.Context(), dir, c.reg.Store, repos); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	w.Header().Set("Content-Disposition", `attachment; filename="content.tar"`)
	to := tar.NewWriter(w)
	if err := to.AddFS(os.DirFS(dir)); err != nil {
		// The client must not take a part of the archive for all of it.
		panic(http.ErrAbortHandler)
	}
	return to.Close()
}

// copyTo writes repositories into a directory, as a tree of image layouts.
func copyTo(ctx context.Context, dir string, from registry.Store, repos []string) error {
	to, err := layout.Open(dir)
	if err != nil {
		return err
	}
	if len(repos) > 0 {
		err = content.Copy(ctx, to, from, repos...)
	}
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("writing layouts: %w", err)
	}
	return nil
}
