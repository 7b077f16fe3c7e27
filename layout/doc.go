// Package layout keeps the content of a registry in OCI image layouts on disk
// (image spec, section OCI Image Layout Specification).
//
// What is on disk is a valid layout at every moment, which other tools can
// read, and what they write is served from the next request on.
//
// # One layout
//
// A directory with an oci-layout file is one layout. What its index.json names
// belongs to repositories as the annotation
// org.opencontainers.image.ref.name says:
//
//   - v1: tag v1 of the layout's default repository, see [Repository];
//   - team/app:v1: tag v1 of repository team/app;
//   - docker.io/library/alpine:3: tag 3 of library/alpine, as the host of a
//     registry is left out. It is kept on disk, also for tags that are pushed
//     to library/alpine later;
//   - team/app@sha256:…: a manifest of team/app without a tag;
//   - v1@sha256:…: tag v1 of the default repository, as containerd writes it;
//   - nothing, or text that is no reference of a registry: a manifest of the
//     default repository without a tag.
//
// The annotation io.containerd.image.name goes before it if it has a full
// reference, as Docker writes it. An entry with neither is named by the
// annotation org.opencontainers.image.base.name, as old versions of zarf do.
//
// If several entries have one tag, the first of them counts, as for skopeo and
// regctl. The annotation kind of hauler marks the signatures, attestations and
// other referrers that have the name of their image: these have no tag.
//
// The repositories of one layout share its blobs: each can read a blob that was
// pushed to any of them, and a mount copies nothing. A manifest belongs to the
// repositories that index.json, or an index in them, names it in. A repository
// exists while it has manifests. The layout with a file that another repository
// needs refuses to delete it: the answer to the request is 405. Use a tree for
// repositories that are independent, as those in memory are.
//
// # Trees
//
// Any other directory is a tree: the path of each layout below it is the name
// of its repository, and full references in it contribute their tags alone. An
// empty directory is an empty tree. Pushing makes the layouts. Which of the
// two a directory is, is decided when it is opened.
//
// A component of a repository's name that a directory cannot have is escaped
// with an underscore, where none can be in a name: before its first dot or at
// its end. These are blobs, index.json and oci-layout, which a layout above has
// itself, and the names of devices on Windows: team/con/x is in team/con_/x,
// and app/index.json in app/index_.json. Directories that are no component of a
// name are passed over, and so is what begins with a dot. A symbolic link to a
// layout in the tree is listed; what is below a linked directory is served, but
// not listed.
//
// # Manifests and blobs
//
// Each manifest that is pushed has an entry in index.json, one for each of its
// tags. Manifests that are named by an index, on any level, are served as well:
// many tools write only that. A child is a manifest if its media type is that of
// an image, an index or another known manifest, and a blob otherwise. A manifest
// cannot be read or deleted as a blob, unless it was pushed as one too since the
// store was opened.
//
// Nothing is served that is not what its digest says. Manifests are verified
// whenever they are read. Blobs are verified before they are first served, and
// again when their file has changed. What is damaged is an error that names the
// file.
//
// # Crashes
//
// Files appear whole, by rename, a manifest before the index that names it. So
// what was acknowledged is there after a process was killed at any instant.
// Nothing is synced: it may not be there after a power failure. The directory
// .ocireg has the files that are being written. Opening a store removes those of
// processes that were killed; a lock says which processes are alive. Where the
// file system has no locks, it removes files that are a day old.
//
// # Other processes
//
// Several stores, in one process or in several, may have one directory open. A
// lock on the directory of the layout keeps them from overwriting each other's
// tags, on Linux, macOS, the BSDs and Windows, where the file system can lock.
//
// Other tools do not know of the lock. If one of them changes index.json while
// the store is about to replace it, the store applies its own change to the new
// file. A tool that writes index.json as it was before a push still loses the
// tag that was pushed: let skopeo and others finish before pushing.
//
// Some tools read less than a registry may hold. Skopeo 1.9, podman 4.3 and
// umoci do not read Docker media types in index.json. Regctl finds referrers
// only by the tag sha256-<hex> of their subject.
package layout
