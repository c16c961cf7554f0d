// Package redisstream reads streams of Redis as a member of a consumer group
// (server.md 11.2).
package redisstream
