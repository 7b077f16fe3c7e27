package explore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ocireg/registry/internal/hint"
)

// promises reports whether [MustSucceed] demands that the operation succeed
// in the planned run.
func (x *explorer) promises(c cell) bool {
	return slices.Contains(x.must, c.fault) || x.promised[c.plan().name]
}

// promisedRules returns the rules of the faults in [MustSucceed] and all simpler variants
// of them. The operation has to succeed in a run of [Try] with one of these rules, too.
func (x *explorer) promisedRules() map[string]bool {
	rules := make(map[string]bool)
	for _, c := range slices.Concat(x.troubled(), x.cancellations()) {
		if slices.Contains(x.must, c.fault) {
			for name := range variants(c) {
				rules[name] = true
			}
		}
	}
	return rules
}

// variants returns the cell and all its simpler variants, by their rules.
func variants(c cell) map[string]cell {
	found := make(map[string]cell)
	for todo := []cell{c}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		if name := c.plan().name; found[name].parts == nil {
			found[name] = c
			todo = append(todo, c.simpler()...)
		}
	}
	return found
}

// untested returns an error for each fault of [MustSucceed] that fits no request
// of the operation, or had no effect in any run. If the budget left out runs,
// only the former are errors.
func (x *explorer) untested(m *Matrix) (errs []error) {
	if len(x.try) > 0 {
		return nil
	}
	fits := make(map[string]bool)
	for _, c := range x.troubled() {
		fits[c.fault] = true
	}
	if x.cancels {
		fits[cancelling] = true
	}
	for _, name := range x.mustUntested(m) {
		switch {
		case !fits[name]:
			errs = append(errs, fmt.Errorf("MustSucceed: the fault %q fits no request of the operation, so the promise was never tested; leave it out", name))
		case !x.incomplete(m):
			errs = append(errs, fmt.Errorf("MustSucceed: the fault %q changed nothing in any run, so the promise was never tested; leave it out", name))
		}
	}
	return errs
}

// unsampled returns a sentence about the faults of [MustSucceed] that no run
// tested because of the budget. It returns "" if there are none.
func (x *explorer) unsampled(m *Matrix) string {
	faults := x.mustUntested(m)
	if len(faults) == 0 || len(x.try) > 0 || !x.incomplete(m) {
		return ""
	}
	return "the runs within the budget did not test the promises " + strings.Join(faults, ", ")
}

// incomplete reports whether the budget may have left out runs with faults of
// [MustSucceed]. With -short alone, it leaves out none of them.
func (x *explorer) incomplete(m *Matrix) bool { return x.sampled && x.runs > 0 || m.Skipped > 0 }

// mustUntested returns the faults of [MustSucceed] that had no effect in any run.
func (x *explorer) mustUntested(m *Matrix) (faults []string) {
	for _, name := range x.must {
		tested := slices.ContainsFunc(m.Cells, func(c Cell) bool {
			return c.Fault == name && c.Outcome != NotFired && c.Outcome != NoEffect
		})
		if !tested && !slices.Contains(faults, name) {
			faults = append(faults, name)
		}
	}
	return faults
}

// unpromised returns a sentence about the temporary faults with which the
// operation failed. It returns "" if there are none, or if [MustSucceed],
// [Golden] or [Try] judges the outcomes.
func (x *explorer) unpromised(m *Matrix) string {
	if len(x.must) > 0 || x.golden != "" || len(x.try) > 0 {
		return ""
	}
	passing := make(map[string]bool)
	for _, tr := range troubles() { // A client may fail with forged content and with links to other hosts.
		passing[tr.name] = tr.times > 0 && !tr.forges && !strings.HasSuffix(tr.name, " at another host")
	}
	var requests, faults []string
	for _, c := range m.Cells {
		if c.Outcome != Failed || !passing[c.Fault] {
			continue
		}
		if !slices.Contains(requests, c.Request) {
			requests = append(requests, c.Request)
		}
		if !slices.Contains(faults, c.Fault) {
			faults = append(faults, c.Fault)
		}
	}
	if len(faults) == 0 {
		return ""
	}
	if more := len(faults) - 3; more > 0 {
		faults = append(faults[:3], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("the operation failed at %s with temporary faults after which the client could have retried (%s); to make such failures violations, see MustSucceed",
		hint.Count(len(requests), "request"), strings.Join(faults, ", "))
}
