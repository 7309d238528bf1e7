package main

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C reaches this process
// alone and it can stop the others in order; and lets the kernel end it when this process dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
