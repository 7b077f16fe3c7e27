//go:build !linux

package main

import "context"

// diskFaults needs file systems that only Linux mounts so simply.
func diskFaults(_ context.Context, c *campaign) error {
	c.report("disk", "full and read-only", "skipped: needs Linux", nil)
	return nil
}
