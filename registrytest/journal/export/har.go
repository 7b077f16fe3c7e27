// Package export writes the requests of a journal in formats that other programs
// read: an HTTP Archive ([HAR]), or a JSON object in each line ([NDJSON]).
package export

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// The types below are the objects of the HTTP Archive format, version 1.2
// (http://www.softwareishard.com/blog/har-12-spec/). They have the fields that
// the format requires and, with omitempty, some that it allows. A custom field
// has a name that begins with an underscore, as the format demands.
type (
	harLog struct {
		Version string     `json:"version"`
		Creator harCreator `json:"creator"`
		Entries []harEntry `json:"entries"`
	}
	harCreator struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	harEntry struct {
		Started    string      `json:"startedDateTime"` // ISO 8601
		Time       float64     `json:"time"`            // milliseconds, as in harTimings
		Request    harRequest  `json:"request"`
		Response   harResponse `json:"response"`
		Cache      struct{}    `json:"cache"`
		Timings    harTimings  `json:"timings"`
		Connection string      `json:"connection,omitempty"`
		Comment    string      `json:"comment,omitempty"`
		Op         string      `json:"_op"`
		Fault      string      `json:"_fault,omitempty"`
		Error      string      `json:"_error,omitempty"`
	}
	harRequest struct {
		Method      string       `json:"method"`
		URL         string       `json:"url"`
		HTTPVersion string       `json:"httpVersion"`
		Cookies     []harPair    `json:"cookies"`
		Headers     []harPair    `json:"headers"`
		QueryString []harPair    `json:"queryString"`
		PostData    *harPostData `json:"postData,omitempty"`
		HeadersSize int64        `json:"headersSize"`
		BodySize    int64        `json:"bodySize"`
	}
	harResponse struct {
		Status      int        `json:"status"`
		StatusText  string     `json:"statusText"`
		HTTPVersion string     `json:"httpVersion"`
		Cookies     []harPair  `json:"cookies"`
		Headers     []harPair  `json:"headers"`
		Content     harContent `json:"content"`
		RedirectURL string     `json:"redirectURL"`
		HeadersSize int64      `json:"headersSize"`
		BodySize    int64      `json:"bodySize"`
	}
	harPair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	harPostData struct {
		MimeType string    `json:"mimeType"`
		Params   []harPair `json:"params"`
		Text     string    `json:"text"`
		Encoding string    `json:"_encoding,omitempty"` // "base64", or "" for text in UTF-8
		Comment  string    `json:"comment,omitempty"`
	}
	harContent struct {
		Size     int64  `json:"size"`
		MimeType string `json:"mimeType"`
		Text     string `json:"text,omitempty"`
		Encoding string `json:"encoding,omitempty"`
		Comment  string `json:"comment,omitempty"`
	}
	harTimings struct {
		Send    float64 `json:"send"`
		Wait    float64 `json:"wait"`
		Receive float64 `json:"receive"`
	}
)

// unknownSize stands for a size that is not known in an HTTP Archive.
const unknownSize = -1

// HAR writes the requests as an HTTP Archive, version 1.2, which browsers and many
// other tools open. The archive has no credentials. It has the part of each body
// that the journal kept, with a comment if the journal did not keep all of it: a
// server keeps bodies with registrytest.WithBodies, a journal with
// [journal.Journal.KeepBodies]. It leaves out the bodies of token requests and of
// their responses, since these are credentials.
func HAR(w io.Writer, requests journal.Requests) error {
	log := harLog{Version: "1.2", Creator: harCreator{modulePath, moduleVersion()}, Entries: []harEntry{}}
	for _, record := range requests.Records() {
		log.Entries = append(log.Entries, harEntryOf(record))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(map[string]harLog{"log": log})
	if err != nil {
		return fmt.Errorf("writing requests as HAR: %w", err)
	}
	return nil
}

func harEntryOf(r *journal.Record) harEntry {
	took := float64(r.Duration) / float64(time.Millisecond)
	e := harEntry{
		Started: r.Start.Format(time.RFC3339Nano),
		Time:    took,
		Request: harRequest{
			Method:      r.Method,
			HTTPVersion: r.Proto,
			Cookies:     []harPair{},
			Headers:     harHeaders(r.RequestHeader),
			QueryString: []harPair{},
			HeadersSize: unknownSize,
			BodySize:    r.BytesIn,
		},
		Response: harResponse{
			Status:      r.Status,
			StatusText:  http.StatusText(r.Status),
			HTTPVersion: r.Proto,
			Cookies:     []harPair{},
			Headers:     harHeaders(r.ResponseHeader),
			Content:     harContent{Size: r.BytesOut, MimeType: r.ResponseHeader.Get("Content-Type")},
			RedirectURL: r.ResponseHeader.Get("Location"),
			HeadersSize: unknownSize,
			BodySize:    r.BytesOut,
		},
		// A server cannot distinguish the times of sending, waiting and receiving.
		Timings: harTimings{Wait: took},
		Op:      r.Op.String(),
		Fault:   faultName(r),
	}
	if r.URL != nil {
		e.Request.URL = r.URL.String()
		e.Request.QueryString = harQuery(r.URL.RawQuery)
	}
	secret := r.Op == registry.GetToken
	if r.RequestBody != nil && !secret {
		text, encoding := harText(r.RequestBody)
		e.Request.PostData = &harPostData{
			MimeType: r.RequestHeader.Get("Content-Type"),
			Params:   []harPair{},
			Text:     text,
			Encoding: encoding,
			Comment:  cutComment(r.RequestBody, r.BytesIn),
		}
	}
	if r.ResponseBody != nil && !secret {
		c := &e.Response.Content
		c.Text, c.Encoding = harText(r.ResponseBody)
		c.Comment = cutComment(r.ResponseBody, r.BytesOut)
	}
	if r.Conn != 0 {
		e.Connection = strconv.Itoa(r.Conn)
	}
	if r.Ongoing {
		e.Comment = "no response yet"
	}
	switch {
	case r.Err != nil:
		e.Error = r.Err.Error()
	case r.Gone:
		e.Error = "client gone"
	}
	return e
}

func harHeaders(h http.Header) []harPair {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	sort.Strings(names)
	pairs := []harPair{}
	for _, name := range names {
		for _, v := range h[name] {
			pairs = append(pairs, harPair{name, v})
		}
	}
	return pairs
}

// harQuery returns the parameters of a query, in the order of the query.
func harQuery(query string) []harPair {
	pairs := []harPair{}
	for p := range strings.SplitSeq(query, "&") {
		if p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		pairs = append(pairs, harPair{unescape(name), unescape(value)})
	}
	return pairs
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// harText returns a body as text. If the body is not UTF-8, the text is in base64.
func harText(body []byte) (text, encoding string) {
	if utf8.Valid(body) {
		return string(body), ""
	}
	return base64.StdEncoding.EncodeToString(body), "base64"
}

func cutComment(body []byte, size int64) string {
	if int64(len(body)) >= size {
		return ""
	}
	return fmt.Sprintf("the first %d bytes of %d", len(body), size)
}

const modulePath = "github.com/ocireg/registry"

// moduleVersion returns the version of this module that the running program has.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == modulePath && m.Version != "" {
			return m.Version
		}
	}
	return "unknown"
}
