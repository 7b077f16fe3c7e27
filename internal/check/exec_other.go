//go:build !unix

package check

import "os/exec"

// groupChildren does nothing: there are no groups of processes.
func groupChildren(*exec.Cmd) {}

// killGroup kills the command, and not its children.
func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }
