package bench

import (
	"testing"
)

// BenchmarkAll runs every case with every registry that it is for. Compare
// runs them interleaved and prints their medians.
func BenchmarkAll(b *testing.B) {
	for _, c := range Cases() {
		b.Run(c.Name, func(b *testing.B) {
			for _, r := range Registries() {
				if c.Only == nil || c.Only(r) {
					b.Run(r.Name, func(b *testing.B) {
						b.ReportAllocs()
						c.Run(b, r)
					})
				}
			}
		})
	}
}
