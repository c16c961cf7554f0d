// Package admin serves the interface of the administrator: its page, the log-in, and the
// calls of the page (server.md 8).
//
// The page sends its token in the Authorization header. There are no cookies, so that a
// page of another site cannot act in the name of a visitor who is logged in.
package admin
