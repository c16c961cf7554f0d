package cli

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
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
		return env.serveHTTP(cmd.Context(), *address, *port, http.FileServerFS(visibleFiles{root.FS()}))
	}
	return cmd
}

// visibleFiles is the file system of a tree without names with a leading dot, such as
// .env and .git, without anything that is neither a file nor a directory, and without
// links that lead to neither or out of the tree. Listings omit what cannot be opened.
type visibleFiles struct{ fs.FS }

// Open implements fs.FS.
func (v visibleFiles) Open(name string) (fs.File, error) {
	refused := &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	if !v.visible(name) {
		return nil, refused
	}
	f, err := v.FS.Open(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // package http tells the cases apart
	}
	if dir, ok := f.(fs.ReadDirFile); ok {
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return visibleDir{dir, v, name}, nil
		}
	}
	return f, nil
}

// visible checks the file before it is opened, because opening a pipe blocks.
func (v visibleFiles) visible(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(element, ".") && element != "." {
			return false
		}
	}
	info, err := fs.Stat(v.FS, name)
	return err == nil && (info.Mode().IsRegular() || info.IsDir())
}

// visibleDir lists the entries that visibleFiles can open.
type visibleDir struct {
	fs.ReadDirFile
	files visibleFiles
	name  string
}

// ReadDir implements fs.ReadDirFile. It may return fewer than n entries.
func (d visibleDir) ReadDir(n int) ([]fs.DirEntry, error) {
	for {
		all, err := d.ReadDirFile.ReadDir(n)
		seen := slices.DeleteFunc(all, func(e fs.DirEntry) bool { return !d.files.visible(path.Join(d.name, e.Name())) })
		if n <= 0 || err != nil || len(seen) > 0 {
			return seen, err //nolint:wrapcheck // io.EOF means the end
		}
	}
}
