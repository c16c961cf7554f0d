package centrifuge

import "sync/atomic"

// action is something that a node does, counted for its operator
// (server.md 9).
type action uint8

const (
	actionAddClient action = iota
	actionRemoveClient
	actionAddSubscription
	actionRemoveSubscription
	actionBrokerSubscribe
	actionBrokerUnsubscribe
	actionAddPresence
	actionRemovePresence
	actionPresence
	actionPresenceStats
	actionHistory
	actionHistoryRecover
	actionHistoryRecoverCache
	actionHistoryStreamTop
	actionHistoryRemove
	actionSurvey
	actionNotify
	numActions
)

var actionNames = [numActions]string{
	"add_client", "remove_client", "add_subscription", "remove_subscription", "broker_subscribe", "broker_unsubscribe",
	"add_presence", "remove_presence", "presence", "presence_stats", "history", "history_recover", "history_recover_cache",
	"history_stream_top", "history_remove", "survey", "notify",
}

// actionCounter counts attempts, those that fail included.
type actionCounter [numActions]atomic.Uint64

func (c *actionCounter) add(a action) { c[a].Add(1) }
