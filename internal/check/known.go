package check

import (
	"embed"
	"slices"
	"strings"
)

// files holds a description, for Parse, of each client that the package knows.
//
//go:embed clients/*.check
var files embed.FS

// Known returns the names of the clients that [Get] knows, separated by commas.
func Known() string {
	entries, _ := files.ReadDir("clients")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".check"))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Get returns the description of the client with the name. It returns false if
// the package does not know the client.
func Get(name string) (Client, bool) {
	text, err := files.ReadFile("clients/" + name + ".check")
	if err != nil {
		return Client{}, false
	}
	c, err := Parse(string(text))
	return c, err == nil
}
