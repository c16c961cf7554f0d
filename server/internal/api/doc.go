// Package api implements the methods of the server API (server.md 1)
// independently of how calls arrive. A carrier, such as HTTP, decodes the request of
// a method, calls the method and encodes its result. The struct tags of requests and
// results define their JSON.
//
// A call returns a result or an *Error, whose code is from a closed list
// (server.md 1.3). Errors of the node are logged here, once.
package api
