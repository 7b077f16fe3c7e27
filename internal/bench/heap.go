package bench

import (
	"runtime"
	"time"
)

// warmMemory makes the process keep more memory than any registry needs for so
// many bytes. Otherwise the case would mostly measure how the operating system
// provides memory, and one registry would profit from the memory of the one
// before it.
func warmMemory(bytes int) {
	const page, most = 4 << 10, 6 // most: bytes of the heap that a registry needs for a byte
	b := make([]byte, most*bytes)
	for i := 0; i < len(b); i += page {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	b = nil
	runtime.GC()
}

// heapInUse returns the number of bytes in use in the heap.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// watchHeap raises peak to the largest growth of the heap beyond before, until
// stop is called.
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
