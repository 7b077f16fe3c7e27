//go:build !unix

package check

import "os/exec"

// groupChildren does nothing: the system has no process groups.
func groupChildren(*exec.Cmd) {}

// killGroup kills only the command itself.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
