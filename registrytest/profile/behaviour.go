package profile

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
)

// A behaviour is the effect of a quirk. Each of its parts uses one hook of the
// registry.
type behaviour []part

// A part of a behaviour. All fields may be zero.
type part struct {
	// decides names the setting that the part decides, such as "feature
	// mount-blob". Quirks that decide the same setting contradict each other.
	decides string

	// lacks is an optional feature that the registry does not have, or nil.
	lacks registry.Feature

	// auth changes the authentication. The profile then has authentication.
	auth func(*setup)

	// build adds to a registry.
	build func(*build, *quirk)
}

// together returns a behaviour with the parts of all.
func together(all ...behaviour) behaviour { return slices.Concat(all...) }

func (b behaviour) needsAuth() bool {
	return slices.ContainsFunc(b, func(p part) bool { return p.auth != nil })
}

func (b behaviour) decides() (things []string) {
	for _, p := range b {
		if p.decides != "" {
			things = append(things, p.decides)
		}
		if p.lacks != nil {
			things = append(things, p.lacks.String())
		}
	}
	return things
}

// deciding returns the behaviour with the name of the setting that it decides.
func (b behaviour) deciding(thing string) behaviour {
	return append(slices.Clip(b), part{decides: thing})
}

// lacking returns the behaviour with the features that the registry lacks.
func (b behaviour) lacking(features ...registry.Feature) behaviour {
	b = slices.Clip(b)
	for _, f := range features {
		b = append(b, part{lacks: f})
	}
	return b
}

// A build is a registry while its options are put together.
type build struct {
	*Profile
	middleware  []registry.Middleware
	others      []registry.Option
	inner       []registry.Option // applied after authentication
	authorizers []func(r *registry.Request, repo string, a registry.Action) error
	faults      []func(*registry.Request) *registry.Fault
	storage     *storage // or nil
}

func newBuild(p *Profile) *build {
	b := &build{Profile: p}
	for _, q := range p.quirks {
		for _, part := range q.do {
			if part.build != nil {
				part.build(b, q)
			}
		}
	}
	return b
}

// options returns the options in the order in which requests meet them.
func (b *build) options() []registry.Option {
	opts := b.others
	for _, f := range b.faults {
		opts = append(opts, registry.WithFaults(f))
	}
	for _, m := range b.middleware {
		opts = append(opts, registry.WithMiddleware(m))
	}
	if b.auth != nil {
		opts = append(opts, b.auth.Options()...)
	}
	opts = append(opts, b.inner...)
	for _, a := range b.authorizers {
		opts = append(opts, registry.WithAuthorizer(a))
	}
	return opts
}

// option returns a behaviour with an option of package registry. Did reports
// whether the option shaped the response to a request for one of the
// operations.
func option(decides string, o registry.Option, did func(r *registry.Request, status int, h http.Header) bool, ops ...registry.Op) behaviour {
	seen := onResponse(func(r *registry.Request, status int, h http.Header, note func()) int {
		if did(r, status, h) {
			note()
		}
		return status
	}, ops...)
	return append(seen, part{decides: decides, build: func(b *build, _ *quirk) { b.others = append(b.others, o) }})
}

// without makes the registry lack a feature; see [registry.Without]. Did and
// ops are as for option.
func without(f registry.Feature, did func(r *registry.Request, status int, h http.Header) bool, ops ...registry.Op) behaviour {
	return option("the feature "+f.String(), registry.Without(f), did, ops...).lacking(f)
}

// withoutOps makes the registry lack the operations.
func withoutOps(status int, ops ...registry.Op) behaviour {
	var all []behaviour
	for _, op := range ops {
		all = append(all, without(op, func(_ *registry.Request, got int, _ http.Header) bool { return got == status }, op))
	}
	return together(all...)
}

// onResponse calls change with the responses to requests for the operations,
// before they are sent. It returns the status to send, and calls note if the
// quirk shaped the response.
func onResponse(change func(r *registry.Request, status int, h http.Header, note func()) int, ops ...registry.Op) behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		b.addFault(ops, func(r *registry.Request) *registry.Fault {
			return &registry.Fault{Quirk: true, Header: func(status int, h http.Header) int {
				noted := false
				return change(r, status, h, func() {
					if !noted {
						r.Note(q.receipt())
					}
					noted = true
				})
			}}
		})
	}}}
}

// header changes the status and the header of responses to requests for the
// operations.
func header(change func(r *registry.Request, status int, h http.Header) int, ops ...registry.Op) behaviour {
	return onResponse(func(r *registry.Request, status int, h http.Header, note func()) int {
		return noteChange(status, h, func(status int, h http.Header) int { return change(r, status, h) }, note)
	}, ops...)
}

// noteChange returns the status that change returns. It calls note if change
// alters the status or the header.
func noteChange(status int, h http.Header, change func(int, http.Header) int, note func()) int {
	before := maps.Clone(h)
	changed := change(status, h)
	if changed != status || !maps.EqualFunc(before, h, slices.Equal[[]string]) {
		note()
	}
	return changed
}

