package registry

import (
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// An Option changes how a registry that [New] makes behaves.
type Option interface {
	// Options returns the options that this one consists of, in order: itself,
	// unless the function [Options] made it.
	Options() []Option

	apply(*config)
}

// Options returns an Option that applies all of opts, in order.
func Options(opts ...Option) Option {
	var g group
	for _, o := range opts {
		if o == nil {
			panic("registry: an option is nil; leave it out, or pass registry.Options() for one that does nothing")
		}
		g = append(g, o.Options()...)
	}
	return g
}

// A group is several options, none of them a group.
type group []Option

func (g group) apply(c *config) {
	for _, o := range g {
		o.apply(c)
	}
}

func (g group) Options() []Option { return g }

type option func(*config)

func (o option) apply(c *config) { o(c) }

func (o option) Options() []Option { return []Option{o} }

// The defaults of the options.
const (
	defaultManifestLimit = 4 << 20
	defaultUploadExpiry  = time.Hour
)

// maxWarning is the number of bytes of warnings that the spec allows in an
// answer, section Warnings.
const maxWarning = 4096

// config is what the options set.
type config struct {
	without         featureSet
	manifestLimit   int64
	pageSize        int
	minChunk        int64
	uploadExpiry    time.Duration
	sparseManifests bool
	anyManifest     bool
	warnings        []string
	logger          *slog.Logger
	recorders       []Recorder
	injectors       []func(*Request) *Fault
	middleware      []Middleware
	authorizer      Authorizer
	tagChecks       []func(r *Request, tag string, current, next digest.Digest) error
}

func newConfig(opts []Option) config {
	c := config{
		manifestLimit: defaultManifestLimit,
		pageSize:      math.MaxInt,
		uploadExpiry:  defaultUploadExpiry,
	}
	Options(opts...).apply(&c)
	if c.without.has(ManifestLimit) {
		c.manifestLimit = math.MaxInt64
	}
	return c
}

// Without makes a registry that does not have the features, and that answers as
// the distribution spec lets such a registry answer:
//
//   - [ListReferrers]: 404, and no OCI-Subject when a manifest is pushed
//     (Unavailable Referrers API);
//   - [ListRepositories], [ListExtensions]: 404;
//   - [MountBlob], [AnonymousMount]: 202 with an upload session (Mounting a
//     blob from another repository);
//   - [PostBlob]: 202 with an upload session (Single POST);
//   - all other operations, such as [DeleteTag], [DeleteManifest] and
//     [DeleteBlob]: 405 (Content Management);
//   - [ConditionalReads]: no ETag, and the whole content if the request has
//     conditions; [ConditionalWrites]: the write is done whatever they say;
//   - [ManifestLimit]: manifests of any size are accepted, and a list of
//     referrers is as long as it is;
//   - [Namespace], [TagParameters]: the parameters ns and tag are ignored;
//   - [Ranges]: no Accept-Ranges, and the whole content if the request has a
//     Range (RFC 9110, section 14.2);
//   - [ReferrersFilter]: all referrers, and no OCI-Filters-Applied;
//   - [SHA512]: 400 DIGEST_INVALID to digests of any algorithm but sha256;
//   - [StreamUpload]: 400 BLOB_UPLOAD_INVALID to a chunk without Content-Range.
func Without(features ...Feature) Option {
	return option(func(c *config) {
		for _, f := range features {
			c.without.add(f)
		}
	})
}

// WithReadOnly makes a registry that answers 405 to every operation that
// writes.
func WithReadOnly() Option {
	return option(func(c *config) {
		for op := range Op(numOps) {
			if op.Writes() {
				c.without.add(op)
			}
		}
	})
}

// WithManifestLimit sets the size in bytes of the largest manifest that is
// accepted; a larger one is answered 413. It is 4 MiB if it is not set, which
// is the least that the spec's section Pushing Manifests expects.
func WithManifestLimit(bytes int64) Option {
	return option(func(c *config) { c.manifestLimit = bytes })
}

// WithPageSize sets how many tags, repositories or referrers an answer lists
// at the most; a Link header leads to the next ones. Without it there is no
// limit but the parameter n of the request and, for referrers, the size that a
// manifest may have (sections Listing Tags and Listing Referrers).
func WithPageSize(n int) Option {
	return option(func(c *config) { c.pageSize = max(n, 1) })
}

// WithMinChunk sets the number of bytes that every chunk of an upload but the
// last has to have. It is announced as OCI-Chunk-Min-Length; a chunk that
// follows a shorter one is answered 400 (Pushing a blob in chunks).
func WithMinChunk(bytes int64) Option {
	return option(func(c *config) { c.minChunk = bytes })
}

// WithUploadExpiry sets for how long an upload session lives on after its last
// request, an hour if it is not set. The clock is that of package time, also
// in a bubble of testing/synctest.
func WithUploadExpiry(d time.Duration) Option {
	return option(func(c *config) { c.uploadExpiry = d })
}

// WithSparseManifests makes a registry that accepts manifests whose blobs or
// children are not in the repository. Without it these are refused with
// MANIFEST_BLOB_UNKNOWN, the subject and non-distributable layers excepted.
func WithSparseManifests() Option {
	return option(func(c *config) { c.sparseManifests = true })
}

// WithAnyManifest makes a registry that accepts any bytes at all as a
// manifest, with whatever Content-Type.
func WithAnyManifest() Option {
	return option(func(c *config) { c.anyManifest = true })
}

// WithWarnings makes a registry that sends the texts in Warning headers with
// every answer. Texts that would bring the answer's warnings above 4096 bytes
// are left out (section Warnings).
func WithWarnings(texts ...string) Option {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", " ", "\n", " ")
	return option(func(c *config) {
		size := 0
		for _, w := range c.warnings {
			size += len(w)
		}
		for _, t := range texts {
			w := `299 - "` + quote.Replace(t) + `"`
			if size+len(w) > maxWarning {
				break
			}
			size += len(w)
			c.warnings = append(c.warnings, w)
		}
	})
}

// WithLogger makes a registry that logs every request: at level Info, or at
// Error with the cause if the registry itself failed. Without it nothing is
// logged.
func WithLogger(l *slog.Logger) Option {
	return option(func(c *config) { c.logger = l })
}

// WithRecorder makes a registry that tells the recorder of every request and
// every response, including requests for no operation and those that a fault
// hits.
func WithRecorder(to Recorder) Option {
	return option(func(c *config) { c.recorders = append(c.recorders, to) })
}

// WithFaults makes a registry that asks inject, before each request is served,
// for what shall go wrong with it; nil is nothing. If the option is given
// several times, the first fault counts.
func WithFaults(inject func(*Request) *Fault) Option {
	return option(func(c *config) { c.injectors = append(c.injectors, inject) })
}

// WithMiddleware makes a registry in which every operation is wrapped by the
// middleware, the first outermost. Recorders and faults are outside of it:
// what they see is what the middleware has made of the answer.
func WithMiddleware(m ...Middleware) Option {
	return option(func(c *config) { c.middleware = append(c.middleware, m...) })
}

// WithAuthorizer makes a registry that asks allow, after the middleware and
// before each operation, whether the request may do what it asks for. If the
// option is given several times, all of them have to allow it.
func WithAuthorizer(allow Authorizer) Option {
	return option(func(c *config) {
		before := c.authorizer
		c.authorizer = func(r *Request, repo string, a Action) error {
			if before != nil {
				if err := before(r, repo, a); err != nil {
					return err
				}
			}
			return allow(r, repo, a)
		}
	})
}

// WithTagCheck makes a registry that asks check before it points a tag, which
// points at the digest current or, if that is "", nowhere yet, at the manifest
// with the digest next. An error that check returns is answered, and nothing
// is changed; no other write to the repository comes in between. All the
// checks have to pass, and the conditions of the request (section Pushing
// Manifests with Subject).
func WithTagCheck(check func(r *Request, tag string, current, next digest.Digest) error) Option {
	return option(func(c *config) { c.tagChecks = append(c.tagChecks, check) })
}
