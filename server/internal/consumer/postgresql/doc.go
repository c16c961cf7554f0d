// Package postgresql reads an outbox: a table of a PostgreSQL database into which an
// application writes commands in the transactions that make them true (server.md 11.2).
package postgresql
