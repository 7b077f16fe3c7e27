// Package layout stores the content of a registry in OCI image layouts on disk
// (image-spec, OCI Image Layout Specification).
//
// At every moment, the files on disk are a valid layout, which other tools can
// read. If another tool changes the files, the next request sees the changes.
//
// # One layout
//
// A directory with an oci-layout file is one layout. The annotation
// org.opencontainers.image.ref.name of an entry in its index.json determines the
// repository and the tag:
//
//   - v1: tag v1 of the layout's default repository, see [Repository];
//   - team/app:v1: tag v1 of repository team/app;
//   - docker.io/library/alpine:3: tag 3 of library/alpine. The file keeps the
//     host, and the store adds the same host to later tags of library/alpine;
//   - team/app@sha256:…: a manifest of team/app without a tag;
//   - v1@sha256:…: tag v1 of the default repository;
//   - no annotation, or an invalid reference: a manifest of the default
//     repository without a tag.
//
// A full reference in the annotation io.containerd.image.name, which Docker
// writes, takes precedence. If an entry has neither annotation, the annotation
// org.opencontainers.image.base.name counts, which old versions of zarf write.
//
// If several entries have the same tag, the first of them counts, as in skopeo
// and regctl. Hauler gives signatures, attestations and other referrers the name
// of their image, and tells them apart by the annotation kind. The store gives
// such entries no tag.
//
// The repositories of one layout share its blobs: each can read a blob that was
// pushed to any of them, and a mount copies nothing. A manifest belongs to the
// repositories whose entries or indexes name it. A repository exists while it
// has manifests. Blobs alone create no repository, but in a layout with blobs
// and without manifests the default repository exists. The store refuses to
// delete a file that another repository needs, with an error that a registry
// answers with 405. Repositories that must be independent of each other belong
// in a tree.
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
// Windows. The store adds an underscore before the first dot or at the end, where
// no component has one: team/con/x is in team/con_/x, and app/index.json in
// app/index_.json. It ignores directories whose names cannot be part of a
// repository name. [Warnings] reports the layouts in them, unless the name of the
// directory begins with a dot. Where the file system ignores case, a directory
// with capitals belongs to the repository with the name in lower case. The store
// lists a symbolic link to a layout in the tree. It serves layouts below a linked
// directory, but does not list them.
//
// The lifecycle of Cloud Native Buildpacks keeps the image host/repo:tag in a
// separate layout in the directory host/repo/tag, and host/repo@sha256:hex in
// host/repo/sha256/hex. The store lists and serves such a layout as host/repo:tag
// if the directory host/repo is not a layout itself, and the layout below it has a
// single entry, which has the tag as its name, or no name. The path of the layout,
// host/repo/tag, works as a repository name too. The store refuses to write to a
// repository that consists of such images, with an error that a registry answers
// with 405.
//
// # Archives
//
// [Open] also opens an archive: a tar file of a layout or a tree, as skopeo,
// podman, BuildKit and ctr write it (oci-archive), or one that docker save wrote
// (docker-archive). Since Docker 25, an archive of docker save contains a
// layout, and the store reads only that. For older archives, the store makes the
// manifests and names that Docker 25 would write: app:v1 is tag v1 of repository
// library/app. It serves layers as they are in the archive, which most tools
// write uncompressed.
//
// The store of an archive is read-only. It reads blobs from the archive and does
// not hold them in memory. If the archive is compressed with gzip, Open first
// unpacks it to a temporary file. Open fails if the archive is truncated, has
// links that lead out of it, or has two files with one name and different
// content. Package registrytest/content/archive copies an archive into another
// store, and package overlay makes it writable.
//
// # Manifests and blobs
//
// The store writes an entry in index.json for each tag of a pushed manifest, and
// one for a manifest without a tag. It also serves manifests that only an index
// names, at any depth, because many tools write no entries for them. A child of
// an index is a manifest if its media type is the type of an image, an index or
// another known manifest, and a blob otherwise. A manifest cannot be read or
// deleted as a blob, unless it was pushed as a blob too since the store was
// opened. If several indexes describe a manifest with different media types, the
// type in index.json counts, or else the type that sorts first.
//
// The store verifies the digest of everything that it serves: a manifest each
// time that it reads it, and a blob on the first request and after its file has
// changed. A HEAD request reads no file that is unchanged. A file counts as
// changed if its size, its modification time or its identity differs. With
// [Verify], the store reads and verifies blobs and manifests on each request. A
// request for a damaged file fails with an error that names the file. A damaged
// blob counts as missing, and pushing it again repairs it.
//
// # Crashes
//
// Files appear whole, by rename, and a manifest appears before the index that
// names it. Acknowledged content therefore survives a process that is killed at
// any moment. It survives a power failure only with [Sync].
//
// A write that fails changes nothing, and leaves no file and no directory, with
// two exceptions. A push to a new repository creates its layout before the first
// blob, and may leave it empty. If the disk fails after the change was made,
// while the store syncs directories or removes files, the write returns the
// error although it has had its effect. Blobs can be deleted from a full disk,
// and manifests once there is room for a new index.json.
//
// Files that are being written are in the directory .ocireg. Opening a store
// removes those of killed processes; locks tell which processes are alive. Where
// the file system has no locks, it removes files that are a day old.
//
// # Other processes
//
// Several stores, in one process or several, may have one directory open. A lock
// on the directory of the layout keeps them from overwriting each other's tags.
// A write waits for the lock as long as its context lasts. Where there are no
// such locks, the stores create a file .ocireg.lock in the directory of the
// layout instead. If a process is killed while it has such a file, others wait
// ten seconds. [Warnings] reports the lack of locks and long waits.
//
// Other tools do not use the lock. If such a tool changes index.json while the
// store is about to replace it, the store applies its own change to the new
// file. A tool such as skopeo may also read index.json before a push, and write
// it after the push with its own entry and without the pushed one. At the next
// request, the store that took the push adds the lost entries to the file again.
// For this, it remembers its last 256 writes for ten minutes, on file systems
// whose modification times are exact to 100 ns. It does not repeat deletions. If
// the new file lacks entries and has no new one, the tool deleted them.
//
// Some tools read less than a registry may hold. Skopeo 1.9, podman 4.3 and
// umoci do not read Docker media types in index.json. Regctl finds referrers
// only by the tag sha256-<hex> of their subject; see [ReferrersTags].
package layout
