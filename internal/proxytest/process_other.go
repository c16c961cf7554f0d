//go:build !linux

package proxytest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
