package control

import (
	"strconv"
	"strings"
)

// Statuses returns the status of the response of each endpoint without an error, or "0"
// if the status is not known.
func Statuses() map[string]string {
	all := make(map[string]string)
	for _, r := range routes {
		all[strings.NewReplacer("{$}", "", "...}", "}").Replace(r.pattern)] = strconv.Itoa(r.status)
	}
	return all
}

// Routes returns the endpoints: method and path, and the parameters of each.
func Routes() map[string][]string {
	all := make(map[string][]string)
	for _, r := range routes {
		pattern := strings.NewReplacer("{$}", "", "...}", "}").Replace(r.pattern)
		all[pattern] = strings.Fields(r.parameters)
	}
	return all
}
