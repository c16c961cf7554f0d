package app

import (
	"log/slog"
	"net"
	"net/http"
	"strings"

	"centrifugo/server/internal/middleware"
)

// local returns the guard of the insecure endpoints of a listener against web pages.
func (a *App) local(address string) *middleware.Local {
	host, _, _ := net.SplitHostPort(address) // it was joined by this package
	ip := net.ParseIP(host)
	if ip == nil && host != "localhost" || ip != nil && !ip.IsLoopback() {
		return middleware.NewLocal(true, a.log, host)
	}
	return middleware.NewLocal(false, a.log)
}

// localHost admits, in development mode, only requests to a local host. The handlers
// behind it check origins themselves or serve public files.
func (a *App) localHost(r *routes, next http.Handler) http.Handler {
	if !a.options.Dev {
		return next
	}
	return r.local.HostMiddleware(next)
}

// allowedOrigin reports whether a page may connect: pages of client.allowed_origins may
// and, in development mode, local ones.
func (a *App) allowedOrigin(r *http.Request) bool {
	return a.origins.Allowed(r) || a.options.Dev && middleware.LocalOrigin(r)
}

// cors lets pages that may connect read the answers of a handler.
func (a *App) cors(next http.Handler) http.Handler { return middleware.CORS(a.allowedOrigin)(next) }

// insecureModes returns the keys with a prefix of the insecure modes that are on.
func (a *App) insecureModes(prefix string) (modes []string) {
	for _, mode := range a.config.InsecureModes() {
		if strings.HasPrefix(mode, prefix) {
			modes = append(modes, mode)
		}
	}
	return modes
}

// opening is advice for listeners that are on loopback because of an insecure mode. Inside
// a container, such a listener cannot be reached at all.
func opening(section string) string {
	return "set " + section + ".address (flag --" + section + ".address, variable CENTRIFUGO_" + strings.ToUpper(section) +
		"_ADDRESS), to 0.0.0.0 for all interfaces, and keep others away by other means"
}

// logExposure logs who can reach the insecure endpoints of a listener, by the address
// that it is bound to.
func (s *server) logExposure(log *slog.Logger) {
	if len(s.insecure) == 0 {
		return
	}
	address := s.listener.Addr()
	modes := strings.Join(s.insecure, ", ")
	if tcp, ok := address.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		log.Warn("INSECURE endpoints on a loopback address: only this machine, or this container, reaches them",
			"address", address.String(), "modes", modes, "to_open", opening(s.section))
		return
	}
	log.Warn("INSECURE endpoints can be reached by other machines", "address", address.String(), "modes", modes)
}
