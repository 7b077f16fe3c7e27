// Package snippets compiles and runs the code in the documentation: the Go and
// shell snippets of all Markdown files, the code between backquotes in their text,
// and the code in comments of packages that users see. A snippet that names files
// must occur in these files, and their tests run it. The package has only tests.
package snippets
