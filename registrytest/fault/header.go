package fault

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The methods in this file change the header of the response, which may be that of
// the operation or that of the rule.

// A RetryForm is a form of the value of Retry-After, see [Rule.RetryAfter].
type RetryForm string

// AsDate makes Retry-After a date instead of a number of seconds.
const AsDate RetryForm = "date"

// RetryAfter sets Retry-After to the duration in whole seconds, rounded up. With
// [AsDate], the value is a date: the current time plus the duration. In the text of the
// rule, the argument is in seconds: retry-after=3, retry-after=date:60.
func (r Rule) RetryAfter(d time.Duration, form ...RetryForm) Rule {
	seconds := int64(math.Ceil(d.Seconds()))
	arg := strconv.FormatInt(seconds, 10)
	if len(form) > 0 {
		arg = string(form[0]) + ":" + arg
	}
	if d < time.Millisecond && d != 0 {
		arg = d.String() // The duration is refused below.
	}
	r, p := r.addArg("retry-after", arg)
	switch {
	case len(form) > 1:
		return r.refuse(errors.New("it has only one form"))
	case len(form) == 1 && form[0] != AsDate:
		return r.refuse(fmt.Errorf("no form is called %q%s", form[0], didYouMean(string(form[0]), []string{string(AsDate)})))
	case d < 0:
		return r.refuse(errors.New("less than 0"))
	case 0 < d && d < time.Millisecond:
		return r.refuse(fmt.Errorf("%v is less than a millisecond: for %d seconds, write %d*time.Second", d, d, d))
	}
	p.changeHeader(func(h http.Header) {
		value := strconv.FormatInt(seconds, 10)
		if len(form) > 0 {
			value = time.Now().Add(time.Duration(seconds) * time.Second).UTC().Format(http.TimeFormat)
		}
		h.Set("Retry-After", value)
	})
	return r
}

// SetHeader sets a header to one value, in place of those that it has. Braces with a
// star in the value, such as {bytes *}, stand for the old value without the text
// around the star. If the old value lacks that text, or there is no old value, the
// header stays as it is:
//
//	SetHeader("Range", "bytes={*}")            // adds bytes= in front
//	SetHeader("Content-Range", "{bytes *}")    // takes "bytes " away
//
// SetHeader("Connection", "close") makes the response the last on its connection.
// Under HTTP/2, the server then sends a GOAWAY.
func (r Rule) SetHeader(name, value string) Rule {
	value = textproto.TrimString(value)
	r, p := r.addAgain("set-header", name+":"+value)
	key := "set-header " + http.CanonicalHeaderKey(name)
	if slices.Contains(p.names, key) {
		return r.refuse(fmt.Errorf("%s is set already; add-header gives it a second value", http.CanonicalHeaderKey(name)))
	}
	p.names = append(p.names, key)
	switch {
	case value == "{*}":
		return r.refuse(errors.New("{*} alone leaves the header as it is: put other characters beside it"))
	case isComputed(value):
		p.computeHeader(name, func(h http.Header, values []string) bool {
			next, changed := make([]string, len(values)), false
			for i, was := range values {
				next[i], _ = compute(value, was)
				changed = changed || next[i] != was
			}
			h[http.CanonicalHeaderKey(name)] = next
			return changed
		})
	default:
		p.changeHeader(func(h http.Header) { h.Set(name, value) })
	}
	return r.refuse(checkHeader(name, value))
}

// AddHeader adds a value to a header. Like [Rule.SetHeader], it can compute the new
// value from the header's first value. If that value lacks the text around the star,
// AddHeader adds nothing.
func (r Rule) AddHeader(name, value string) Rule {
	value = textproto.TrimString(value)
	r, p := r.addAgain("add-header", name+":"+value)
	if isComputed(value) {
		p.computeHeader(name, func(h http.Header, values []string) bool {
			next, fits := compute(value, values[0])
			if fits {
				h.Add(name, next)
			}
			return fits
		})
	} else {
		p.changeHeader(func(h http.Header) { h.Add(name, value) })
	}
	return r.refuse(checkHeader(name, value))
}

