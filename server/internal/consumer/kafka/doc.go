// Package kafka reads topics of Kafka as a member of a consumer group (server.md 11.2).
package kafka