// addFault adds a fault for requests for the operations, or for all of them.
func (b *build) addFault(ops []registry.Op, inject func(*registry.Request) *registry.Fault) {
	b.faults = append(b.faults, func(r *registry.Request) *registry.Fault {
		if len(ops) > 0 && !slices.Contains(ops, r.Op) {
			return nil
		}
		return inject(r)
	})
}

// rule applies a fault rule, given as text for fault.Parse. A rule that
// responds does so after the request was authorized.
func rule(text string) behaviour { return ruleIf(text, nil) }

// ruleIf is rule for requests for which the condition is true.
func ruleIf(text string, met func(b *build, r *registry.Request) bool) behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		ops, rules := compile(text)
		b.addFault(ops, func(r *registry.Request) *registry.Fault {
			if met != nil && !met(b, r) {
				return nil
			}
			return q.receive(rules.Inject(r), r)
		})
	}}}
}

// compile returns the operations of a rule, none for all, and a set with it.
func compile(text string) (ops []registry.Op, rules *fault.Rules) {
	rules = new(fault.Rules)
	add := func(text string) error {
		rule, err := fault.Parse(text)
		if err == nil {
			_, err = rules.Add(rule)
		}
		return err
	}
	// Without a message, errors say that a rule made them on purpose. A rule
	// without a body in its response is refused with one.
	_, status, _ := strings.Cut(text, " status=")
	status, _, _ = strings.Cut(status, " ")
	code, _ := strconv.Atoi(status)
	if code < 400 || add(fmt.Sprintf("%s message=%q", text, strings.ToLower(http.StatusText(code)))) != nil {
		if err := add(text); err != nil {
			panic("profile: " + err.Error())
		}
	}
	first, _, _ := strings.Cut(text, " ")
	for name := range strings.SplitSeq(first, ",") {
		if op, err := registry.ParseOp(name); err == nil {
			ops = append(ops, op)
		}
	}
	return ops, rules
}

// receive returns the fault with the receipt of the quirk added.
func (q *quirk) receive(f *registry.Fault, r *registry.Request) *registry.Fault {
	if f == nil {
		return nil
	}
	quirk := *f
	quirk.Quirk, quirk.Name = true, ""
	if f.Serve != nil {
		quirk.Serve = func(w http.ResponseWriter, r *registry.Request) error {
			r.Note(q.receipt())
			return f.Serve(w, r)
		}
	}
	if f.Before != nil {
		quirk.Before = func(r *registry.Request) error {
			r.Note(q.receipt())
			return f.Before(r)
		}
	}
	if f.Header != nil {
		quirk.Header = func(status int, h http.Header) int {
			return noteChange(status, h, f.Header, func() { r.Note(q.receipt()) })
		}
	}
	return &quirk
}

// serve responds to authorized requests instead of the operation, unless choose
// returns nil.
func serve(choose func(b *build, r *registry.Request) registry.Handler, ops ...registry.Op) behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		b.addFault(ops, func(r *registry.Request) *registry.Fault {
			h := choose(b, r)
			if h == nil {
				return nil
			}
			return &registry.Fault{Quirk: true, Serve: func(w http.ResponseWriter, r *registry.Request) error {
				r.Note(q.receipt())
				return h(w, r)
			}}
		})
	}}}
}

// refuse responds with the error that find returns, if it returns one, to a
// request that was authorized.
func refuse(find func(b *build, r *registry.Request) *registry.Error, ops ...registry.Op) behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		b.authorizers = append(b.authorizers, func(r *registry.Request, repo string, a registry.Action) error {
			if !slices.Contains(ops, r.Op) || repo != r.Repo || a != r.Op.Action() {
				return nil
			}
			if e := find(b, r); e != nil {
				r.Note(q.receipt())
				return e
			}
			return nil
		})
	}}}
}

// rewrite changes the errors with which the registry responds. Change returns the
// error, or nil to leave it as it is.
func rewrite(change func(r *registry.Request, e registry.Error) *registry.Error) behaviour {
	return wrap(func(_ *build, _ http.ResponseWriter, r *registry.Request, err error, note func()) error {
		all := errorsOf(err)
		if len(all) == 0 {
			return err
		}
		changed := change(r, *all[0])
		if changed == nil {
			return err
		}
		note()
		return changed
	})
}

// wrap calls change with the error of each request that fails. Change returns the
// error for the response, or nil if it has responded.
func wrap(change func(b *build, w http.ResponseWriter, r *registry.Request, err error, note func()) error) behaviour {
	return behaviour{{build: func(b *build, q *quirk) {
		b.middleware = append(b.middleware, func(next registry.Handler) registry.Handler {
			return func(w http.ResponseWriter, r *registry.Request) error {
				err := next(w, r)
				if err == nil {
					return nil
				}
				return change(b, w, r, err, func() { r.Note(q.receipt()) })
			}
		})
	}}}
}
