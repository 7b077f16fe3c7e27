// Package layout stores the content of a registry in OCI image layouts on disk
// (image-spec, OCI Image Layout Specification).
//
// The files on disk are a valid layout at every moment, which other tools can
// read. The store serves the changes of other tools from the next request on.
//
// # One layout
//
// A directory with an oci-layout file is one layout. The annotation
// org.opencontainers.image.ref.name of an entry in its index.json determines the
// repository and the tag:
//
//   - v1: tag v1 of the layout's default repository, see [Repository];
//   - team/app:v1: tag v1 of repository team/app;
//   - docker.io/library/alpine:3: tag 3 of library/alpine. The host stays in the
//     file, and the store adds it to later tags of library/alpine;
//   - team/app@sha256:…: a manifest of team/app without a tag;
//   - v1@sha256:…: tag v1 of the default repository;
//   - no annotation, or an invalid reference: a manifest of the default
//     repository without a tag.
//
// A full reference in the annotation io.containerd.image.name, which Docker
// writes, takes precedence. If an entry has neither annotation, the annotation
// org.opencontainers.image.base.name counts, which old versions of zarf write.
//
// If several entries have one tag, the first of them counts, as for skopeo and
// regctl. Entries of hauler whose annotation kind marks a signature, an
// attestation or another referrer have the name of their image and no tag.
//
// The repositories of one layout share its blobs: each can read a blob that was
// pushed to any of them, and a mount copies nothing. A manifest belongs to the
// repositories whose entries or indexes name it. A repository exists while it
// has manifests, and not with its first blob. The store refuses to delete a file that another repository
// needs, with an error that a registry answers with 405. Repositories that must
// be independent, as those in memory are, belong in a tree.
//
// # Trees
//
// Any other directory is a tree. The path of each layout below it is the name of
// a repository; full references in such a layout contribute only their tags. An
// empty directory is an empty tree. A push creates layouts as needed. [Open]
// determines once whether a directory is a layout or a tree.
//
// Some components of repository names cannot be directories: blobs, index.json
// and oci-layout, which belong to a layout above, and the device names of
// Windows. The store adds an underscore before the first dot or at the end,
// where no component has one: team/con/x is in team/con_/x, and app/index.json
// in app/index_.json. It ignores directories that are not components of a name,
// and names that begin with a dot; see [Warnings]. Where the file system ignores
// case, a directory with capitals is that of the name in lower case. The store
// lists a symbolic link to a layout in the tree, and serves layouts below a linked
// directory without listing them.
//
// Lifecycle of Cloud Native Buildpacks keeps the image host/repo:tag in a separate
// layout in the directory host/repo/tag, and host/repo@sha256:hex in
// host/repo/sha256/hex. If the name of a repository begins with a host, its
// directory is no layout, and the only entry of a layout below it has the name of
// the directory or none, the layout is an image of the repository: the store
// lists and serves it as host/repo:tag. Host/repo/tag, the name that the path
// gives, works too. The store refuses to write to a repository that consists of
// such images, with an error that a registry answers with 405.
//
// # Archives
//
// [Open] also opens an archive: a tar file of a layout or a tree, as skopeo,
// podman, BuildKit and ctr write it (oci-archive), or one that docker save wrote
// (docker-archive). If an archive of docker save has a layout, as since Docker 25,
// that counts. Otherwise its images have the manifests and the names that Docker
// 25 would give them: app:v1 is tag v1 of repository library/app, and layers are
// as they were saved, uncompressed by most tools.
//
// The store of an archive is read-only and reads blobs from the file, at no cost
// of memory. It unpacks an archive that gzip has compressed to a temporary file
// first. An archive that is truncated, has links that lead out of it, or has a file
// twice with different content is an error. Package registrytest/content/archive
// copies an archive into another store, and package overlay makes it writable.
//
// # Manifests and blobs
//
// Each manifest that is pushed has an entry in index.json for each of its tags.
// The store also serves manifests that only an index names, at any depth, as
// many tools write them. A child of an index is a manifest if its media type is
// that of an image, an index or another known manifest, and a blob otherwise. A
// manifest cannot be read or deleted as a blob, unless it was pushed as a blob
// too since the store was opened. If several indexes describe a manifest, the
// media type that sorts first counts, unless index.json has another.
//
// The store verifies the digest of everything that it serves: manifests each
// time that it reads them, blobs before the first request and after their file
// has changed. It reads neither for a HEAD while the file is unchanged. A file has
// changed if its size, its modification time or its identity has. With [Verify],
// the store reads and verifies both on each request. A request for a damaged
// file fails with an error that names the file. A damaged blob counts as missing,
// and pushing it again repairs it.
//
// # Crashes
//
// Files appear whole, by rename, and a manifest appears before the index that
// names it. Acknowledged content therefore survives a process that is killed at
// any moment. It survives a power failure only with [Sync].
//
// A write that fails changes nothing, and leaves no file and no directory, with two
// exceptions. A push to a new repository creates its layout before the first blob,
// and may leave it empty. If the disk fails when the change has been made, while
// directories are synced or files are removed, the error is that of the write.
// Blobs can be deleted from a full disk, and manifests once there is room for a
// new index.json.
//
// Files that are being written are in the directory .ocireg. Opening a store
// removes those of killed processes; locks tell which processes are alive. Where
// the file system has no locks, it removes files that are a day old.
//
// # Other processes
//
// Several stores, in one process or several, may have one directory open. A lock
// on the directory of the layout keeps them from overwriting each other's tags. A
// write waits for the lock as long as its context lasts. Where there are no such
// locks, the stores create a file .ocireg.lock in the directory of the layout
// instead. If a process is killed meanwhile, others wait ten seconds. [Warnings]
// reports the lack of locks and long waits.
//
// Other tools do not use the lock. If such a tool changes index.json while the
// store is about to replace it, the store applies its own change to the new
// file. A tool such as skopeo may also write index.json as it was before a push,
// with the tool's own entry. At its next request, the store that took the push
// adds the lost entries to the file again. It remembers its last 256 writes for
// ten minutes, on file systems whose modification times are exact to 100 ns. It
// does not repeat deletions. A file that lacks entries and has no new one counts
// as a deletion.
//
// Some tools read less than a registry may hold. Skopeo 1.9, podman 4.3 and
// umoci do not read Docker media types in index.json. Regctl finds referrers
// only by the tag sha256-<hex> of their subject; see [ReferrersTags].
package layout
