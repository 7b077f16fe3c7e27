package snippets

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A snippet is a piece of code in the documentation.
type snippet struct {
	file string // the path of the file, relative to the module, with slashes
	line int    // the line of the file where the code begins
	kind string // "inline", "comment", or the text after the fence of a block, such as "go"
	code string
}

// root returns the directory of the module, as an absolute path.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// all returns the snippets of the module. Because it reads all files, the go
// command runs this package's tests again when a file changes.
func all(t *testing.T) (snippets []snippet) {
	t.Helper()
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (name[0] == '.' || name == "testdata" || rel == "internal") {
				return fs.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(rel); ext != ".md" && ext != ".go" || strings.HasSuffix(rel, "_test.go") || rel == "CHANGELOG.md" {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(rel, ".md") {
			snippets = append(snippets, ofMarkdown(rel, string(content))...)
		} else {
			snippets = append(snippets, ofComments(t, rel, content)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return snippets
}

var inlineCode = regexp.MustCompile("`[^`\n]+`")

// ofMarkdown returns the code blocks and the inline code of a Markdown file.
func ofMarkdown(file, content string) (snippets []snippet) {
	var block *snippet // the block that contains the line, or nil
	n := 0
	for line := range strings.Lines(content) {
		n++
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && block == nil:
			block = &snippet{file: file, line: n + 1, kind: strings.TrimSpace(fence)}
		case isFence:
			snippets = append(snippets, *block)
			block = nil
		case block != nil:
			block.code += line
		default:
			for _, code := range inlineCode.FindAllString(line, -1) {
				snippets = append(snippets, snippet{file, n, "inline", strings.ReplaceAll(strings.Trim(code, "`"), `\|`, "|")})
			}
		}
	}
	return snippets
}

// ofComments returns the code blocks in the comments of a Go file.
func ofComments(t *testing.T, file string, content []byte) (snippets []snippet) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var p comment.Parser
	for _, group := range f.Comments {
		for _, block := range p.Parse(group.Text()).Content {
			if code, ok := block.(*comment.Code); ok {
				snippets = append(snippets, snippet{file, lineOf(fset, group, code.Text), "comment", code.Text})
			}
		}
	}
	return snippets
}

// lineOf returns the line of the file on which the code in a comment begins.
func lineOf(fset *token.FileSet, group *ast.CommentGroup, code string) int {
	first, _, _ := strings.Cut(code, "\n")
	for _, c := range group.List {
		if strings.Contains(c.Text, first) {
			return fset.Position(c.Pos()).Line
		}
	}
	return fset.Position(group.Pos()).Line
}
