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
// variable is not empty. For an invalid value, it returns the flag's own error,
// which does not quote a value that may be secret, such as the password of -user.
// Package flag would quote the value in every error, even a secret token in the
// variable of -token, which takes a boolean.
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
