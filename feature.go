package registry

// A Feature is something that a registry can have or lack: an operation (see
// [Op]), or one of the constants from [AnonymousMount] to [TagParameters]. The
// option [Without] removes it.
type Feature interface {
	// String returns the name of the feature in lower case, such as
	// "mount-blob" or "anonymous mount".
	String() string

	feature()
}

func (Op) feature() {}

// A capability is a feature that is not an operation.
type capability uint8

// The features that are not operations.
const (
	AnonymousMount    capability = iota // mounts a blob when the request does not say from where
	BlobIsolation                       // finds a blob only in the repositories that it was pushed or mounted to
	ConditionalReads                    // ETag, If-Match and If-None-Match on GET and HEAD
	ConditionalWrites                   // If-Match and If-None-Match on writes
	CrossOrigin                         // accepts requests from web pages of other hosts
	ManifestLimit                       // refuses manifests that are too large
	Namespace                           // confirms the parameter ns with OCI-Namespace
	Ranges                              // serves parts of blobs and manifests
	ReferrersFilter                     // filters referrers by their artifactType
	RelativeLocations                   // sends Location and Link without a host
	SchemaVersion                       // refuses an image manifest or index without schemaVersion
	SHA512                              // digests of algorithms other than sha256
	StreamUpload                        // PATCH without Content-Range, of the Docker Registry HTTP API V2
	TagParameters                       // ?tag= when a manifest is pushed by its digest

	numCapabilities = iota
)

var capabilityNames = [numCapabilities]string{
	"anonymous mount", "blob isolation", "conditional reads", "conditional writes", "cross origin", "manifest limit", "namespace", "range",
	"referrers filter", "relative locations", "schema version", "sha512", "stream upload", "tag parameters",
}

func (c capability) String() string { return capabilityNames[c] }

func (capability) feature() {}

// exists reports whether the feature is one that [Without] can remove.
func exists(f Feature) bool {
	switch f := f.(type) {
	case Op:
		return f != UnknownOp && f < numOps
	case capability:
		return f < numCapabilities
	}
	return false
}

type featureSet struct {
	ops          [numOps]bool
	capabilities [numCapabilities]bool
}

func (s *featureSet) add(f Feature) {
	switch f := f.(type) {
	case Op:
		s.ops[f] = true
	case capability:
		s.capabilities[f] = true
	}
}

// has reports whether the operation or the capability is in the set.
func (s *featureSet) has(f Feature) bool {
	switch f := f.(type) {
	case Op:
		return s.ops[f]
	case capability:
		return s.capabilities[f]
	}
	return false
}
