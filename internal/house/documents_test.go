package house

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ocireg/registry/internal/documents"
)

var (
	inlineLink = regexp.MustCompile(`\]\(([^)]+)\)`)
	fence      = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the names by which links reach the headings of a document, as GitHub
// makes them.
func anchors(document string) (names []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(document, ""), -1) {
		title := notInSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(title, " ", "-"))
	}
	return names
}

// Links in the documents lead to files and headings that exist.
func TestLinks(t *testing.T) {
	all := documents.All(t, root(t))
	checked := 0
	for document, text := range all {
		for _, m := range inlineLink.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := document
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(document), file))
			}
			if _, err := os.Stat(filepath.Join(root(t), target)); err != nil {
				t.Errorf("%s: the link leads nowhere: %v", document, err)
			}
			if anchor != "" {
				checked++
				if !slices.Contains(anchors(all[target]), anchor) {
					t.Errorf("%s: %s has no heading for #%s", document, target, anchor)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no link leads to a heading")
	}
}

// A reader of the README finds each document: it links to the document or, for a
// directory, to its README.
func TestReadmeLinksToDocuments(t *testing.T) {
	all := documents.All(t, root(t))
	for document := range all {
		if document == "README.md" {
			continue
		}
		from := "README.md"
		if dir := filepath.ToSlash(filepath.Dir(document)); filepath.Base(document) != "README.md" && all[dir+"/README.md"] != "" {
			from = dir + "/README.md"
		}
		to, err := filepath.Rel(filepath.Dir(from), document)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`\]\(` + regexp.QuoteMeta(filepath.ToSlash(to)) + `[)#]`).MatchString(all[from]) {
			t.Errorf("%s does not link to %s", from, document)
		}
	}
}

// Files that the documents name between backquotes exist. The functions that they name
// together with a file are in it, as in "`splitPath` in `request.go`".
func TestDocumentsNameFiles(t *testing.T) {
	file := regexp.MustCompile("`((?:[\\w-]+/)*[\\w-]+\\.(?:go|sh|mjs)|(?:adapters|cmd|docs|internal|registrytest)/[\\w/-]+)`")
	function := regexp.MustCompile("`(\\w+)` (?:in|of) `((?:[\\w-]+/)*[\\w-]+\\.go)`")
	for document, text := range documents.All(t, root(t)) {
		for _, m := range file.FindAllStringSubmatch(text, -1) {
			if len(filesNamed(t, m[1])) == 0 {
				t.Errorf("%s names the file %s, which does not exist", document, m[1])
			}
		}
		for _, m := range function.FindAllStringSubmatch(text, -1) {
			word := regexp.MustCompile(`\b` + m[1] + `\b`)
			if !slices.ContainsFunc(filesNamed(t, m[2]), func(path string) bool {
				content, err := os.ReadFile(path)
				return err == nil && word.Match(content)
			}) {
				t.Errorf("%s: %s is not in %s", document, m[1], m[2])
			}
		}
	}
}

// filesNamed returns the files with the name. A file without a directory may be in any
// package.
func filesNamed(t *testing.T, name string) (files []string) {
	t.Helper()
	for _, dir := range append([]string{".", "internal/page"}, paths()...) {
		found, err := filepath.Glob(filepath.Join(root(t), dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// Documents that code, messages and scripts name exist.
func TestCodeNamesDocuments(t *testing.T) {
	dir := root(t)
	named := regexp.MustCompile(`(?:^|[^/\w])(docs/(?:migrate/)?[\w-]+\.md)\b`) // not in a URL
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != dir && (name == ".git" || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".sh", ".mjs", ".html", ".yml", "":
		default:
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range named.FindAllSubmatch(content, -1) {
			if _, err := os.Stat(filepath.Join(dir, string(m[1]))); err != nil {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The table in docs/architecture.md has each package that users see.
func TestTableOfPackages(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root(t), "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(content, []byte("\n## Packages\n"))
	table, _, ok2 := bytes.Cut(rest, []byte("\n## "))
	if !ok || !ok2 {
		t.Fatal("docs/architecture.md has no section about packages")
	}
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllSubmatch(table, -1) {
		for _, m := range regexp.MustCompile("`([^`…]+)`").FindAllSubmatch(row[1], -1) {
			listed = append(listed, string(m[1]))
		}
	}
	var want []string
	for _, path := range paths() {
		if !internal(path) {
			want = append(want, name(path))
		}
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("the table of packages in docs/architecture.md has\n%q, want\n%q", listed, want)
	}
}

// paths returns the paths of the packages in rooms.
func paths() (all []string) {
	for _, room := range rooms {
		all = append(all, room.path)
	}
	return all
}
