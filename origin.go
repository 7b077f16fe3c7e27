package registry

import (
	"net/http"
	"strings"
	"time"
)

// refuseCrossOrigin is the middleware of a registry without [CrossOrigin]. A
// browser sends Origin with each request of a web page that could have an effect
// (Fetch Standard, section Origin header). The Origin is "null" for a page
// without a host.
func refuseCrossOrigin(next Handler) Handler {
	return func(w http.ResponseWriter, r *Request) error {
		for _, origin := range r.Header["Origin"] {
			_, host, ok := strings.Cut(origin, "://")
			if !ok || !strings.EqualFold(host, r.Host) {
				if r.ContentLength != 0 {
					// Without a deadline, net/http waits for the body before it responds.
					http.NewResponseController(w).SetReadDeadline(time.Now())
				}
				return Errorf(CodeDenied, "a page of %.200q may not use the registry at %.200q", origin, r.Host)
			}
		}
		return next(w, r)
	}
}
