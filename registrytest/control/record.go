package control

import (
	"encoding/base64"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// recordInfo is a record in JSON.
type recordInfo struct {
	Number         int           `json:"number"`
	Line           string        `json:"line"`
	Op             string        `json:"op"`
	Repo           string        `json:"repo,omitempty"`
	Tag            string        `json:"tag,omitempty"`
	Digest         digest.Digest `json:"digest,omitempty"`
	From           string        `json:"from,omitempty"`
	Upload         string        `json:"upload,omitempty"`
	Method         string        `json:"method"`
	URL            string        `json:"url"`
	Proto          string        `json:"proto"`
	Conn           int           `json:"conn,omitempty"`
	User           string        `json:"user,omitempty"`
	Scope          string        `json:"scope,omitempty"`
	Range          string        `json:"range,omitempty"`
	ContentLength  int64         `json:"contentLength"`
	RequestHeader  http.Header   `json:"requestHeader"`
	ResponseHeader http.Header   `json:"responseHeader"`
	RequestBody    *bodyInfo     `json:"requestBody,omitempty"`
	ResponseBody   *bodyInfo     `json:"responseBody,omitempty"`
	BytesIn        int64         `json:"bytesIn"`
	BytesOut       int64         `json:"bytesOut"`
	Status         int           `json:"status"`
	Errors         []errorInfo   `json:"errors,omitempty"`
	Err            string        `json:"err,omitempty"`
	Fault          string        `json:"fault,omitempty"`
	Notes          []string      `json:"notes,omitempty"`
	Failed         bool          `json:"failed"`
	Gone           bool          `json:"gone"`
	Ongoing        bool          `json:"ongoing"`
	Start          string        `json:"start"`
	DurationMS     float64       `json:"durationMs"`
	MediaType      string        `json:"mediaType,omitempty"`
	Subject        digest.Digest `json:"subject,omitempty"`
}

type errorInfo struct {
	Code    registry.Code `json:"code"`
	Message string        `json:"message"`
}

// bodyInfo is the beginning of a body in JSON, in base64 if it is not UTF-8.
type bodyInfo struct {
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
	Cut    bool   `json:"cut,omitempty"` // there is more of it
}

func bodyOf(b []byte, size int64) *bodyInfo {
	switch {
	case len(b) == 0:
		return nil
	case utf8.Valid(b):
		return &bodyInfo{Text: string(b), Cut: int64(len(b)) < size}
	}
	return &bodyInfo{Base64: base64.StdEncoding.EncodeToString(b), Cut: int64(len(b)) < size}
}

// info returns the record in JSON. The bodies of the token service have passwords
// and tokens, so they are left out.
func info(r *journal.Record, bodies bool) recordInfo {
	i := recordInfo{
		Number: r.Number, Line: r.String(), Op: r.Op.String(), Repo: r.Repo, Tag: r.Tag, Digest: r.Digest, From: r.From, Upload: r.Session,
		Method: r.Method, URL: r.URL.String(), Proto: r.Proto, Conn: r.Conn, User: r.User, Scope: r.Scope, Range: r.Range,
		ContentLength: r.ContentLength, RequestHeader: r.RequestHeader, ResponseHeader: r.ResponseHeader,
		BytesIn: r.BytesIn, BytesOut: r.BytesOut, Status: r.Status, Notes: r.Notes, Failed: r.Failed(), Gone: r.Gone, Ongoing: r.Ongoing,
		Start: r.Start.UTC().Format(time.RFC3339Nano), DurationMS: float64(r.Duration) / float64(time.Millisecond),
		MediaType: r.MediaType, Subject: r.Subject,
	}
	for _, e := range r.Errors {
		i.Errors = append(i.Errors, errorInfo{e.Code, e.Message})
	}
	if r.Err != nil {
		i.Err = r.Err.Error()
	}
	if r.Faulted() {
		if i.Fault = r.Fault.Name; i.Fault == "" {
			i.Fault = "fault"
		}
	}
	if bodies && r.Op != registry.GetToken {
		i.RequestBody, i.ResponseBody = bodyOf(r.RequestBody, r.BytesIn), bodyOf(r.ResponseBody, r.BytesOut)
	}
	return i
}
