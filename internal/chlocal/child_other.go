//go:build unix && !linux

package chlocal

import "syscall"

// dieWithParent can promise nothing here: a guard that is itself killed with -9 leaves its server running.
func dieWithParent() *syscall.SysProcAttr { return nil }
