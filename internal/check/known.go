package check

import (
	"embed"
	"slices"
	"strings"
)

// files describe the clients that the package knows.
//
//go:embed clients/*.check
var files embed.FS

// Known returns the names of the clients that [Get] returns, with commas between
// them.
func Known() string {
	entries, _ := files.ReadDir("clients")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".check"))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Get returns the client with the name, and whether the package knows it.
func Get(name string) (Client, bool) {
	text, err := files.ReadFile("clients/" + name + ".check")
	if err != nil {
		return Client{}, false
	}
	c, err := Parse(string(text))
	return c, err == nil
}
