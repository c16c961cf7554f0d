//go:build !linux

package app

import "net"

// listenConfig leaves keep-alive to package net. The configuration allows reuse on Linux only.
func listenConfig(bool) *net.ListenConfig { return &net.ListenConfig{} }
