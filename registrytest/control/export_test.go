package control

import "strings"

// Routes returns the endpoints: method and path, and the parameters of each.
func Routes() map[string][]string {
	all := make(map[string][]string)
	for _, r := range routes {
		pattern := strings.NewReplacer("{$}", "", "...}", "}").Replace(r.pattern)
		all[pattern] = strings.Fields(r.parameters)
	}
	return all
}
