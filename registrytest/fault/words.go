package fault

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/internal/glob"
)

// A ruleSpec is what a rule says, understood.
type ruleSpec struct {
	ops        []registry.Op
	empty      bool // it says nothing at all
	conditions []condition
	seed       uint64
	stages     []*ruleStage // what Then is between
}

// A condition is one that a request has to meet.
type condition struct {
	word string
	met  func(*registry.Request) bool
}

// A ruleStage is what a rule says up to Then.
type ruleStage struct {
	words []ruleWord
	said  map[string]bool

	times, after, every int // 0 if it is not said
	firstBytes          int64
	probability         float64 // 1 if it is not said

	answers     bool // in place of the operation
	answer      answerSpec
	end         error // the answer is none: the connection ends
	afterCommit bool
	waits       bool
	effects     []effect
	marks       []*mark

	matched, fired int          // guarded by the lock of the injection
	bytes          atomic.Int64 // for firstBytes
}

// An effect is what happens to a request that a rule hits.
type effect func(p *plan, h hit)

// A mark is for a word that may turn out to have no effect: so that the test
// is told if it never had any.
type mark struct {
	word string
	met  atomic.Bool
}

func (m *mark) meet() { m.met.Store(true) }

func (s *ruleStage) do(e effect) { s.effects = append(s.effects, e) }

func (s *ruleStage) mark(word string) *mark {
	m := &mark{word: word}
	s.marks = append(s.marks, m)
	return m
}

// limited reports whether the stage comes to an end.
func (s *ruleStage) limited() bool { return s.times > 0 || s.firstBytes > 0 }

// chance reports whether it is by chance how often the stage hits.
func (s *ruleStage) chance() bool { return s.probability < 1 }

// does reports whether the stage does anything.
func (s *ruleStage) does() bool { return len(s.effects) > 0 || s.answers }

// due reports whether a request that matches is to be hit.
func (s *ruleStage) due(h hit) bool {
	n := s.matched - s.after
	return n > 0 && (s.every == 0 || n%s.every == 0) && (!s.chance() || h.random.Float64() < s.probability)
}

// spent reports whether as many bytes have been transferred as should.
func (s *ruleStage) spent() bool { return s.firstBytes > 0 && s.bytes.Load() >= s.firstBytes }

// String returns what the stage says.
func (s *ruleStage) String() string { return Rule{s.words}.String() }

// A wordMeaning is what a word says.
type wordMeaning struct {
	hasArg bool
	many   bool // whether it may be said more than once before Then
	apply  func(s *ruleSpec, w ruleWord) error
}

// compile understands the rule. Held says that it is for a [Hold].
func (r Rule) compile(held bool) (*ruleSpec, error) {
	s := &ruleSpec{empty: len(r.words) == 0}
	s.begin()
	for i, w := range r.words {
		if err := s.add(i, w); err != nil {
			return nil, fmt.Errorf("fault rule %q: %w", r, err)
		}
	}
	if err := s.check(held); err != nil {
		return nil, fmt.Errorf("fault rule %q: %w", r, err)
	}
	return s, nil
}

// begin begins a stage.
func (s *ruleSpec) begin() {
	s.stages = append(s.stages, &ruleStage{said: map[string]bool{}, probability: 1})
}

// now is the stage that the words are for.
func (s *ruleSpec) now() *ruleStage { return s.stages[len(s.stages)-1] }

func (s *ruleSpec) add(i int, w ruleWord) error {
	if i == 0 {
		return s.on(w)
	}
	meaning, ok := ruleWords[w.name]
	switch {
	case !ok:
		return fmt.Errorf("no fault is called %q", w.name)
	case w.hasArg && !meaning.hasArg:
		return fmt.Errorf("%s has no argument", w.name)
	case !w.hasArg && meaning.hasArg:
		return fmt.Errorf("%s needs an argument", w.name)
	case s.now().said[w.name] && !meaning.many:
		return fmt.Errorf("%s is said twice", w.name)
	}
	s.now().said[w.name] = true
	if w.name != "then" {
		s.now().words = append(s.now().words, w)
	}
	if err := meaning.apply(s, w); err != nil {
		return fmt.Errorf("%s: %w", w, err)
	}
	return nil
}

