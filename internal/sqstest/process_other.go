//go:build !linux

package sqstest

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
