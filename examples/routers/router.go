package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
)

// routers mount the same two endpoints, in the way of each.
var routers = map[string]func(*chat) http.Handler{"net/http": standard, "chi": behindChi, "echo": behindEcho}

func standard(c *chat) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /connection/websocket", c.sockets)
	mux.HandleFunc("POST /chats/{name}", func(w http.ResponseWriter, r *http.Request) { c.say(w, r, r.PathValue("name")) })
	return authenticate(mux)
}

func behindChi(c *chat) http.Handler {
	r := chi.NewRouter()
	r.Use(authenticate)
	r.Method(http.MethodGet, "/connection/websocket", c.sockets)
	r.Post("/chats/{name}", func(w http.ResponseWriter, r *http.Request) { c.say(w, r, chi.URLParam(r, "name")) })
	return r
}

func behindEcho(c *chat) http.Handler {
	e := echo.New()
	e.Use(echo.WrapMiddleware(authenticate))
	e.GET("/connection/websocket", echo.WrapHandler(c.sockets))
	e.POST("/chats/:name", func(ctx echo.Context) error {
		c.say(ctx.Response(), ctx.Request(), ctx.Param("name"))
		return nil
	})
	return e
}
