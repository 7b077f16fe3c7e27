package bench

import (
	"runtime"
	"time"
)

// warmMemory makes the process keep more memory from the operating system than
// any registry needs for the given number of bytes. Otherwise, a case would
// mostly measure how the operating system provides memory, and a registry would
// profit from the memory of the registry before it.
func warmMemory(bytes int) {
	const page, most = 4 << 10, 6 // most is the number of bytes of heap that a registry needs for a byte of content
	b := make([]byte, most*bytes)
	for i := 0; i < len(b); i += page {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	b = nil
	runtime.GC()
}

// heapInUse returns the number of bytes of the heap that are in use.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// watchHeap watches the growth of the heap above the given size, until the function
// stop is called. It raises *peak to the largest growth.
func watchHeap(before uint64, peak *uint64) (stop func()) {
	look := func() {
		if now := heapInUse(); now > before {
			*peak = max(*peak, now-before)
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer look()
		t := time.NewTicker(20 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				look()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