// DropHeader removes headers, including those that net/http would add.
func (r Rule) DropHeader(names ...string) Rule {
	r, p := r.addAgain("drop-header", joinList(names))
	if len(names) == 0 {
		return r.refuse(errors.New("it needs the name of a header"))
	}
	for _, name := range names {
		if err := checkHeader(name, ""); err != nil {
			return r.refuse(err)
		}
		name = http.CanonicalHeaderKey(name)
		p.try(func(p *plan, h *hit) {
			p.changeHeader(func(header http.Header) {
				if len(header[name]) > 0 || slices.Contains([]string{"Date", "Content-Type", "Content-Length"}, name) {
					h.met()
				}
				// An entry without values keeps net/http from adding the header.
				header[name] = nil
			})
		})
	}
	return r
}

// ContentLength makes Content-Length lie: it adds delta, which may be negative, to
// the true length.
func (r Rule) ContentLength(delta int64) Rule {
	r, p := r.addArg("content-length", fmt.Sprintf("%+d", delta))
	if delta == 0 {
		return r.refuse(errors.New("this is the right length: want a difference, such as +5 or -5"))
	}
	p.try(func(p *plan, h *hit) { p.lieOfLength(delta, h) })
	return r
}

// computeHeader adds an effect that calls the function change with the values of a
// header, if the header has any. The function reports whether it changed a header.
func (p *part) computeHeader(name string, change func(h http.Header, values []string) bool) {
	p.try(func(p *plan, h *hit) {
		p.changeHeader(func(header http.Header) {
			if values := header.Values(name); len(values) > 0 && change(header, values) {
				h.met()
			}
		})
	})
}

// isComputed reports whether the value of a header has a part in braces with a
// star.
func isComputed(value string) bool {
	_, _, _, _, ok := cutBraces(value)
	return ok
}

// cutBraces returns the text before and after the first part in braces that has
// one star, and the text on both sides of the star.
func cutBraces(value string) (before, prefix, suffix, after string, ok bool) {
	for from := 0; ; {
		open := strings.IndexByte(value[from:], '{')
		if open < 0 {
			return "", "", "", "", false
		}
		from += open + 1
		inner, after, closed := strings.Cut(value[from:], "}")
		prefix, suffix, star := strings.Cut(inner, "*")
		if closed && star && !strings.ContainsAny(inner, "{") && !strings.Contains(suffix, "*") {
			return value[:from-1], prefix, suffix, after, true
		}
	}
}

// compute applies a template of [Rule.SetHeader] to the old value of a header. If the
// old value lacks a text around a star, the template does not fit, and compute returns
// the value unchanged.
func compute(template, was string) (value string, fits bool) {
	var b strings.Builder
	for {
		before, prefix, suffix, after, ok := cutBraces(template)
		if !ok {
			return b.String() + template, true
		}
		part, hasPrefix := strings.CutPrefix(was, prefix)
		part, hasSuffix := strings.CutSuffix(part, suffix)
		if !hasPrefix || !hasSuffix {
			return was, false
		}
		b.WriteString(before + part)
		template = after
	}
}

// changeHeader adds an effect that changes the header of the response.
func (p *part) changeHeader(change func(http.Header)) {
	p.do(func(p *plan, _ *hit) { p.changeHeader(change) })
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

// headerWords has the words for the methods in this file.
var headerWords = vocabulary{
	{"retry-after", anything(parseRetryAfter)},
	{"set-header", nameAndValue(Rule.SetHeader)},
	{"add-header", nameAndValue(Rule.AddHeader)},
	{"drop-header", list(Rule.DropHeader)},
	{"content-length", byteNumber(Rule.ContentLength)},
}

func parseRetryAfter(r Rule, a argument) (Rule, error) {
	var forms []RetryForm
	if form, seconds, ok := strings.Cut(a.text, ":"); ok {
		forms, a.text = []RetryForm{RetryForm(form)}, seconds
	}
	n, err := parseInteger(a)
	switch {
	case err == errNoArgument:
		return r, err
	case err != nil:
		return r, errors.New("not a number of seconds, such as 3")
	case n < 0:
		return r, errors.New("less than 0")
	case n > math.MaxInt64/int64(time.Second):
		return r, errors.New("too large")
	}
	return r.RetryAfter(time.Duration(n)*time.Second, forms...), nil
}

// A nameAndValue is a word whose argument is the name and the value of a header, as
// in "X:y".
type nameAndValue func(r Rule, name, value string) Rule

func (method nameAndValue) add(r Rule, a argument) (Rule, error) {
	name, value, ok := strings.Cut(a.text, ":")
	switch {
	case !a.given:
		return r, errNoArgument
	case !ok:
		return r, errors.New("want a name, a colon and a value, such as X-Test:1")
	}
	return method(r, name, value), nil
}
