package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// versionFlag has no variable, since a script may use that name for a version
// of its own.
const versionFlag = "version"

// variableOf returns the environment variable that sets a flag. Containers of
// CI services are often configured only by variables.
func variableOf(flag string) string {
	return "OCIREG_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// setFromEnvironment sets the flags that the command line does not have and whose
// variables are not empty. The error leaves out the value, which may be secret.
func setFromEnvironment(fs *flag.FlagSet) error {
	given := map[string]bool{versionFlag: true}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		value := os.Getenv(variableOf(f.Name))
		if given[f.Name] || value == "" || err != nil {
			return
		}
		if failed := fs.Set(f.Name, value); failed != nil {
			err = fmt.Errorf("the variable %s is not valid for -%s: %w", variableOf(f.Name), f.Name, failed)
		}
	})
	return err
}
