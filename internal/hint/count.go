package hint

import "strconv"

// Count returns the number with the noun in the singular or plural, such as "1 request"
// or "2 requests".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
