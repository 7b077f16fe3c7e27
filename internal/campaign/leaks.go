package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// A census is the number of goroutines and of open file descriptors of this
// process.
type census struct{ goroutines, descriptors int }

func takeCensus() census {
	entries, _ := os.ReadDir("/proc/self/fd") // without /proc, descriptors are not counted
	return census{runtime.NumGoroutine(), len(entries)}
}

// leaks returns a finding if the process has more goroutines or descriptors than
// before. It first waits for up to two seconds for them to end.
func (before census) leaks() (findings []string) {
	var now census
	for range 100 {
		now = takeCensus()
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return []string{fmt.Sprintf("the process has %d goroutines and %d descriptors; before, it had %d and %d\n%.4000s",
		now.goroutines, now.descriptors, before.goroutines, before.descriptors, stacks)}
}
