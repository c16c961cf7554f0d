package app

import (
	"log/slog"
	"net"
	"net/http"
	"strings"

	"centrifugo/server/internal/middleware"
)

// local returns what keeps web pages away from the insecure endpoints of a listener.
func (a *App) local(address string) *middleware.Local {
	host, _, _ := net.SplitHostPort(address) // it was joined by this package
	ip := net.ParseIP(host)
	if ip == nil && host != "localhost" || ip != nil && !ip.IsLoopback() {
		return middleware.NewLocal(true, a.log, host)
	}
	return middleware.NewLocal(false, a.log)
}

// localHost lets through, in development mode, what was asked of a local host. The
// handlers behind it look at origins themselves or serve files to everybody.
func (a *App) localHost(r *routes, next http.Handler) http.Handler {
	if !a.options.Dev {
		return next
	}
	return r.local.HostMiddleware(next)
}

// allowedOrigin decides which pages may connect: those of client.allowed_origins
// and, in development mode, local ones.
func (a *App) allowedOrigin(r *http.Request) bool {
	return a.origins.Allowed(r) || a.options.Dev && middleware.LocalOrigin(r)
}

// insecureModes are those that are on and whose keys have the prefix.
func (a *App) insecureModes(prefix string) (modes []string) {
	for _, mode := range a.config.InsecureModes() {
		if strings.HasPrefix(mode, prefix) {
			modes = append(modes, mode)
		}
	}
	return modes
}

// opening tells how a server is reached that listens on loopback for its insecure
// modes: inside a container that is not at all.
const opening = "set http_server.address (flag --http_server.address, variable CENTRIFUGO_HTTP_SERVER_ADDRESS), " +
	"to 0.0.0.0 for all interfaces, and keep others away by other means"

// logExposure says who reaches the insecure endpoints of a listener, by the
// address that was bound, whatever was configured.
func (s *server) logExposure(log *slog.Logger) {
	if len(s.insecure) == 0 {
		return
	}
	address := s.listener.Addr()
	modes := strings.Join(s.insecure, ", ")
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		log.Warn("INSECURE endpoints on a loopback address: only this machine, or this container, reaches them",
			"address", address.String(), "modes", modes, "to_open", opening)
		return
	}
	log.Warn("INSECURE endpoints can be reached by other machines", "address", address.String(), "modes", modes)
}
