// Package awssqs reads queues of AWS SQS (server.md 11.2).
package awssqs