// on reads the operations.
func (s *ruleSpec) on(w ruleWord) error {
	if w.hasArg {
		return fmt.Errorf("it begins with %s, not with an operation", w)
	}
	s.stages[0].words = []ruleWord{w}
	if w.name == anyOp {
		return nil
	}
	for name := range strings.SplitSeq(w.name, ",") {
		op, err := registry.ParseOp(name)
		if err != nil {
			return err
		}
		s.ops = append(s.ops, op)
	}
	s.when(w, func(r *registry.Request) bool { return slices.Contains(s.ops, r.Op) })
	return nil
}

// check looks for what makes no sense.
func (s *ruleSpec) check(held bool) error {
	if s.empty {
		return errors.New("it does not say with which requests")
	}
	for i, st := range s.stages {
		last := i == len(s.stages)-1
		switch {
		case !last && !st.limited():
			return errors.New("what comes before then has no end: it needs once, times or first-bytes")
		case last && i > 0 && !st.does() && !held:
			return errors.New("nothing happens after the last then")
		case st.answers && st.end != nil && st.answer != (answerSpec{}):
			return errors.New("a request cannot be answered and have its connection ended in place of an answer")
		case st.afterCommit && !st.answers && !st.waits && !held:
			return errors.New("after-commit says nothing of the answer: it needs an answer, an end or a wait")
		}
	}
	return nil
}

// missed returns the conditions that the request does not meet.
func (s *ruleSpec) missed(r *registry.Request) (words []string) {
	for _, c := range s.conditions {
		if !c.met(r) {
			words = append(words, c.word)
		}
	}
	return words
}

// ruleWords is the vocabulary: the methods of Rule are its documentation.
var ruleWords = map[string]wordMeaning{
	"repo":       requestIs(func(r *registry.Request) string { return r.Repo }),
	"tag":        requestIs(func(r *registry.Request) string { return r.Tag }),
	"digest":     requestIs(func(r *registry.Request) string { return string(r.Digest) }),
	"method":     requestIs(func(r *registry.Request) string { return r.Method }),
	"user":       requestIs(userOf),
	"has-header": {true, true, hasHeader},
	"conn": integer(1, func(s *ruleSpec, n int64, w ruleWord) {
		s.when(w, func(r *registry.Request) bool { return connOf(r) == n })
	}),
	"where": {false, true, where},

	"once":        flag(func(s *ruleSpec, st *ruleStage) { st.times = 1 }),
	"times":       integer(1, func(s *ruleSpec, n int64, _ ruleWord) { s.now().times = int(n) }),
	"after":       integer(0, func(s *ruleSpec, n int64, _ ruleWord) { s.now().after = int(n) }),
	"every":       integer(1, func(s *ruleSpec, n int64, _ ruleWord) { s.now().every = int(n) }),
	"first-bytes": integer(1, func(s *ruleSpec, n int64, _ ruleWord) { s.now().firstBytes = n }),
	"probability": {true, false, probability},
	"seed":        {true, false, seed},
	"then":        {false, true, then},

	"status":   {true, false, status},
	"code":     answering(func(a *answerSpec, arg string) { a.code = registry.Code(arg) }),
	"message":  answering(func(a *answerSpec, arg string) { a.message = arg }),
	"body":     {true, false, errorBody},
	"redirect": {true, false, redirect},
	"after-commit": flag(func(s *ruleSpec, st *ruleStage) {
		st.afterCommit = true
	}),

	"retry-after": integer(0, func(s *ruleSpec, n int64, _ ruleWord) {
		s.header(func(h http.Header) { h.Set("Retry-After", number(n)) })
	}),
	"retry-at": integer(0, func(s *ruleSpec, n int64, _ ruleWord) {
		s.header(func(h http.Header) {
			at := time.Now().Add(time.Duration(n) * time.Second)
			h.Set("Retry-After", at.UTC().Format(http.TimeFormat))
		})
	}),
	"set-header":     {true, true, setHeader},
	"drop-header":    {true, true, dropHeader},
	"location":       {true, false, location},
	"content-length": {true, false, contentLength},

	"ignore-header": {true, true, ignoreHeader},
	"ignore-query":  {true, true, ignoreQuery},

	"content": text(func(s *ruleSpec, arg string) { s.now().do(replaceBody(arg)) }),
	"append":  text(func(s *ruleSpec, arg string) { s.now().do(appendBody(arg)) }),
	"corrupt": atByte(func(m *mark) filterMaker { return corruptAt(m) }),
	"encode":  {true, true, encode},

	"delay":    duration(func(h hit, d time.Duration) time.Duration { return d }),
	"jitter":   duration(func(h hit, d time.Duration) time.Duration { return h.upTo(d) }),
	"stall":    {true, true, stall},
	"throttle": integer(1, func(s *ruleSpec, n int64, _ ruleWord) { s.filter(0, throttleTo(n)) }),
	"slice":    integer(1, func(s *ruleSpec, n int64, _ ruleWord) { s.filter(0, sliceInto(n)) }),

	"close":           ending(registry.CloseConnection),
	"close-at":        atByte(func(m *mark) filterMaker { return endAt(m, registry.CloseConnection) }),
	"close-in-header": endingInHeader(registry.CloseConnection),
	"reset":           ending(registry.ResetConnection),
	"reset-at":        atByte(func(m *mark) filterMaker { return endAt(m, registry.ResetConnection) }),
	"reset-in-header": endingInHeader(registry.ResetConnection),
	"half-close":      ending(registry.HalfCloseConnection),
	"half-close-at":   atByte(func(m *mark) filterMaker { return endAt(m, registry.HalfCloseConnection) }),
	"go-away": flag(func(s *ruleSpec, _ *ruleStage) {
		s.header(func(h http.Header) { h.Set("Connection", "close") })
	}),

	"accept": integer(0, func(s *ruleSpec, n int64, w ruleWord) {
		s.now().do(acceptBytes(n, s.now().mark(w.String())))
	}),
	"acknowledge": integer(0, func(s *ruleSpec, n int64, w ruleWord) {
		s.now().do(acknowledgeBytes(n, s.now().mark(w.String())))
	}),
	"lose-upload": flag(func(s *ruleSpec, st *ruleStage) {
		st.do(func(p *plan, _ hit) { p.loseUpload = true })
	}),
}

