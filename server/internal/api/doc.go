// Package api answers what a backend may ask of the server: one Go method for
// each call of the server API (server-interface section 1). It knows nothing of
// HTTP, gRPC or queues; these decode their bytes into its requests and encode
// its results. The JSON form of both is part of the contract, so it is written
// on the types.
//
// A call ends with a result or with an *Error, whose code is from a closed list
// (server-interface 1.3). What went wrong inside is logged here, once.
package api
