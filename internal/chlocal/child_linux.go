package chlocal

import "syscall"

// dieWithParent makes the kernel kill a process whose guard was killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
