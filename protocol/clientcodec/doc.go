// Package clientcodec decodes replies and pushes: the half of the protocol's codecs
// that clients need and servers do not. Load generators and tests use it. The types,
// and what servers use, are in package protocol.
package clientcodec
