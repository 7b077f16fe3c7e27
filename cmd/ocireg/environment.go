package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
)

// versionFlag is the only flag without a variable, because a script may use
// OCIREG_VERSION for a version that it installs.
const versionFlag = "version"

// variableOf returns the name of the environment variable that sets a flag. CI
// services can often configure containers only by variables.
func variableOf(flag string) string {
	return "OCIREG_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// setFromEnvironment sets each flag that the command line does not set, if its
// variable is not empty. The error for an invalid value is that of the flag alone: of
// a rule or a name it quotes the value, of one that may be secret, such as -user, it
// does not. Package flag would quote every value, even a token in the variable of the
// flag -token.
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
