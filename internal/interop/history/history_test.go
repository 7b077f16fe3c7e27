// Package history shows bugs that clients had: an old version of the client fails
// against a registry with the profile of the registry where the bug was found, and
// the version with the fix does not. Without the profile, the old version succeeds.
//
//	go test -C internal/interop ./history            # all pairs
//	go test -C internal/interop ./history -short     # a sample
//	go test -C internal/interop ./history -run 'Pairs/ggcr'
//
// A pair is an entry in the table of pairs_test.go. It names a program in
// testdata, which carries out one operation with the client, and two versions
// of the client. The files VERSION.mod and VERSION.sum pin them with all they
// need; -update writes those that are missing, and docs/history.md.
package history

import (
	"cmp"
	"context"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/registrytest"
	"github.com/ocireg/registry/registrytest/auth"
	"github.com/ocireg/registry/registrytest/content"
	"github.com/ocireg/registry/registrytest/profile"
)

var update = flag.Bool("update", false, "write docs/history.md, and the files in testdata that pin the versions of clients")

// A pair is a bug of a client with two versions of the client, before and after the fix.
type pair struct {
	bug      string // completes the sentence "The old version …"
	program  string // the directory of the program in testdata
	old, new string // versions of the client
	source   string // the URL of a report or fix of the bug

	profile string // the name of a profile for profile.Get, or "" to use only the quirk
	quirk   profile.Quirk

	// do has the arguments of the program. $HOST stands for the host of the
	// registry, which has the image team/app:v1. $OTHER stands for the host of a
	// second registry, without a profile, which has other/app:v1.
	do []string

	// seed adds content to the registry. It may be nil.
	seed func(t *testing.T, reg *registrytest.Server)

	// shows is a text that the output of the old version must contain.
	shows string

	// with lists options of the profile: With, for a quirk that the profile does
	// not have, and WithoutAuth, for a client that has no credentials.
	with []profile.Option

	// refuses is a text that the output of the new version must contain, or "".
	// It is set if the new version fails, too, but with a clear error.
	refuses string

	// without lists options of the profile with which the old version succeeds.
	// If it is nil, these are the options in with, and Except(quirk).
	without []profile.Option

	short bool // set if go test -short tries the pair
}

func (p *pair) name() string { return p.program + " " + p.old + " " + string(p.quirk) }

// The old version of each client fails against a registry with the profile, and
// succeeds without the quirk. The new version does not fail, or fails with a clear
// error.
func TestPairs(t *testing.T) {
	t.Parallel()
	b := newBuilder(t)
	for _, p := range pairs {
		t.Run(p.name(), func(t *testing.T) {
			if testing.Short() && !p.short {
				t.Skip("not in the sample")
			}
			t.Parallel()
			old, fixed := b.build(t, p.program, p.old), b.build(t, p.program, p.new)
			with := func(opts ...profile.Option) registrytest.Option {
				if p.profile == "" {
					return p.quirk
				}
				imitated := profile.Get(p.profile, opts...)
				require.NoError(t, imitated.Err())
				return imitated
			}

			got := p.run(t, old, with(p.with...))
			require.Error(t, got.err, "%s %s with %s:\n%s", p.program, p.old, p.option(), got)
			require.Contains(t, got.output, p.shows, "%s %s with %s:\n%s", p.program, p.old, p.option(), got)
			require.Contains(t, profile.QuirksIn(got.reg.Requests()), p.quirk)
			t.Logf("%s %s with %s: %s", p.program, p.old, p.option(), got.output)

			got = p.run(t, fixed, with(p.with...))
			if p.refuses != "" {
				assert.Error(t, got.err, "%s %s with %s:\n%s", p.program, p.new, p.option(), got)
				assert.Contains(t, got.output, p.refuses, "%s %s with %s:\n%s", p.program, p.new, p.option(), got)
			} else {
				assert.NoError(t, got.err, "%s %s with %s:\n%s", p.program, p.new, p.option(), got)
			}
			got = p.run(t, old, nil)
			assert.NoError(t, got.err, "%s %s without a profile:\n%s", p.program, p.old, got)
			if p.profile == "" {
				return
			}
			without := p.without
			if without == nil {
				without = append(slices.Clip(p.with), profile.Except(p.quirk))
			}
			got = p.run(t, old, with(without...))
			assert.NoError(t, got.err, "%s %s with %s without %s:\n%s", p.program, p.old, p.option(), p.quirk, got)
		})
	}
}

// option returns the name of the profile, or that of the quirk if there is no profile.
func (p *pair) option() string { return cmp.Or(p.profile, string(p.quirk)) }

// A result is the outcome of a program that ran, with its registry.
type result struct {
	output string
	err    error
	reg    *registrytest.Server
}

func (r result) String() string {
	return r.output + "\n" + r.reg.Requests().String()
}

// run runs the program of the pair against a new registry with the option like,
// unless it is nil.
func (p *pair) run(t *testing.T, program string, like registrytest.Option) result {
	t.Helper()
	var opts []registrytest.Option
	var login auth.Credentials
	if like != nil {
		opts = append(opts, like)
	}
	if imitated, ok := like.(*profile.Profile); ok {
		login = imitated.Credentials()
	}
	reg := registrytest.NewServer(t, opts...)
	reg.Push(t, "team/app:v1", content.Image())
	if p.seed != nil {
		p.seed(t, reg)
	}
	other := ""
	args := strings.Join(p.do, "\n")
	if strings.Contains(args, "$OTHER") {
		second := registrytest.NewServer(t)
		second.Push(t, "other/app:v1", content.Image(content.Layers(3)))
		other = second.Host()
	}
	args = strings.NewReplacer("$HOST", reg.Host(), "$OTHER", other).Replace(args)

	// The timeout ends programs that would run forever.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, strings.Split(args, "\n")...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(),
		"HOME="+home, "DOCKER_CONFIG="+home, "XDG_RUNTIME_DIR="+home,
		"REGISTRY_USERNAME="+login.Username, "REGISTRY_PASSWORD="+login.Password)
	output, err := cmd.CombinedOutput()
	if cmp.Or(ctx.Err(), err) != nil {
		err = cmp.Or(ctx.Err(), err)
	}
	return result{string(output), err, reg}
}
