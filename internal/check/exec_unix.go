//go:build unix

package check

import (
	"os/exec"
	"syscall"
)

// groupChildren makes the command start in a new process group, which its children join.
func groupChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// killGroup kills all processes in the command's process group.
func killGroup(cmd *exec.Cmd) error {
	return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}
