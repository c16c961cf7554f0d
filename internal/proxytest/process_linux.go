package proxytest

import "syscall"

// dieWithParent ends a proxy also when the test is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