// when adds a condition.
func (s *ruleSpec) when(w ruleWord, met func(*registry.Request) bool) {
	s.conditions = append(s.conditions, condition{w.String(), met})
}

// header has the header of the answer changed.
func (s *ruleSpec) header(change func(http.Header)) {
	s.now().do(func(p *plan, _ hit) { p.changeHeader(change) })
}

// requestIs is a condition on something that the request has.
func requestIs(value func(*registry.Request) string) wordMeaning {
	return wordMeaning{true, true, func(s *ruleSpec, w ruleWord) error {
		s.when(w, func(r *registry.Request) bool { return glob.Match(w.arg, value(r)) })
		return nil
	}}
}

// flag is a word without an argument.
func flag(apply func(s *ruleSpec, st *ruleStage)) wordMeaning {
	return wordMeaning{false, false, func(s *ruleSpec, _ ruleWord) error {
		apply(s, s.now())
		return nil
	}}
}

// text is a word with any text.
func text(apply func(s *ruleSpec, arg string)) wordMeaning {
	return wordMeaning{true, false, func(s *ruleSpec, w ruleWord) error {
		apply(s, w.arg)
		return nil
	}}
}

// integer is a word with a number of at least the given one.
func integer(least int64, apply func(s *ruleSpec, n int64, w ruleWord)) wordMeaning {
	return wordMeaning{true, false, func(s *ruleSpec, w ruleWord) error {
		n, err := parseNumber(w.arg, least)
		if err == nil {
			apply(s, n, w)
		}
		return err
	}}
}

func parseNumber(arg string, least int64) (int64, error) {
	n, err := strconv.ParseInt(arg, 10, 64)
	switch {
	case err != nil:
		return 0, errors.New("not a number")
	case n < least:
		return 0, fmt.Errorf("less than %d", least)
	case n > math.MaxInt32 && least >= 0 && strconv.IntSize == 32:
		return 0, errors.New("too large")
	}
	return n, nil
}

// atByte is a word for something that happens at a byte of the content.
func atByte(filter func(m *mark) filterMaker) wordMeaning {
	return wordMeaning{true, true, func(s *ruleSpec, w ruleWord) error {
		n, err := parseNumber(w.arg, math.MinInt64)
		if err == nil {
			s.filter(n, filter(s.now().mark(w.String())))
		}
		return err
	}}
}

