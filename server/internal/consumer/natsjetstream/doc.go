// Package natsjetstream reads streams of NATS JetStream through a durable consumer
// (server.md 11.2).
package natsjetstream
