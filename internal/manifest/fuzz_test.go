package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// fuzzTypes are the media types with which FuzzParse parses its input.
var fuzzTypes = []string{
	"", ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, DockerManifest, DockerManifestList, OCIArtifactManifest, "application/vnd.example",
}

// FuzzParse compares Parse with package encoding/json, for input without duplicate
// names. It also adds properties that a registry has to ignore (image-spec,
// considerations.md, Extensibility).
func FuzzParse(f *testing.F) {
	const descriptor = `{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1}`
	for _, content := range []string{
		`{"schemaVersion":2,"config":` + descriptor + `,"layers":[` + descriptor + `]}`,
		`{"schemaVersion":2,"manifests":[` + descriptor + `],"subject":{"digest":"blake3:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b"}}`,
		`{"schemaVersion":2.0,"config":` + descriptor + `,"subject":{"digest":"multihash+base58:QmRZ"},"artifactType":"a/b","annotations":{"a":"b"}}`,
		`{"schemaVersion":2,"config":` + descriptor + `,"config":{},"layers":null}`,
		`{"schemaVersion":2,"config":` + descriptor + `,"layers":[` + descriptor + `],"layers":[]}`,
		`{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"},"\u0061nnotations":{}}`,
		`{"mediaType":"APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON","manifests":[]}`,
		`{"blobs":[` + descriptor + `],"\u0073ubject":{}}`,
		`{"schemaVersion":2,"config":{"digest":"sha256:00"}}`,
		`{"schemaVersion":2,"manifests":[],"artifactType":"` + "\xe8" + `","annotations":{"a":"` + "\xff" + `"}}`,
		`[]`, `""`, `{`, "\xff", `{"a":{"b":[1,"]"]}}`, "",
	} {
		for i := range fuzzTypes {
			f.Add(uint8(i), []byte(content))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, content []byte) {
		mediaType := fuzzTypes[int(kind)%len(fuzzTypes)]
		d, err := Parse(mediaType, content)
		require.Equal(t, json.Valid(content), err == nil)
		if err != nil {
			return
		}
		pushed := mediaType
		if pushed == "" {
			pushed = d.Type()
		}
		checked := d.Check(pushed)

		// Media types are compared without case.
		if Known(pushed) {
			require.Equal(t, pushed, Canonical(strings.ToUpper(pushed)))
		}

		members := map[string]json.RawMessage{}
		if json.Unmarshal(content, &members) != nil || members == nil {
			return // The content is not a JSON object.
		}
		if duplicates(t, content) {
			if (Image(pushed) || Index(pushed)) && !errors.Is(checked, ErrNoVersion) {
				require.Error(t, checked)
			}
			return
		}
		if checked == nil {
			wantProperties(t, &d, Known(pushed), members)
		}

		// Properties with unknown names change nothing.
		end := bytes.LastIndexByte(content, '}')
		for _, name := range []string{"SUBJECT", "Layers", "MediaType", "CONFIG", "Manifests", "ANNOTATIONS", "ArtifactType", "SchemaVersion", "unknown"} {
			if _, ok := members[name]; ok {
				continue
			}
			for _, value := range []string{"5", `"x/y"`, descriptor, "[" + descriptor + "]"} {
				text := string(content[:end]) + "," + `"` + name + `":` + value + string(content[end:])
				if len(members) == 0 {
					text = `{"` + name + `":` + value + `}`
				}
				more, err := Parse(mediaType, []byte(text))
				require.NoError(t, err)
				require.Equal(t, d, more, text)
			}
		}
	})
}

// duplicates reports whether an object contains a name twice.
func duplicates(t *testing.T, object []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(object))
	_, err := dec.Token()
	require.NoError(t, err)
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		require.NoError(t, err)
		if seen[name.(string)] {
			return true
		}
		seen[name.(string)] = true
		var v json.RawMessage
		require.NoError(t, dec.Decode(&v))
	}
	return false
}

// wantProperties compares the properties of a valid document with the members
// of its JSON object. If the type is not known, the document leaves out
// descriptors without a digest.
func wantProperties(t *testing.T, d *Document, known bool, members map[string]json.RawMessage) {
	var want struct {
		mediaType, artifactType string
		subject                 map[string]json.RawMessage
		annotations             map[string]string
	}
	for name, to := range map[string]any{
		"mediaType": &want.mediaType, "artifactType": &want.artifactType, "subject": &want.subject, "annotations": &want.annotations,
	} {
		if text, ok := members[name]; ok {
			// In a manifest of an unknown type, the property may have another form.
			if json.Unmarshal(text, to) != nil {
				return
			}
		}
	}
	require.Equal(t, want.mediaType, d.MediaType)
	require.Equal(t, want.artifactType, d.ArtifactType)
	require.Equal(t, want.annotations, d.Annotations)
	var subject string
	json.Unmarshal(want.subject["digest"], &subject)
	require.Equal(t, want.subject != nil && (known || subject != ""), d.Subject != nil)
	for desc := range d.references {
		require.Regexp(t, digestForm, string(desc.Digest))
	}
	for desc, field := range map[string]int{"layers": len(d.Layers), "manifests": len(d.Manifests)} {
		if text := members[desc]; field > 0 {
			var list []json.RawMessage
			require.NoError(t, json.Unmarshal(text, &list))
			if !known {
				list = slices.DeleteFunc(list, func(text json.RawMessage) bool {
					var desc map[string]json.RawMessage
					return json.Unmarshal(text, &desc) != nil || desc["digest"] == nil
				})
				require.GreaterOrEqual(t, len(list), field)
				continue
			}
			require.Len(t, list, field)
		}
	}
}

// The forms that image-spec (Digests) and RFC 6838 (section 4.2) demand.
var (
	digestForm = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$`)
	typeForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
)

// FuzzValidType compares ValidType with a regular expression for the form in RFC 6838.
func FuzzValidType(f *testing.F) {
	for _, s := range []string{
		"a/b", "application/vnd.oci.image.manifest.v1+json", "a\x00b/c", "a b", "é/x", "a/b; q=1", "foo", "*/*", "application/*", "a//b", "/", "+a/b",
		strings.Repeat("a", 127) + "/b", strings.Repeat("a", 128) + "/b", "a/b\r\nc: d", "A!#$&-^_.+0/z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, typeForm.MatchString(s), ValidType(s), "%q", s)
	})
}
