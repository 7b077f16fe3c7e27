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
// variable is not empty. For an invalid value, it returns the error of the flag: that
// of a rule or a name quotes the value, and that of a value which may be secret, such
// as the one of -user, does not. Package flag would add the value to every error, even
// if the variable of the flag -token has a token by mistake.
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
