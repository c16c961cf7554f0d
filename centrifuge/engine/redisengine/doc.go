// Package redisengine connects the nodes of a cluster through Redis, or a server that
// speaks its protocol: a broker that keeps history in streams or lists, a presence
// manager and a controller (server.md 10.3).
//
// [New] takes the servers. [Broker], [Presence] and [Controller] are made from the
// result and share its connections for commands. Several servers are shards: a channel
// belongs to the shard that the jump consistent hash of its name chooses.
//
// Keys, entries of streams and messages have the layout of existing clusters, so nodes of
// both kinds can share a server, except for control messages.
package redisengine
