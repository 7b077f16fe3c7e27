//go:build !unix

package check

import "os/exec"

// groupChildren does nothing, because the system has no process groups.
func groupChildren(*exec.Cmd) {}

// killGroup kills the command. Its children may live on, because the system has
// no process groups.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
