package registry

import (
	"fmt"
	"log/slog"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry/internal/field"
)

// An Option changes the behaviour of a registry that [New] makes.
//
// An option that adds something, such as a recorder, a logger, a middleware or a
// warning, may be given several times. An option that permits or refuses
// something may be repeated. An option that sets a value, such as
// [WithPageSize], may be repeated with the same value: New panics if two options
// set the same thing to different values.
type Option interface {
	// Options returns the options that this option consists of, in order. An
	// option consists of itself, unless the function [Options] made it.
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

// A group is the option that consists of several options, none of which is a
// group.
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

// A setting is an option that sets a value of the config.
type setting struct {
	what string // the value that the option sets, such as "page size"
	text string // the call that made the option, with its arguments
	set  func(*config)
}

func (s setting) apply(c *config) {
	if other, twice := c.settings[s.what]; twice && other != s.text {
		panic(fmt.Sprintf("registry: %s and %s both set the %s; leave one out", other, s.text, s.what))
	}
	c.settings[s.what] = s.text
	s.set(c)
}

func (s setting) Options() []Option { return []Option{s} }

// Exclusive returns the name of the value that the option sets, and String
// returns the call that made the option. Package registrytest uses them to fail
// a test before New panics.
func (s setting) Exclusive() string { return s.what }

func (s setting) String() string { return s.text }

// notNil panics if the argument of an option is nil. The option is the name of
// its function.
func notNil(option string, isNil bool) {
	if isNil {
		panic("registry: the argument of " + option + " is nil; leave the option out instead")
	}
}

// notNegative panics if the argument of an option is negative. The option is the
// name of its function.
func notNegative(option string, negative bool, n any) {
	if negative {
		panic(fmt.Sprintf("registry: the argument of %s is %v; it must not be negative", option, n))
	}
}

// The default values of options.
const (
	defaultManifestLimit = 4 << 20
	defaultUploadExpiry  = time.Hour
)

// maxWarning is the number of bytes of warnings that the spec allows in a
// response (section Warnings).
const maxWarning = 4096

// A config holds the values of the options.
type config struct {
	settings        map[string]string // the call that set each value, by the name of the value
	without         featureSet
	prefix          string
	manifestLimit   int64
	pageSize        int
	minChunk        int64
	uploadExpiry    time.Duration
	maxSessions     int
	maxBytes        int64
	sparseManifests []string // patterns of the repositories that accept sparse manifests
	anyManifest     []string // patterns of the repositories that accept any manifest
	warnings        []string
	recorders       []Recorder
	injectors       []func(*Request) *Fault
	middleware      []func(next Handler) Handler
	authorizer      func(r *Request, repo string, a Action) error
	tagChecks       []func(r *Request, tag string, current, next digest.Digest) error
}

func newConfig(opts []Option) config {
	c := config{
		settings:      make(map[string]string),
		manifestLimit: defaultManifestLimit,
		pageSize:      math.MaxInt,
		uploadExpiry:  defaultUploadExpiry,
		maxSessions:   math.MaxInt,
		maxBytes:      math.MaxInt64,
	}
	Options(opts...).apply(&c)
	if c.without.has(ManifestLimit) {
		c.manifestLimit = math.MaxInt64
	}
	return c
}

// Without removes features from the registry. The registry then responds as the
// distribution spec lets a registry without them respond:
//
//   - [ListReferrers]: 404, and no OCI-Subject when a manifest is pushed
//     (Unavailable Referrers API);
//   - [ListRepositories], [ListExtensions]: 404;
//   - [MountBlob], [AnonymousMount]: 202 with an upload session (Mounting a
//     blob from another repository);
//   - [PostBlob]: 202 with an upload session (Single POST);
//   - all other operations, such as [DeleteTag], [DeleteManifest] and
//     [DeleteBlob]: 405 (Content Management);
//   - [BlobIsolation]: all repositories share their blobs: a blob that was pushed
//     to one of them can be pulled from all, and need not be pushed again
//     before a manifest;
//   - [ConditionalReads]: no ETag, and the conditions of a GET or HEAD are
//     ignored;
//   - [ConditionalWrites]: the conditions of a PUT or DELETE are ignored;
//   - [CrossOrigin]: 403 DENIED to a request whose Origin is not the host of the
//     request. A browser sends such a request for a web page of another host:
//     the page could push to a registry on this machine, although it cannot read
//     the response;
//   - [ManifestLimit]: manifests and lists of referrers of any size, even with
//     [WithManifestLimit];
//   - [Namespace], [TagParameters]: the parameters ns and tag are ignored;
//   - [Ranges]: no Accept-Ranges, and Range is ignored (RFC 9110, section 14.2);
//   - [ReferrersFilter]: all referrers, and no OCI-Filters-Applied;
//   - [RelativeLocations]: Location and Link begin with http:// or https:// and
//     the host of the request;
//   - [SchemaVersion]: image manifests and indexes need no schemaVersion;
//   - [SHA512]: 400 DIGEST_INVALID to a push with a digest of an algorithm other
//     than sha256, and no content with such a digest;
//   - [StreamUpload]: 400 BLOB_UPLOAD_INVALID if a chunk has no Content-Range.
//
// Without panics if it is given a value that is not a feature, such as
// [UnknownOp].
func Without(features ...Feature) Option {
	for _, f := range features {
		switch {
		case f == nil:
			panic("registry: a feature given to Without is nil")
		case !exists(f):
			panic(fmt.Sprintf("registry: %d given to Without is not a feature; features are the operations except UnknownOp, and the constants from AnonymousMount to TagParameters", f))
		}
	}
	o := option(func(c *config) {
		for _, f := range features {
			c.without.add(f)
		}
	})
	for _, f := range features {
		if !passable(f) {
			return operational{o, fmt.Sprintf("Without(%v)", f)}
		}
	}
	return o
}

// WithReadOnly makes the registry respond with 405 to every operation that
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

// WithPathPrefix puts a prefix before all paths, also in Location and Link: with
// "/registry", the API is at /registry/v2/. A prefix begins with a slash and
// does not end with a slash; WithPathPrefix panics if the prefix has another
// form.
func WithPathPrefix(prefix string) Option {
	if !strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || path.Clean(prefix) != prefix {
		panic(fmt.Sprintf("registry: the path prefix is %q; it must begin with a slash and not end with one, such as /registry", prefix))
	}
	return prefixSetting{setting{"path prefix", fmt.Sprintf("WithPathPrefix(%q)", prefix), func(c *config) { c.prefix = prefix }}}
}

// WithManifestLimit sets the size in bytes of the largest manifest that the
// registry accepts. The response to a larger one is 413. The default is 4 MiB,
// the least that the spec recommends (section Pushing Manifests).
// WithManifestLimit panics if the size is negative.
func WithManifestLimit(bytes int64) Option {
	notNegative("WithManifestLimit", bytes < 0, bytes)
	return setting{"manifest limit", fmt.Sprintf("WithManifestLimit(%d)", bytes), func(c *config) { c.manifestLimit = bytes }}
}

// WithPageSize sets the largest number of tags, repositories or referrers in one
// response. If more follow, the response has a Link to the next page. By
// default, only the parameter n of the request limits the number and, for
// referrers, the manifest limit (sections Listing Tags and Listing Referrers). A
// size of 0 is like 1; WithPageSize panics if the size is negative.
func WithPageSize(n int) Option {
	notNegative("WithPageSize", n < 0, n)
	return setting{"page size", fmt.Sprintf("WithPageSize(%d)", n), func(c *config) { c.pageSize = max(n, 1) }}
}

// WithMinChunk sets the least number of bytes in each chunk of an upload except
// the last. The registry announces it as OCI-Chunk-Min-Length. It responds with
// 400 to a chunk that follows one below this minimum (section Pushing a blob in
// chunks). WithMinChunk panics if the number is negative.
func WithMinChunk(bytes int64) Option {
	notNegative("WithMinChunk", bytes < 0, bytes)
	return setting{"least size of a chunk", fmt.Sprintf("WithMinChunk(%d)", bytes), func(c *config) { c.minChunk = bytes }}
}

// WithSparseManifests makes the registry accept manifests whose blobs or
// children are not in the repository. By default it refuses them with
// MANIFEST_BLOB_UNKNOWN, unless only the subject is missing, or layers that have
// URLs or a non-distributable media type.
//
// Patterns limit the option to the repositories that match one of them: a *
// stands for any number of characters other than /, and ** for any number of any
// characters; "junk/**" matches junk and all below it. Without patterns, all
// repositories accept such manifests. The function panics if a pattern is empty.
func WithSparseManifests(repos ...string) Option {
	patterns := orAll("WithSparseManifests", repos)
	return operational{option(func(c *config) { c.sparseManifests = append(c.sparseManifests, patterns...) }), "WithSparseManifests"}
}

// WithAnyManifest makes the registry accept any bytes as a manifest, with any
// Content-Type, in the repositories that match one of the patterns, or in all if
// no pattern is given. The patterns are those of [WithSparseManifests].
// WithAnyManifest panics if a pattern is empty.
func WithAnyManifest(repos ...string) Option {
	patterns := orAll("WithAnyManifest", repos)
	return operational{option(func(c *config) { c.anyManifest = append(c.anyManifest, patterns...) }), "WithAnyManifest"}
}

// orAll returns the patterns, or a pattern that matches all repositories if the
// caller of the option gives none.
func orAll(option string, patterns []string) []string {
	if slices.Contains(patterns, "") {
		panic("registry: a pattern given to " + option + " is empty; name repositories, such as junk/**, or give no pattern to match all")
	}
	if len(patterns) == 0 {
		return []string{"**"}
	}
	return slices.Clone(patterns)
}

// WithWarnings makes the registry send the texts in Warning headers with every
// response (section Warnings), with a space in place of each control character.
// The spec allows 4096 bytes of warnings in a response; if all texts together do
// not fit, [New] panics.
func WithWarnings(texts ...string) Option {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	return option(func(c *config) {
		for _, t := range texts {
			c.warnings = append(c.warnings, `299 - "`+quote.Replace(field.Clean(t))+`"`)
		}
		size := 0
		for _, w := range c.warnings {
			size += len(w)
		}
		if size > maxWarning {
			panic(fmt.Sprintf("registry: the warnings have %d bytes in the header of a response; the spec allows %d", size, maxWarning))
		}
	})
}

// WithLogger logs every request: at level Error with the cause if serving it
// failed (see [Exchange.Err]), and otherwise at level Info. By default nothing is
// logged. If the option is given several times, each logger gets every request.
func WithLogger(l *slog.Logger) Option {
	notNil("WithLogger", l == nil)
	// Only this function calls logTo, so a program that does not use the option
	// does not link the code of log/slog.
	return WithRecorder(RecorderFunc(func(x *Exchange) { logTo(l, x) }))
}

// WithRecorder passes every request and every response to the recorder, also for
// requests without a valid operation and requests with a fault. It may be given
// several times.
func WithRecorder(r Recorder) Option {
	notNil("WithRecorder", r == nil)
	return option(func(c *config) { c.recorders = append(c.recorders, r) })
}

// WithFaults calls inject before each request is served. The function inject
// returns the [Fault] to inject, or nil. If the option is given several times,
// the faults combine as with [Fault.Over]: the first overrides the others, because
// it takes effect after them. If several faults would respond in place of the
// operation, only the first does, see [Request.FaultResponds]; the others lose
// their Serve and AfterCommit.
func WithFaults(inject func(*Request) *Fault) Option {
	notNil("WithFaults", inject == nil)
	return option(func(c *config) { c.injectors = append(c.injectors, inject) })
}

// WithMiddleware wraps every operation in the middleware; the first is outermost. A
// middleware may examine the request, respond instead of calling next, or change
// the response of next. Recorders and faults are outside of all middleware, so they also
// see the responses that the middleware makes.
func WithMiddleware(m ...func(next Handler) Handler) Option {
	for _, m := range m {
		notNil("WithMiddleware", m == nil)
	}
	return option(func(c *config) { c.middleware = append(c.middleware, m...) })
}

// WithAuthorizer makes the registry call allow, after the middleware and before
// each operation that requires permission, to decide whether the request may do
// the action with the repository. To permit it, allow returns nil. Otherwise, it
// returns the error to respond with, such as an [*Error] with [CodeUnauthorized]
// or [CodeDenied]. If the option is given several times, all of the functions have
// to permit the action.
//
// The registry calls allow for the repository of the operation before it looks
// anything up. The empty repository stands for the list of all repositories. The
// registry also calls allow for every other repository that the operation would
// use, and treats a refused repository like one that does not exist: a mount
// finds no blob there, and the list of repositories leaves it out.
//
// If the repositories of the store share their blobs, such as those of one image
// layout, a client that may pull from one repository can read the blobs of all.
// An authorizer whose rights differ between repositories should refuse such a
// registry: see [Request.SharesBlobs].
func WithAuthorizer(allow func(r *Request, repo string, a Action) error) Option {
	notNil("WithAuthorizer", allow == nil)
	return operational{option(func(c *config) {
		before := c.authorizer
		c.authorizer = func(r *Request, repo string, a Action) error {
			if before != nil {
				if err := before(r, repo, a); err != nil {
					return err
				}
			}
			return allow(r, repo, a)
		}
	}), "WithAuthorizer"}
}

// WithTagCheck makes the registry call check before a tag is set to the manifest
// with the digest next. The current digest is the one that the tag names now, or
// "" if the tag is new. If check returns an error, the registry responds with it
// and changes nothing. No other write to the repository comes between the check
// and the change. If the option is given several times, all checks have to pass,
// and so do the conditions of the request (section Pushing Manifests with
// Subject).
func WithTagCheck(check func(r *Request, tag string, current, next digest.Digest) error) Option {
	notNil("WithTagCheck", check == nil)
	return operational{option(func(c *config) { c.tagChecks = append(c.tagChecks, check) }), "WithTagCheck"}
}
