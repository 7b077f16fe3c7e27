package explore

import (
	"fmt"
	"slices"
	"strings"
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
		if !slices.Contains(x.must, c.fault) {
			continue
		}
		for todo := []cell{c}; len(todo) > 0; {
			c := todo[0]
			todo = todo[1:]
			if name := c.plan().name; !rules[name] {
				rules[name] = true
				todo = append(todo, c.simpler()...)
			}
		}
	}
	return rules
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
	return fmt.Sprintf("nothing was promised: faults that pass made the operation fail at %s (%s); see MustSucceed",
		plural(len(requests), "request"), strings.Join(faults, ", "))
}