// duration is a word for a wait before the answer.
func duration(length func(h hit, d time.Duration) time.Duration) wordMeaning {
	return wordMeaning{true, false, func(s *ruleSpec, w ruleWord) error {
		d, err := parseDuration(w.arg)
		if err != nil {
			return err
		}
		st := s.now()
		st.waits = true
		st.do(func(p *plan, h hit) { p.wait(st.afterCommit, wait{d: length(h, d)}) })
		return nil
	}}
}

func parseDuration(arg string) (time.Duration, error) {
	d, err := time.ParseDuration(arg)
	switch {
	case err != nil:
		return 0, errors.New("not a duration, such as 1.5s")
	case d <= 0:
		return 0, errors.New("not longer than nothing")
	}
	return d, nil
}

// ending is a word for an end of the connection in place of an answer.
func ending(err error) wordMeaning {
	return wordMeaning{false, false, func(s *ruleSpec, _ ruleWord) error {
		st := s.now()
		if st.end != nil {
			return errors.New("a connection ends but once")
		}
		st.answers, st.end = true, err
		return nil
	}}
}

func endingInHeader(end error) wordMeaning {
	return integer(0, func(s *ruleSpec, n int64, w ruleWord) {
		st := s.now()
		m := st.mark(w.String())
		st.do(func(p *plan, _ hit) { p.endInHeader(n, end, m) })
	})
}

// answering is a word of the answer.
func answering(set func(a *answerSpec, arg string)) wordMeaning {
	return text(func(s *ruleSpec, arg string) {
		s.now().answers = true
		set(&s.now().answer, arg)
	})
}

// userOf returns who the request says that it is from, whether that is to be
// believed or not: what goes wrong does so before anybody has looked.
func userOf(r *registry.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		name, _, _ := r.BasicAuth()
		return name
	case strings.EqualFold(scheme, "Bearer"):
		_, rest, _ := strings.Cut(token, ".")
		payload, _, _ := strings.Cut(rest, ".")
		text, _ := base64.RawURLEncoding.DecodeString(payload)
		var claims struct {
			Subject string `json:"sub"`
		}
		json.Unmarshal(text, &claims)
		return claims.Subject
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return ""
}

func connOf(r *registry.Request) int64 {
	return int64(conn.Number(r.Context()))
}

func hasHeader(s *ruleSpec, w ruleWord) error {
	name, pattern, ok := strings.Cut(w.arg, ":")
	if !ok {
		pattern = "**"
	}
	if err := checkHeader(name, ""); err != nil {
		return err
	}
	s.when(w, func(r *registry.Request) bool {
		return slices.ContainsFunc(r.Header.Values(name), func(v string) bool { return glob.Match(pattern, v) })
	})
	return nil
}

func where(s *ruleSpec, w ruleWord) error {
	if w.where == nil {
		return errors.New("it is a function, which cannot be written")
	}
	s.when(w, w.where)
	return nil
}

func probability(s *ruleSpec, w ruleWord) error {
	p, err := strconv.ParseFloat(w.arg, 64)
	if err != nil || !(0 < p && p <= 1) {
		return errors.New("not above 0 and up to 1")
	}
	s.now().probability = p
	return nil
}

func seed(s *ruleSpec, w ruleWord) error {
	n, err := strconv.ParseUint(w.arg, 10, 64)
	if err != nil {
		return errors.New("not a number from 0")
	}
	s.seed = n
	return nil
}

func then(s *ruleSpec, _ ruleWord) error {
	s.begin()
	return nil
}

func status(s *ruleSpec, w ruleWord) error {
	n, err := parseNumber(w.arg, 200)
	if err == nil && n > 599 {
		err = errors.New("more than 599")
	}
	if err == nil {
		s.now().answers, s.now().answer.status = true, int(n)
	}
	return err
}

func errorBody(s *ruleSpec, w ruleWord) error {
	shape := ErrorBody(w.arg)
	if !slices.Contains(errorBodies(), shape) {
		return fmt.Errorf("not one of %q", errorBodies())
	}
	s.now().answers, s.now().answer.shape = true, shape
	return nil
}

