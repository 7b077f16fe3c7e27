package content_test

import (
	"context"
	"fmt"
	"log"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/ocireg/registry/memstore"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/content/referrer"
)

func ExampleImage() {
	app := content.Image(
		content.Platform("linux/arm64"),
		content.Files(map[string]string{"etc/motd": "hello\n"}),
		content.Layers(2),
	)
	fmt.Println(app.Digest)
	for _, layer := range app.Layers {
		fmt.Println(layer.MediaType, layer.Size)
	}
	// Output:
	// sha256:626f704c9f3f21746f5f0b5c71b0649b37757b2ab1bb51a67306f3ee1f0d368f
	// application/vnd.oci.image.layer.v1.tar+gzip 2583
	// application/vnd.oci.image.layer.v1.tar+gzip 2071
	// application/vnd.oci.image.layer.v1.tar+gzip 2071
}

func ExampleIndex() {
	app := content.Index(
		content.Platforms("linux/amd64", "linux/arm64"),
		// A sparse index lists manifests that the registry does not have.
		content.Platforms("windows/amd64").Absent(),
	)
	for _, child := range app.Children {
		fmt.Println(child.Platform.OS, child.Platform.Architecture)
	}
	for m := range app.Manifests() {
		fmt.Println(m.MediaType)
	}
	// Output:
	// linux amd64
	// linux arm64
	// windows amd64
	// application/vnd.oci.image.manifest.v1+json
	// application/vnd.oci.image.manifest.v1+json
	// application/vnd.oci.image.index.v1+json
}

func ExampleArtifact() {
	notes := content.Artifact("application/vnd.example.notes",
		content.Bytes("text/plain", []byte("Hello.\n")).Annotated(ocispec.AnnotationTitle, "notes.txt"),
		content.Annotation(ocispec.AnnotationVersion, "1.2.3"),
	)
	fmt.Printf("%s\n", notes.Manifest)
	// Output:
	// {
	//   "schemaVersion": 2,
	//   "mediaType": "application/vnd.oci.image.manifest.v1+json",
	//   "artifactType": "application/vnd.example.notes",
	//   "config": {
	//     "mediaType": "application/vnd.oci.empty.v1+json",
	//     "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
	//     "size": 2,
	//     "data": "e30="
	//   },
	//   "layers": [
	//     {
	//       "mediaType": "text/plain",
	//       "digest": "sha256:a2c064616af4c66c576821616646bdfad5556a263b4b007847605118971f4389",
	//       "size": 7,
	//       "annotations": {
	//         "org.opencontainers.image.title": "notes.txt"
	//       }
	//     }
	//   ],
	//   "annotations": {
	//     "org.opencontainers.image.version": "1.2.3"
	//   }
	// }
}

func ExampleSubject() {
	ctx := context.Background()
	store := memstore.New()
	app := content.Image()
	for _, c := range []content.Content{
		app,
		referrer.SPDX(app),
		content.Artifact("application/vnd.example.review", content.Subject(app)),
	} {
		if err := content.Put(ctx, store, "team/app", c); err != nil {
			log.Fatal(err)
		}
	}
	for r, err := range store.Referrers(ctx, "team/app", app.Digest, "") {
		fmt.Println(r.ArtifactType, err)
	}
	// Unordered output:
	// application/spdx+json <nil>
	// application/vnd.example.review <nil>
}

func ExamplePut() {
	ctx := context.Background()
	store := memstore.New()
	amd64, arm64 := content.Image(), content.Image(content.Platform("linux/arm64"))
	app := content.Index(amd64, arm64)
	if err := content.Put(ctx, store, "team/app:v1", app); err != nil {
		log.Fatal(err)
	}

	// Putting an index gives its children no tags. To tag a child, put it again.
	if err := content.Put(ctx, store, "team/app:v1-amd64", amd64); err != nil {
		log.Fatal(err)
	}
	for tag, err := range store.Tags(ctx, "team/app", "") {
		fmt.Println(tag, err)
	}
	got, err := content.Get(ctx, store, "team/app:v1")
	fmt.Println(len(got.Children), got.Digest == app.Digest, err)
	_, err = content.Get(ctx, store, "team/app:v2")
	fmt.Println(err)
	// Output:
	// v1 <nil>
	// v1-amd64 <nil>
	// 2 true <nil>
	// reading team/app:v2: tag v2 in repository team/app: file does not exist; team/app has the tags v1, v1-amd64
}

// t stands for the *testing.T of a test. It prints failures.
var t printer

type printer struct{}

func (printer) Helper()                           {}
func (printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (printer) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// A State checks the content of a store in a test. A registrytest.Server has the
// methods of State, too.
func ExampleState() {
	state := content.State{Store: memstore.New()}
	app := state.Push(t, "team/app:v1", content.Image())
	sbom := state.Push(t, "team/app", referrer.SPDX(app))

	for _, r := range state.Referrers(t, "team/app:v1") {
		fmt.Println(r.ArtifactType)
	}
	fmt.Println(state.Tags(t, "team/app"))
	state.CheckTag(t, "team/app:v1", app)
	state.CheckRepository(t, "team/app", map[string]content.Content{"v1": app}, sbom)

	// This check fails, because the repository has no tag v2.
	state.CheckRepository(t, "team/app", map[string]content.Content{"v1": app, "v2": app}, sbom)
	// Output:
	// application/spdx+json
	// [v1]
	// content: repository team/app differs from the content wanted:
	// missing tag v2: sha256:e713f3ce8e9450ea7d667ef7bdd174d4a969c7347ccd4320a135192860d76585, application/vnd.oci.image.manifest.v1+json, 477 bytes
}

// A large layer takes no memory in a memstore.Store, which generates the content
// whenever it is read.
func ExampleLayerSizes() {
	ctx := context.Background()
	store := memstore.New()
	app := content.Image(content.LayerSizes(16 << 20))
	if err := content.Put(ctx, store, "team/app:v1", app); err != nil {
		log.Fatal(err)
	}
	size, err := store.StatBlob(ctx, "team/app", app.Layers[0].Digest)
	fmt.Println(size, err)
	// Output:
	// 16777216 <nil>
}

func ExampleJunk() {
	for name, junk := range content.Junk() {
		if len(junk.Manifest) < 10 {
			fmt.Printf("%s: %q\n", name, junk.Manifest)
		}
	}
	// Output:
	// nothing: ""
	// null: "null"
	// empty object: "{}"
}

func ExampleCopy() {
	ctx := context.Background()
	store, copied := memstore.New(), memstore.New()
	if err := content.Put(ctx, store, "team/app:v1", content.Image()); err != nil {
		log.Fatal(err)
	}
	if err := content.Copy(ctx, copied, store); err != nil {
		log.Fatal(err)
	}
	for repo, err := range copied.Repositories(ctx, "") {
		fmt.Println(repo, err)
	}
	// Output:
	// team/app <nil>
}
