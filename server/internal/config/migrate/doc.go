// Package migrate turns configurations of Centrifugo v2 to v5 into the form of v6
// (server.md 6.9). Files, flags and environment variables of old versions are understood.
//
// A configuration passes through the versions one after another: v2 becomes v3 (v2.go), v3
// becomes v4 (v3.go), and the flat keys of v4 and v5 become the sections of v6 (flat.go).
package migrate
