package explore

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ocireg/registry/internal/hint"
)

// inBubble calls f in a bubble of testing/synctest. It describes the goroutines
// that f leaves behind, or returns "" if f leaves none.
func inBubble(t *testing.T, f func()) (leaked string) {
	bubble := ""
	defer func() {
		// synctest.Test panics if the goroutines left in the bubble are deadlocked.
		if cause := recover(); cause != nil {
			text := fmt.Sprint(cause)
			if !strings.HasPrefix(text, "deadlock: ") {
				panic(cause)
			}
			leaked = goroutinesOf(bubble)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		bubble = bubbleName.FindString(stacks(false))
		f()
	})
	return ""
}

// bubbleName matches the name of a bubble in the first line of a goroutine's stack trace.
var bubbleName = regexp.MustCompile(`synctest bubble \d+`)

// creator matches the line of a stack trace that names the function that
// started the goroutine.
var creator = regexp.MustCompile(`(?m)^created by (.+?)(?: in goroutine \d+)?$`)

// goroutinesOf describes the goroutines left in a finished bubble: their number,
// and the functions that started them.
func goroutinesOf(bubble string) string {
	n := 0
	var creators []string
	for _, stack := range stacksIn(bubble) {
		m := creator.FindStringSubmatch(stack)
		n++
		if !slices.Contains(creators, m[1]) {
			creators = append(creators, m[1])
		}
	}
	slices.Sort(creators)
	return fmt.Sprintf("%s, started by %s", hint.Count(n, "goroutine"), strings.Join(creators, ", "))
}

// stacksIn returns the stack traces of the goroutines in a bubble, except those that
// run the bubble.
func stacksIn(bubble string) (list []string) {
	for stack := range strings.SplitSeq(stacks(true), "\n\n") {
		head, _, _ := strings.Cut(stack, "\n")
		if !strings.Contains(head, bubble+"]") && !strings.Contains(head, bubble+",") {
			continue
		}
		if m := creator.FindStringSubmatch(stack); m != nil && !strings.HasPrefix(m[1], "testing.") {
			list = append(list, stack)
		}
	}
	return list
}

// stacks returns the beginning of this goroutine's stack trace, or, if all is
// set, the whole traces of all goroutines.
func stacks(all bool) string {
	b := make([]byte, 512)
	for {
		n := runtime.Stack(b, all)
		if n < len(b) || !all {
			return string(b[:n])
		}
		b = make([]byte, 4*len(b))
	}
}
