package app

import (
	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// unidirectionalDisconnect returns the disconnect for an error of connect on a
// unidirectional transport, by the first transform of its code (server.md 6.3); nil if
// transforms are off.
func unidirectionalDisconnect(c config.ConnectCodeToUnidirectionalDisconnect) func(*centrifuge.Error) (centrifuge.Disconnect, bool) {
	if !c.Enabled {
		return nil
	}
	return func(err *centrifuge.Error) (centrifuge.Disconnect, bool) {
		for _, t := range c.Transforms {
			if t.Code == err.Code {
				return centrifuge.Disconnect{Code: t.To.Code, Reason: t.To.Reason}, true
			}
		}
		return centrifuge.Disconnect{}, false
	}
}
