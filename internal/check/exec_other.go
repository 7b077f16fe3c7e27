//go:build !unix

package check

import "os/exec"

// groupChildren does nothing, because only Unix has such process groups.
func groupChildren(*exec.Cmd) {}

// killGroup kills the command. Its children may live on.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
