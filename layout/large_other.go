//go:build !linux

package layout

const largeFile = 0
