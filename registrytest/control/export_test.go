package control

import (
	"strconv"
	"strings"
)

// Statuses maps each endpoint to the status of its responses without an error,
// or to "0" if its handler chooses the status.
func Statuses() map[string]string {
	all := make(map[string]string)
	for _, r := range routes {
		all[strings.NewReplacer("{$}", "", "...}", "}").Replace(r.pattern)] = strconv.Itoa(r.status)
	}
	return all
}

// Routes maps each endpoint, such as "GET /v1/faults", to its query parameters.
func Routes() map[string][]string {
	all := make(map[string][]string)
	for _, r := range routes {
		pattern := strings.NewReplacer("{$}", "", "...}", "}").Replace(r.pattern)
		all[pattern] = strings.Fields(r.parameters)
	}
	return all
}
