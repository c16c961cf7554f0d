// Package googlepubsub reads subscriptions of Google Pub/Sub (server.md 11.2).
package googlepubsub
