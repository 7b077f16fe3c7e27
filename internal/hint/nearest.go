package hint

import (
	"strings"
	"unicode"
)

// Nearest returns the word that differs least from the misspelt one, or "" if
// none is similar. Among equally similar words it returns the first in
// alphabetical order. A character that is missing, added, replaced or exchanged
// with its neighbour is one difference. A word is similar if it has one difference, or
// at most (n+2)/4, where n is the length of the misspelt word. If the misspelt word is
// like a name of Go, such as GetBlob, it is compared as get-blob.
func Nearest(misspelt string, words ...string) string {
	misspelt = dashed(misspelt)
	nearest, least := "", max((len(misspelt)+2)/4, 1)+1
	for _, w := range words {
		if d := distance(misspelt, w); d < least || d == least && w < nearest {
			nearest, least = w, d
		}
	}
	return nearest
}

// dashed returns the word in lower case, with a dash before each capital letter
// that followed a small one.
func dashed(word string) string {
	var b strings.Builder
	small := false
	for _, c := range word {
		if unicode.IsUpper(c) && small {
			b.WriteByte('-')
		}
		small = unicode.IsLower(c)
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// distance returns the number of differences between two words. If their lengths
// differ by more than half of the longer one, it returns the longer length. Its
// time is quadratic, which is fine for words.
func distance(a, b string) int {
	if abs(len(a)-len(b)) > max(len(a), len(b))/2 {
		return max(len(a), len(b))
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

func abs(n int) int { return max(n, -n) }
