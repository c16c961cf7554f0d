package app

import (
	"crypto/tls"

	"centrifugo/server/internal/apigrpc"
	"centrifugo/server/internal/config"
)

// planAPIGRPC plans the listener of the API over gRPC.
func (a *App) planAPIGRPC() plan {
	c := a.config.GRPCAPI
	return plan{
		name: "grpc_api", address: address(c.Address, c.Port), endpoints: []string{"gRPC API"}, insecure: a.insecureModes("grpc_api."),
		section: "grpc_api", tls: func(c *config.Config) config.TLS { return c.GRPCAPI.TLS }, tlsBy: true,
		service: func(t *tls.Config) service {
			a.apiGRPC = apigrpc.New(apigrpc.Options{API: a.newAPI("grpc", true), Config: c, TLS: t, Log: a.log})
			return a.apiGRPC
		},
	}
}
