// Package config holds the configuration of the server: one Go struct per
// section, and one loader that fills the structs from a file, the environment
// and command line flags.
//
// The structs are the single source of facts about a key: its name (tag key),
// its default (tag default), its type, and its documentation (the comment of
// the field, from which docs/config.md is generated). Everything else in the
// package walks the structs by reflection: reading files, naming environment
// variables, suggesting the nearest key for a typo, writing default files.
//
// The package is a leaf: it imports no other package of the project. A Config is
// plain data: once loaded it is not changed, so it may be read by any number of
// goroutines; a reload (SIGHUP) loads a new one.
package config
