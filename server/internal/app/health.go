package app

import (
	"encoding/json"
	"net/http"
)

// ready answers with status 200 while the node should get traffic, otherwise with 503 and
// the reason.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	reason := ""
	if a.node.ShuttingDown() {
		reason = "shutting down"
	} else if err := a.engine.health(); err != nil {
		reason = err.Error()
	}
	if reason == "" {
		emptyObject(w, r)
		return
	}
	body, err := json.Marshal(map[string]string{"error": reason})
	if err != nil {
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write(body)
}
