//go:build !containers_image_openpgp

package heavy

import "testing"

// Without its build tags, containers/image requires libraries written in C.
func TestContainersImage(t *testing.T) {
	t.Skip("needs -tags containers_image_openpgp,exclude_graphdriver_btrfs,containers_image_storage_stub")
}
