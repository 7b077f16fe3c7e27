package export

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/ocireg/registry"
	"github.com/ocireg/registry/registrytest/journal"
)

// jsonRecord is the JSON object that NDJSON writes for a record.
type jsonRecord struct {
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
	RequestBody    *jsonBody     `json:"requestBody,omitempty"`
	ResponseBody   *jsonBody     `json:"responseBody,omitempty"`
	BytesIn        int64         `json:"bytesIn"`
	BytesOut       int64         `json:"bytesOut"`
	Status         int           `json:"status"`
	Errors         []jsonError   `json:"errors,omitempty"`
	Err            string        `json:"err,omitempty"`
	Fault          string        `json:"fault,omitempty"`
	Notes          []string      `json:"notes,omitempty"`
	Failed         bool          `json:"failed"`
	Gone           bool          `json:"gone"`
	Ongoing        bool          `json:"ongoing"`
	Start          string        `json:"start"` // RFC 3339
	Duration       float64       `json:"durationMs"`
	MediaType      string        `json:"mediaType,omitempty"`
	Subject        digest.Digest `json:"subject,omitempty"`
}

type jsonError struct {
	Code    registry.Code `json:"code"`
	Message string        `json:"message"`
}

// jsonBody has the part of a body that the journal kept.
type jsonBody struct {
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"` // the bytes in base64, instead of Text, if they are not UTF-8
	Cut    bool   `json:"cut,omitempty"`    // whether the body has more bytes than the journal kept
}

// NDJSON writes each request as a JSON object on its own line. The objects have no
// credentials. As in [HAR], they have the part of each body that the journal kept,
// except for the bodies of token requests and of their responses.
func NDJSON(w io.Writer, requests journal.Requests) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, record := range requests.Records() {
		if err := e.Encode(jsonOf(record)); err != nil {
			return fmt.Errorf("writing requests as JSON: %w", err)
		}
	}
	return nil
}

func jsonOf(r *journal.Record) jsonRecord {
	j := jsonRecord{
		Number: r.Number, Line: r.String(), Op: r.Op.String(), Repo: r.Repo, Tag: r.Tag, Digest: r.Digest, From: r.From, Upload: r.Session,
		Method: r.Method, Proto: r.Proto, Conn: r.Conn, User: r.User, Scope: r.Scope, Range: r.Range, ContentLength: r.ContentLength,
		RequestHeader: r.RequestHeader, ResponseHeader: r.ResponseHeader, BytesIn: r.BytesIn, BytesOut: r.BytesOut,
		Status: r.Status, Fault: faultName(r), Notes: r.Notes, Failed: r.Failed(), Gone: r.Gone, Ongoing: r.Ongoing,
		Start: r.Start.UTC().Format(time.RFC3339Nano), Duration: float64(r.Duration) / float64(time.Millisecond),
		MediaType: r.MediaType, Subject: r.Subject,
	}
	if r.URL != nil {
		j.URL = r.URL.String()
	}
	for _, e := range r.Errors {
		j.Errors = append(j.Errors, jsonError{e.Code, e.Message})
	}
	if r.Err != nil {
		j.Err = r.Err.Error()
	}
	if r.Op != registry.GetToken {
		j.RequestBody, j.ResponseBody = jsonBodyOf(r.RequestBody, r.BytesIn), jsonBodyOf(r.ResponseBody, r.BytesOut)
	}
	return j
}

func jsonBodyOf(b []byte, size int64) *jsonBody {
	if len(b) == 0 {
		return nil
	}
	text, encoding := harText(b)
	if encoding != "" {
		return &jsonBody{Base64: text, Cut: int64(len(b)) < size}
	}
	return &jsonBody{Text: text, Cut: int64(len(b)) < size}
}

// faultName returns the name of the fault, "fault" if it has none, or "" if there
// was no fault.
func faultName(r *journal.Record) string {
	switch {
	case r.Fault == nil:
		return ""
	case r.Fault.Name == "":
		return "fault"
	}
	return r.Fault.Name
}
