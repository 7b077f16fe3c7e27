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
	"github.com/ocireg/registry/registrytest/inject"
)

// A behaviour is the effect of a quirk on a registry. Each of its parts uses one
// hook of the registry.
type behaviour []part

// A part is a part of a behaviour. All its fields are optional.
type part struct {
	// decides names the setting of a registry that the part determines, such as
	// "the feature mount-blob". Two quirks that decide the same setting
	// contradict each other.
	decides string

	// lacks is an optional feature that the part removes from the registry, or
	// nil.
	lacks registry.Feature

	// auth changes the authentication of the registry. If it is not nil, the
	// quirk requires authentication.
	auth func(*setup)

	// build adds options to a registry.
	build func(*build, *quirk)
}

// together returns a behaviour that has the parts of all given behaviours.
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

// deciding returns b as a behaviour that decides the named setting.
func (b behaviour) deciding(thing string) behaviour {
	return append(slices.Clip(b), part{decides: thing})
}

// lacking returns b as a behaviour of a registry without the features.
func (b behaviour) lacking(features ...registry.Feature) behaviour {
	b = slices.Clip(b)
	for _, f := range features {
		b = append(b, part{lacks: f})
	}
	return b
}

// A build is a profile while its options for a registry are being collected.
type build struct {
	*Profile
	middleware  []func(registry.Handler) registry.Handler
	others      []registry.Option
	inner       []registry.Option // options that apply after authentication
	authorizers []func(r *registry.Request, repo string, a registry.Action) error
	faults      []func(*registry.Request) *registry.Fault
	storage     *storage // set by redirect, otherwise nil
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

// options returns the collected options, in the order in which they apply to a
// request.
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

// option returns a behaviour that consists of an option of package registry. For
// each response to a request for one of the operations, it calls the function
// did. A result of true means that the option affected the response; the record
// of the request then gets the quirk's receipt.
func option(decides string, o registry.Option, did func(r *registry.Request, status int, h http.Header) bool, ops ...registry.Op) behaviour {
	seen := onResponse(func(r *registry.Request, status int, h http.Header, note func()) int {
		if did(r, status, h) {
			note()
		}
		return status
	}, ops...)
	return append(seen, part{decides: decides, build: func(b *build, _ *quirk) { b.others = append(b.others, o) }})
}

// without returns the behaviour of a registry that lacks the feature; see
// [registry.Without]. The parameters did and ops are like those of option.
func without(f registry.Feature, did func(r *registry.Request, status int, h http.Header) bool, ops ...registry.Op) behaviour {
	return option("the feature "+f.String(), registry.Without(f), did, ops...).lacking(f)
}

// withoutOps returns the behaviour of a registry that does not support the
// operations and responds to them with the status.
func withoutOps(status int, ops ...registry.Op) behaviour {
	var all []behaviour
	for _, op := range ops {
		all = append(all, without(op, func(_ *registry.Request, got int, _ http.Header) bool { return got == status }, op))
	}
	return together(all...)
}

// onResponse returns a behaviour that calls change before it sends a response to
// a request for one of the operations. The function change returns the status to
// send. It calls note if the quirk affected the response.
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

// header returns a behaviour in which the function change edits the status and
// the header of responses to requests for the operations.
func header(change func(r *registry.Request, status int, h http.Header) int, ops ...registry.Op) behaviour {
	return onResponse(func(r *registry.Request, status int, h http.Header, note func()) int {
		return noteChange(status, h, func(status int, h http.Header) int { return change(r, status, h) }, note)
	}, ops...)
}

// noteChange calls change and returns the status that it returns. It calls note
// if change altered the status or the header.
func noteChange(status int, h http.Header, change func(int, http.Header) int, note func()) int {
	before := maps.Clone(h)
	changed := change(status, h)
	if changed != status || !maps.EqualFunc(before, h, slices.Equal[[]string]) {
		note()
	}
	return changed
}

// addFault adds a fault to the registry. It applies to requests for the
// operations, or to all requests if ops is empty.
func (b *build) addFault(ops []registry.Op, inject func(*registry.Request) *registry.Fault) {
	b.faults = append(b.faults, func(r *registry.Request) *registry.Fault {
		if len(ops) > 0 && !slices.Contains(ops, r.Op) {
			return nil
		}
		return inject(r)
	})
}

// rule returns a behaviour that is a fault rule in the language of
// [fault.Parse]. If the rule sends a response, the registry first authorizes the
// request.
func rule(text string) behaviour { return ruleIf(text, nil) }

// ruleIf is like rule, but the rule applies only to requests for which the
// function met returns true.
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

// compile parses a fault rule and returns a set that contains it. It also
// returns the operations of the rule. If ops is empty, the rule applies to all
// operations.
func compile(text string) (ops []registry.Op, rules *inject.Rules) {
	rules = new(inject.Rules)
	add := func(text string) error {
		rule, err := fault.Parse(text)
		if err == nil {
			_, err = rules.Add(rule)
		}
		return err
	}
	// The default message would say that a rule caused the error on purpose. A
	// response without a body cannot have a message, so the rule is then added
	// without one.
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

// receive returns a fault like f that adds the quirk's receipt to the record of
// each request on which it has an effect.
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

// serve returns a behaviour that replaces responses to authorized requests for the
// operations. The function choose returns the handler that responds to a
// request, or nil if the registry responds itself.
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

// refuse returns a behaviour in which the registry refuses authorized requests
// for the operations. The function find returns the error for a request, or nil
// if the registry carries out the request.
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

// rewrite returns a behaviour that replaces errors of the registry. For each
// request that fails, it calls the function change with the first error. The
// function returns the error for the response, or nil to keep the errors.
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

// wrap returns a behaviour that calls change for each request that fails with an
// error. The function change returns the error for the response, or nil if it
// responded itself.
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
