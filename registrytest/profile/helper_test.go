package profile_test

import (
	"net/http"
	"strings"
)

// A client sends the requests of examples.
type client struct{ *http.Client }

func (c client) do(method, url, body string) *http.Response {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	return resp
}
