//go:build !linux

package main

import "context"

// diskFaults reports that this part of the campaign was skipped: it mounts a tmpfs,
// which needs Linux.
func diskFaults(_ context.Context, c *campaign) error {
	c.report("disk", "full and read-only", "skipped: needs Linux", nil)
	return nil
}
