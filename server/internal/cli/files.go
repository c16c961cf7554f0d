package cli

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func (env Env) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a directory of static files, for development",
		Args:  cobra.NoArgs,
	}
	dir := cmd.Flags().StringP("dir", "d", "./", "directory to serve")
	address := cmd.Flags().StringP("address", "a", "127.0.0.1", "address to bind to")
	port := cmd.Flags().IntP("port", "p", 3000, "port to bind to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		root, err := os.OpenRoot(*dir) // symbolic links can not lead out of it
		if err != nil {
			return fmt.Errorf("opening directory: %w", err)
		}
		defer func() { _ = root.Close() }()
		return env.serveHTTP(cmd.Context(), *address, *port, withoutHidden(http.FileServerFS(root.FS())))
	}
	return cmd
}

// withoutHidden keeps names with a leading dot, such as .env and .git, out of reach.
func withoutHidden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/.") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
