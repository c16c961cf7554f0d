package promtest

import "syscall"

// dieWithParent ends Prometheus also when the test is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
