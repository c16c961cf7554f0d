//go:build !linux

package pgtest

import "syscall"

func attributes(*account) *syscall.SysProcAttr { return nil }
