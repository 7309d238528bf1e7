//go:build !linux

package main

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C reaches this process
// alone and it can stop the others in order.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
