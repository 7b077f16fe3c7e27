package explore

import (
	"slices"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// traps returns all traps. To add one, write its entry in the file of its
// subject.
func traps() []trap {
	return slices.Concat(credentialTraps(), contentTraps(), listTraps(), verificationTraps())
}

// pulls, uploads and lists are the operations by which clients pull content,
// begin uploads and list content.
var (
	pulls   = []registry.Op{registry.GetManifest, registry.HeadManifest, registry.GetBlob, registry.HeadBlob}
	uploads = []registry.Op{registry.StartUpload, registry.MountBlob}
	lists   = []registry.Op{registry.ListTags, registry.ListReferrers}
)

// needs returns a function for trap.needs. It returns the reason unless a
// request for one of the operations succeeded in the undisturbed run.
func needs(reason string, ops ...registry.Op) func(*hostile) string {
	return func(h *hostile) string {
		if !h.base.has(nil, ops...) {
			return reason
		}
		return ""
	}
}

// needsLogin is like needs, for traps that steal credentials: the client must
// also have credentials.
func needsLogin(reason string, ops ...registry.Op) func(*hostile) string {
	return func(h *hostile) string {
		switch {
		case h.scheme == "":
			return "the client has no credentials; see Login"
		case !h.base.has(nil, ops...):
			return reason
		}
		return ""
	}
}

// needsTLS adds a condition to needs: the run is not over loopback, since the
// trap requires TLS and arbitrary addresses.
func needsTLS(needs func(*hostile) string) func(*hostile) string {
	return func(h *hostile) string {
		if h.loopback {
			return "needs host names and TLS; a run over loopback has neither"
		}
		return needs(h)
	}
}

func needsBearer(h *hostile) string {
	if h.scheme != "bearer" {
		return "the client does not get tokens with credentials; see Login"
	}
	return ""
}

func byDigest(r *journal.Record) bool { return r.Digest != "" }