func redirect(s *ruleSpec, w ruleWord) error {
	base, err := url.Parse(w.arg)
	if err != nil {
		return errors.New("not a URL")
	}
	st := s.now()
	st.answers, st.answer.redirect = true, true
	st.do(func(p *plan, _ hit) {
		to := w.arg
		if base.Path == "" {
			to += p.request.URL.RequestURI()
		}
		p.changeHeader(func(h http.Header) { h.Set("Location", to) })
	})
	return nil
}

func location(s *ruleSpec, w ruleWord) error {
	base, err := url.Parse(w.arg)
	if err != nil {
		return errors.New("not a URL")
	}
	m := s.now().mark(w.String())
	s.header(func(h http.Header) {
		was := h.Get("Location")
		if was == "" {
			return
		}
		m.meet()
		if base.Path == "" {
			was = w.arg + was
		} else {
			was = w.arg
		}
		h.Set("Location", was)
	})
	return nil
}

// checkHeader returns an error if net/http would not send the header.
func checkHeader(name, value string) error {
	switch {
	case name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }):
		return fmt.Errorf("%q is not the name of a header", name)
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
		return fmt.Errorf("%q is not the value of a header", value)
	}
	return nil
}

func setHeader(s *ruleSpec, w ruleWord) error {
	name, value, ok := strings.Cut(w.arg, ":")
	if !ok {
		return errors.New("there is no colon between a name and a value")
	}
	value = textproto.TrimString(value)
	if err := checkHeader(name, value); err != nil {
		return err
	}
	s.header(func(h http.Header) { h.Set(name, value) })
	return nil
}

func dropHeader(s *ruleSpec, w ruleWord) error {
	if err := checkHeader(w.arg, ""); err != nil {
		return err
	}
	m := s.now().mark(w.String())
	name := http.CanonicalHeaderKey(w.arg)
	s.header(func(h http.Header) {
		if len(h[name]) > 0 || slices.Contains([]string{"Date", "Content-Type", "Content-Length"}, name) {
			m.meet()
		}
		// What is there without a value, net/http does not add itself.
		h[name] = nil
	})
	return nil
}

func contentLength(s *ruleSpec, w ruleWord) error {
	delta, err := parseNumber(w.arg, math.MinInt64)
	if err == nil && delta == 0 {
		err = errors.New("not a lie")
	}
	if err != nil {
		return err
	}
	m := s.now().mark(w.String())
	s.now().do(func(p *plan, _ hit) { p.lieOfLength(delta, m) })
	return nil
}

func ignoreHeader(s *ruleSpec, w ruleWord) error {
	if err := checkHeader(w.arg, ""); err != nil {
		return err
	}
	m := s.now().mark(w.String())
	s.now().do(func(p *plan, _ hit) {
		p.changeRequest(func(r *registry.Request) {
			if r.Header.Get(w.arg) != "" {
				m.meet()
			}
			r.Header.Del(w.arg)
		})
	})
	return nil
}

func ignoreQuery(s *ruleSpec, w ruleWord) error {
	m := s.now().mark(w.String())
	s.now().do(func(p *plan, _ hit) {
		p.changeRequest(func(r *registry.Request) {
			query := r.URL.Query()
			if query.Has(w.arg) {
				m.meet()
			}
			query.Del(w.arg)
			r.URL.RawQuery = query.Encode()
		})
	})
	return nil
}

func encode(s *ruleSpec, w ruleWord) error {
	encoder, ok := encoders[w.arg]
	if !ok {
		return errors.New("none of gzip, deflate and zstd")
	}
	s.now().do(encodeBody(w.arg, encoder))
	return nil
}

func stall(s *ruleSpec, w ruleWord) error {
	at, d := w.arg, forever
	if i := strings.IndexByte(at, ':'); i >= 0 {
		var err error
		if d, err = parseDuration(at[i+1:]); err != nil {
			return err
		}
		at = at[:i]
	}
	n, err := parseNumber(at, math.MinInt64)
	if err == nil {
		s.filter(n, stallAt(s.now().mark(w.String()), d))
	}
	return err
}

// filter has the content, from byte n, go through a filter.
func (s *ruleSpec) filter(n int64, maker filterMaker) {
	st := s.now()
	st.do(func(p *plan, _ hit) { p.filter(n, maker, st.answers) })
}
