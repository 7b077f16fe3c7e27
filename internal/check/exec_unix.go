//go:build unix

package check

import (
	"os/exec"
	"syscall"
)

// groupChildren makes the command the leader of a group of processes, which its
// children belong to.
func groupChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// killGroup kills the command and its children.
func killGroup(cmd *exec.Cmd) error {
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}
