package explore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/fault"
	"github.com/ocireg/registry/registrytest/journal"
)

// An address identifies the request that a fault hits, by its operation, its
// arguments and the number of equal requests before it. Its number among all
// requests would not identify it, because the order may differ from run to run.
type address struct {
	op     registry.Op
	repo   string // "" if all requests for the operation are to one repository
	tag    string
	digest digest.Digest
	header string // Range or Content-Range, after "!" if the request lacks the field; or ""
	value  string // the value of the header, or ""
	auth   bool   // the request has credentials; false if the run has no response 401
	after  int    // the number of equal requests that pass before the fault
}

// A request is a request of the client in the undisturbed run.
type request struct {
	address
	record *journal.Record
}

// rule returns a rule that matches the request at the address. The caller adds the fault.
func (a address) rule() fault.Rule {
	r := fault.On(a.op)
	if a.repo != "" {
		r = r.Repo(a.repo)
	}
	if a.tag != "" {
		r = r.Tag(a.tag)
	}
	if a.digest != "" {
		r = r.Digest(a.digest)
	}
	if a.value != "" {
		r = r.HasHeader(a.header, a.value)
	} else if a.header != "" {
		r = r.HasHeader(a.header)
	}
	if a.auth {
		r = r.HasHeader("Authorization")
	}
	if a.after > 0 {
		r = r.After(a.after)
	}
	return r
}

// String returns the address for the columns of a matrix, such as
// "get-blob 3f2a91c04b7e #2".
func (a address) String() string {
	words := []string{a.op.String()}
	if a.repo != "" {
		words = append(words, a.repo)
	}
	if a.tag != "" {
		words = append(words, a.tag)
	}
	if a.digest != "" {
		words = append(words, short(a.digest))
	}
	if a.value != "" {
		words = append(words, strings.ReplaceAll(a.value, " ", ""))
	} else if a.header != "" {
		words = append(words, "whole")
	}
	if a.after > 0 {
		words = append(words, fmt.Sprintf("#%d", a.after+1))
	}
	return strings.Join(words, " ")
}

func short(d digest.Digest) string {
	if d.Validate() != nil || len(d.Encoded()) < 12 {
		return d.String()
	}
	return d.Encoded()[:12]
}

// requestsOf returns the requests of an undisturbed run, in the order of their
// arrival. It leaves out unknown requests and those that got 401, whose number
// may depend on the time at which the first token arrives.
func requestsOf(records []*journal.Record) (requests []request) {
	secured := slices.ContainsFunc(records, func(r *journal.Record) bool { return r.Status == 401 })
	seen := make(map[address]int)
	for _, r := range records {
		if r.Op == registry.UnknownOp || r.Status == 401 {
			continue
		}
		a := address{op: r.Op, tag: r.Tag, digest: r.Digest}
		a.auth = secured && r.Op != registry.GetToken && r.RequestHeader.Get("Authorization") != ""
		if r.Op.HasRepo() && differ(records, r.Op, func(o *journal.Record) string { return o.Repo }) {
			a.repo = r.Repo
		}
		same := func(o *journal.Record) bool {
			return o.Op == r.Op && o.Repo == r.Repo && o.Tag == r.Tag && o.Digest == r.Digest && o.Range != r.Range
		}
		if slices.ContainsFunc(records, same) {
			a.header, a.value = "Range", r.Range
			if r.Op.HasBody() {
				a.header = "Content-Range"
			}
			if r.Range == "" {
				a.header = "!" + a.header
			}
		}
		n := seen[a]
		seen[a]++
		a.after = n
		requests = append(requests, request{a, r})
	}
	return requests
}

// differ reports whether value returns different texts for requests of the operation.
func differ(records []*journal.Record, op registry.Op, value func(*journal.Record) string) bool {
	first := ""
	for _, r := range records {
		switch v := value(r); {
		case r.Op != op:
		case first == "":
			first = v
		case v != first:
			return true
		}
	}
	return false
}
