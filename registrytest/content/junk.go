package content

import (
	"iter"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/internal/manifest"
)

// Raw returns content whose manifest has the given bytes and media type. The bytes
// need not be a manifest. If they are, the Content has the config, the layers and the
// children that the manifest describes, as descriptors. Callers must not modify the
// bytes afterwards.
func Raw(mediaType string, raw []byte) Content {
	return read(mediaType, digest.FromBytes(raw), raw)
}

// Junk yields broken manifests in a fixed order, each with a name that describes its
// defect. Registries may refuse them, and clients that get one must not crash or hang.
// [Put] puts junk into a store like any other content.
func Junk() iter.Seq2[string, Content] {
	const (
		begin  = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `",`
		config = `"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` +
			`sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`
		layers = `"layers":[]`
		valid  = begin + config + "," + layers + "}"
	)
	layer := func(d, size string) string {
		return begin + config + `,"layers":[{"mediaType":"application/octet-stream","digest":"` + d + `","size":` + size + `}]}`
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	junk := []struct{ name, raw, mediaType string }{
		{name: "nothing"},
		{name: "text", raw: "manifest unknown\n"},
		{name: "HTML", raw: "<!DOCTYPE html>\n<html><body><h1>502 Bad Gateway</h1></body></html>\n"},
		{name: "gzip", raw: gzipHeader + "\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"},
		{name: "byte order mark", raw: "\ufeff" + valid},
		{name: "truncated", raw: valid[:len(valid)/2]},
		{name: "two documents", raw: valid + valid},
		{name: "deep nesting", raw: begin + `"annotations":` + deep + `,` + config + "," + layers + "}"},
		{name: "null", raw: "null"},
		{name: "array", raw: "[" + valid + "]"},
		{name: "string", raw: `"manifest"`},
		{name: "empty object", raw: "{}"},
		{name: "no config", raw: `{` + layers + `}`},
		{name: "no schema version", raw: `{` + config + `,` + layers + `}`},
		{name: "another schema version", raw: strings.Replace(valid, ":2,", ":3,", 1)},
		{name: "layers of another type", raw: begin + config + `,"layers":{}}`},
		{name: "image and index", raw: begin + config + `,` + layers + `,"manifests":[]}`},
		{name: "image as an index", raw: valid, mediaType: ocispec.MediaTypeImageIndex},
		{name: "image as a Docker manifest", raw: valid, mediaType: manifest.DockerManifest},
		{name: "digest without an algorithm", raw: layer(strings.Repeat("0", 64), "0")},
		{name: "digest too short", raw: layer("sha256:0123", "0")},
		{name: "digest in upper case", raw: layer("sha256:"+strings.Repeat("A", 64), "0")},
		{name: "digest with a path", raw: layer("sha256:../../../../etc/passwd", "0")},
		{name: "negative size", raw: layer("sha256:"+strings.Repeat("0", 64), "-1")},
		{name: "size that is no integer", raw: layer("sha256:"+strings.Repeat("0", 64), "1e400")},
		{name: "key twice", raw: begin + config + `,"config":{},` + layers + `}`},
		{name: "not UTF-8", raw: begin + config + `,` + layers + `,"annotations":{"key":"` + "\xff\xfe" + `"}}`},
	}
	return func(yield func(string, Content) bool) {
		for _, j := range junk {
			if j.mediaType == "" {
				j.mediaType = ocispec.MediaTypeImageManifest
			}
			if !yield(j.name, Raw(j.mediaType, []byte(j.raw))) {
				return
			}
		}
	}
}
