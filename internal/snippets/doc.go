// Package snippets compiles and runs the code in the documentation: the Go and
// shell snippets of all Markdown files, the code that these quote in a line, and
// the code in comments of packages that users see. Snippets that name files are in
// them, and the tests of those files run them. It consists of a test.
package snippets
