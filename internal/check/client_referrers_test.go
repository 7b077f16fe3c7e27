package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (c *client) resolve(repo, ref string) (ocispec.Descriptor, error) {
	text, _, err := c.manifest(repo, ref)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digestString(sum(text)), Size: int64(len(text))}, err
}

func fallbackTag(d string) string { return strings.Replace(d, ":", "-", 1) }

// tagged returns the index at the referrers tag of the subject. If the tag has
// other content, foreign is true.
func (c *client) tagged(repo, subject string) (index ocispec.Index, foreign bool, err error) {
	resp, text, err := c.do("GET", "/v2/"+repo+"/manifests/"+fallbackTag(subject), nil, "Accept", ocispec.MediaTypeImageIndex)
	if err != nil || resp.StatusCode == 404 {
		return index, false, err
	}
	if resp.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
		return index, true, nil
	}
	return index, false, json.Unmarshal(text, &index)
}

func (c *client) putTagged(repo, subject string, entries []ocispec.Descriptor) error {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: entries}
	index.SchemaVersion = 2
	text, _ := json.Marshal(index)
	_, err := c.put(repo, fallbackTag(subject), ocispec.MediaTypeImageIndex, text)
	return err
}

func (c *client) referrers(repo, ref string) error {
	subject, err := c.resolve(repo, ref)
	if err != nil {
		return err
	}
	var all []ocispec.Descriptor
	status, err := c.pages("/v2/"+repo+"/referrers/"+string(subject.Digest), func(text []byte) error {
		var index ocispec.Index
		err := json.Unmarshal(text, &index)
		all = append(all, index.Manifests...)
		return err
	})
	if err == nil && status == 404 && !c.is("no fallback") {
		var index ocispec.Index
		var foreign bool
		index, foreign, err = c.tagged(repo, string(subject.Digest))
		if foreign && c.is("minds a foreign tag") {
			return errors.New("no index at the tag")
		}
		all = index.Manifests
	}
	for _, d := range all {
		fmt.Fprintln(c.out, d.Digest)
	}
	return err
}

func (c *client) attach(repo, ref, file string) error {
	subject, err := c.resolve(repo, ref)
	if err != nil {
		return err
	}
	blob, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, b := range [][]byte{blob, []byte("{}")} {
		if err := c.upload(repo, b); err != nil {
			return err
		}
	}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.file", Subject: &subject,
		Config: ocispec.DescriptorEmptyJSON, Annotations: map[string]string{"org.example.kind": "test"},
		Layers: []ocispec.Descriptor{{MediaType: "text/plain", Digest: digestString(sum(blob)), Size: int64(len(blob))}}}
	m.SchemaVersion = 2
	m.Config.Data = nil
	text, _ := json.Marshal(m)
	resp, err := c.put(repo, sum(text), m.MediaType, text)
	if err != nil || resp.Header.Get("OCI-Subject") != "" || c.is("keeps no tag") {
		return err
	}
	index, foreign, err := c.tagged(repo, string(subject.Digest))
	if err != nil || foreign && !c.is("replaces a foreign tag") {
		return errors.Join(err, errors.New("no index at the tag"))
	}
	entry := ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Annotations: m.Annotations, Digest: digestString(sum(text)), Size: int64(len(text))}
	entries := append(index.Manifests, entry)
	switch {
	case c.is("lists it twice"):
		entries = append(entries, entry)
	case c.is("loses referrers"):
		entries = entries[len(entries)-1:]
	case c.is("no annotations"):
		entries[len(entries)-1].Annotations = nil
	}
	return c.putTagged(repo, string(subject.Digest), entries)
}

func (c *client) delete(repo, ref string) error {
	_, m, err := c.manifest(repo, ref)
	if err != nil {
		return err
	}
	if _, _, err := c.want(202, "DELETE", "/v2/"+repo+"/manifests/"+ref, nil); err != nil || m.Subject == nil || c.is("leaves the list") {
		return err
	}
	resp, _, err := c.do("GET", "/v2/"+repo+"/referrers/"+string(m.Subject.Digest), nil)
	if err != nil || resp.StatusCode != 404 {
		return err
	}
	index, foreign, err := c.tagged(repo, string(m.Subject.Digest))
	if err != nil || foreign {
		return err
	}
	return c.putTagged(repo, string(m.Subject.Digest), slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return string(d.Digest) == ref }))
}

// copy copies an image to another repository, and mounts its blobs there.
func (c *client) copy(repo, ref, to, tag string) error {
	text, m, err := c.manifest(repo, ref)
	if err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		_, blob, err := c.want(200, "GET", "/v2/"+repo+"/blobs/"+string(d.Digest), nil)
		if err != nil {
			return err
		}
		if sum(blob) != string(d.Digest) {
			return errors.New("digest differs")
		}
		if err := c.upload(to, blob); err != nil {
			return err
		}
	}
	_, err = c.put(to, tag, m.MediaType, text)
	return err
}
