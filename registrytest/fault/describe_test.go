package fault_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/ocireg/registry/internal/conn"
	"github.com/ocireg/registry/registrytest/fault"
)

// sessionID matches the ID of an upload session.
var sessionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// describe returns the effect of a rule on a response, in the words of docs/faults.md.
// The parameter plain is the response without the rule.
func (s *faultServer) describe(got, plain seen) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if got.Response == nil {
		add("no response: %s", endingOf(got.err))
	} else {
		add("%d", got.StatusCode)
		if got.StatusCode >= 300 {
			s.describeError(got, add)
		} else {
			describeHeader(got, plain, add)
			s.describeBody(got, plain, add)
		}
		if got.err != nil {
			add("then %s", endingOf(got.err))
		}
	}
	if got.took >= time.Second {
		add("after %s", got.took.Round(100*time.Millisecond))
	}
	if got.after != "" {
		add("%s", got.after)
	}
	return s.anonymous(strings.Join(parts, ", "))
}

// anonymous replaces the parts of the text that differ between runs, such as session
// IDs, with fixed names.
func (s *faultServer) anonymous(text string) string {
	for _, location := range sessionID.FindAllString(text, -1) {
		text = strings.ReplaceAll(text, location, "<session>")
	}
	blob := digest.FromBytes(s.blob)
	text = strings.ReplaceAll(text, string(blob), "<digest>")
	text = strings.ReplaceAll(text, blob.Encoded(), "<hexadecimal>")
	return strings.ReplaceAll(text, s.URL, "<origin>")
}

// endingOf returns the words of docs/faults.md for the error that a client gets.
func endingOf(err error) string {
	switch {
	case errors.Is(err, conn.Reset):
		return "connection reset"
	case errors.Is(err, context.DeadlineExceeded):
		return "nothing more"
	case strings.Contains(err.Error(), "INTERNAL_ERROR"):
		return "stream reset"
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	}
	return err.Error()
}

func describeHeader(got, plain seen, add func(string, ...any)) {
	names := map[string]bool{}
	for name := range got.Header {
		names[name] = true
	}
	for name := range plain.Header {
		names[name] = true
	}
	for _, ignored := range []string{"Date", "Docker-Upload-Uuid"} {
		delete(names, ignored)
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		is, was := strings.Join(got.Header.Values(name), ", "), plain.Header.Get(name)
		switch {
		case sessionID.MatchString(is) && sessionID.ReplaceAllString(is, "") == sessionID.ReplaceAllString(was, ""), is == was:
		case is == "":
			add("without %s", name)
		default:
			add("`%s: %s`", name, is)
		}
	}
}

// describeError adds the properties that distinguish an error response from others.
func (s *faultServer) describeError(got seen, add func(string, ...any)) {
	var spec struct{ Errors []struct{ Code string } }
	contentType := got.Header.Get("Content-Type")
	body := s.decoded(got)
	switch {
	case json.Unmarshal(body, &spec) == nil && len(spec.Errors) > 0 && spec.Errors[0].Code != "":
		add("%s", spec.Errors[0].Code)
	case got.Request.Method == "HEAD":
	case len(body) == 0:
		add("no body")
	case contentType == "application/json" && json.Valid(body):
		add("JSON without a code in `errors`")
	case contentType == "application/json":
		add("broken JSON")
	default:
		add("%s", contentType)
	}
	for _, name := range []string{"Retry-After", "Location", "Range", "Content-Encoding", "Www-Authenticate"} {
		if v := got.Header.Get(name); v != "" {
			if at, err := http.ParseTime(v); err == nil {
				v = "the date in " + time.Until(at).Round(time.Minute).String()
			}
			add("`%s: %s`", name, v)
		}
	}
}

// decoded returns the body after decoding it as its Content-Encoding says.
func (s *faultServer) decoded(got seen) []byte {
	body := got.body
	for _, coding := range slices.Backward(got.Header.Values("Content-Encoding")) {
		body = decode(s.t, coding, body)
	}
	return body
}

func decode(t *testing.T, coding string, body []byte) (decoded []byte) {
	var r io.Reader
	var err error
	switch coding {
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if r, err = zlib.NewReader(bytes.NewReader(body)); err == zlib.ErrHeader {
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	case "zstd":
		r = bytes.NewReader(unzstd(t, body))
	default:
		t.Fatalf("unknown coding %q", coding)
	}
	require.NoError(t, err)
	decoded, err = io.ReadAll(r)
	require.NoError(t, err)
	return decoded
}

// unzstd returns the content of a Zstandard frame whose blocks are not compressed.
func unzstd(t *testing.T, frame []byte) (content []byte) {
	require.Equal(t, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3}, frame[:6])
	for frame = frame[6:]; ; {
		header := int(frame[0]) | int(frame[1])<<8 | int(frame[2])<<16
		last, kind, size := header&1, header>>1&3, header>>3
		require.Zero(t, kind, "a block is not compressed")
		require.LessOrEqual(t, size, fault.MaxZstdBlock)
		content = append(content, frame[3:3+size]...)
		if frame = frame[3+size:]; last == 1 {
			require.Empty(t, frame)
			return content
		}
	}
}

func (s *faultServer) describeBody(got, plain seen, add func(string, ...any)) {
	is, was := s.decoded(got), plain.body
	if got.Request.Header.Get("Range") != "" && got.StatusCode == 200 {
		was = s.blob
	}
	switch {
	case bytes.Equal(is, was):
		if len(was) > 0 {
			add("all %d bytes", len(was))
		}
		if _, err := zlib.NewReader(bytes.NewReader(got.body)); err == zlib.ErrHeader && strings.Join(got.Header.Values("Content-Encoding"), ", ") == "deflate" {
			add("without zlib")
		}
	case bytes.HasPrefix(was, is):
		add("%d of %d bytes", len(is), len(was))
	case bytes.HasPrefix(is, was):
		add("%d bytes more", len(is)-len(was))
	case len(is) == len(was):
		for i := range is {
			if is[i] != was[i] {
				add("byte %d is another", i)
			}
		}
	default:
		add("%d other bytes", len(is))
	}
}
