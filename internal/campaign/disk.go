//go:build !linux

package main

import "context"

// diskFaults reports that this part of the campaign was skipped, since it mounts
// file systems as only Linux can.
func diskFaults(_ context.Context, c *campaign) error {
	c.report("disk", "full and read-only", "skipped: needs Linux", nil)
	return nil
}
