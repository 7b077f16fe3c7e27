package profile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ocireg/registry/internal/names"
	"github.com/ocireg/registry/registrytest/auth"
)

// A Target is a registry for [Profile.Diff] to compare with the profile.
type Target struct {
	// URL has the scheme and the host of the registry.
	URL string

	// Prefix is the beginning of the names of all repositories to which the
	// comparison sends requests, such as "team/probe".
	Prefix string

	// Repository, if it is not "", is an empty repository that all probes use.
	// Its name begins with Prefix and a slash. It is for registries that do not
	// create repositories on a push. By default, each probe uses a new
	// repository.
	Repository string

	// Credentials are those of a user who may pull, push and delete. Diff sends
	// them to the registry. It also sends them to the token service that the
	// registry names, if the token service uses HTTPS or has the registry's
	// host. Without a Username, requests are anonymous.
	Credentials auth.Credentials

	// Transport sends the requests. If it is nil, Diff uses
	// [http.DefaultTransport].
	Transport http.RoundTripper

	// Timeout limits the time of each request. If it is 0, the limit is 30
	// seconds.
	Timeout time.Duration
}

// A Result is the outcome of the probe for one quirk.
type Result struct {
	Quirk Quirk

	// Want is the observation at a registry with the quirk, and Got is the
	// observation at the target. In both, <host>, <registry> and <repo> stand
	// for the host and the URL of the registry and for the name of the
	// repository.
	Want, Got string

	// Err is the reason why the probe has no observation. If it is not nil, Got
	// is "".
	Err error

	// Left describes content of the probe that Diff could not delete, with the
	// reasons.
	Left []string
}

// Holds reports whether the target has the quirk.
func (r Result) Holds() bool { return r.Err == nil && r.Got == r.Want }

const (
	probeTimeout = 5 * time.Minute
	cleanTimeout = 2 * time.Minute
	maxTimeouts  = 3 // consecutive probes that may time out
)

// Diff compares a registry with the profile. For each quirk, in the order of
// [Profile.Quirks], it sends the requests of a probe and yields the result.
// After each probe, it deletes the content that the probe pushed, unless the
// registry refuses the deletion. Some registries keep empty repositories. Diff
// returns an error if the target is not valid, does not respond as a registry,
// or refuses the credentials, and if the given repository has tags.
//
// Diff does not follow redirects, and limits the time and the size of all
// responses. It sends no more requests if the registry does not respond to
// several probes in a row.
func (p *Profile) Diff(ctx context.Context, t Target) (iter.Seq[Result], error) {
	if p.err != nil {
		return nil, p.err
	}
	pr, err := p.newProber(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("comparing %s with %s: %w", t.URL, p.name, err)
	}
	return func(yield func(Result) bool) {
		timeouts := 0
		for i, q := range p.quirks {
			r := Result{Quirk: q.Name, Want: q.want}
			switch {
			case q.probe == nil:
				r.Err = errors.New("one client alone cannot observe it")
			case ctx.Err() != nil:
				r.Err = ctx.Err()
			case timeouts >= maxTimeouts:
				r.Err = fmt.Errorf("the registry did not respond in time to %d probes in a row", maxTimeouts)
			default:
				one := *pr
				if t.Repository == "" {
					one.repo = fmt.Sprintf("%s-%d", pr.repo, i+1)
				}
				r.play(ctx, &one, q)
			}
			if timeouts++; !timedOut(r.Err) && timeouts <= maxTimeouts {
				timeouts = 0
			}
			if !yield(r) {
				return
			}
		}
	}, nil
}

// play runs the probe of the quirk, stores the result in r, and deletes the
// content of the probe.
func (r *Result) play(ctx context.Context, p *prober, q *quirk) {
	p.ledger = new(ledger)
	var cancel context.CancelFunc
	p.ctx, cancel = context.WithTimeout(ctx, probeTimeout)
	r.Got, r.Err = p.run(q.probe)
	cancel()
	r.Want, r.Got = p.local(r.Want), p.local(r.Got)

	p.ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	r.Left = p.ledger.clean(p)
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// newProber returns a prober that sends requests to the target with its
// credentials.
func (p *Profile) newProber(ctx context.Context, t Target) (*prober, error) {
	u, err := url.Parse(strings.TrimSuffix(t.URL, "/"))
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil:
		return nil, errors.New("the URL has to be http:// or https:// with a host, and nothing else")
	case !names.Repository(t.Prefix):
		return nil, fmt.Errorf("the prefix %q is not a valid name of a repository", t.Prefix)
	case t.Repository != "" && (!names.Repository(t.Repository) || !strings.HasPrefix(t.Repository, t.Prefix+"/")):
		return nil, fmt.Errorf("the repository %q is not below the prefix %s", t.Repository, t.Prefix)
	}
	transport := t.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	run := strings.ToLower(rand.Text()[:8])
	pr := &prober{
		ctx:    ctx,
		base:   u.Scheme + "://" + u.Host,
		repo:   t.Prefix + "/ocireg-" + run,
		absent: t.Prefix + "/absent-" + run,
		within: t.Prefix,
		login:  t.Credentials,
		client: &http.Client{
			Transport:     transport,
			Timeout:       t.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if t.Timeout == 0 {
		pr.client.Timeout = 30 * time.Second
	}
	if host := p.site.access.host; host != "" {
		pr.realms = append(pr.realms, "https://"+host)
	}
	l, err := newLogin(pr, transport, t.Credentials)
	if err != nil {
		return nil, err
	}
	pr.user = pr.clientOf(l)
	if t.Repository != "" {
		pr.repo = t.Repository
		return pr, pr.checkEmpty()
	}
	return pr, nil
}

// checkEmpty returns an error if the repository has tags, since the probes would
// move and delete them.
func (p *prober) checkEmpty() error {
	tags, err := p.run(func(p *prober) string {
		r := p.want(p.do("GET", p.path("tags", "list"), ""), "listing the tags", http.StatusOK, http.StatusNotFound)
		_, tags, _ := strings.Cut(r.body, `"tags":`)
		tags, _, _ = strings.Cut(tags, "]")
		return tags
	})
	if err == nil && strings.Contains(tags, `"`) {
		err = fmt.Errorf("the repository %s has tags, which the probes would move; give an empty one", p.repo)
	}
	return err
}
