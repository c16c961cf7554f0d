//go:build !linux

package app

import "net"

// warnOfBuffer leaves the warning about a small receive buffer to quic-go.
func (a *App) warnOfBuffer(*net.UDPConn) {}

func ownWarnings() {}
