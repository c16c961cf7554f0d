// Package listener opens the sockets of the server: those that systemd hands over, those that
// another process shares, and those of load balancers that speak the PROXY protocol. It also
// tells systemd about the state of the server.
package listener
