package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// newCache returns a cache in a directory, which it creates, or in memory if dir is empty.
func newCache(dir string, log *slog.Logger) (autocert.Cache, error) {
	if dir == "" {
		return &memoryCache{entries: make(map[string][]byte)}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // it has private keys
		return nil, fmt.Errorf("creating the directory: %w", err)
	}
	return loggedCache{autocert.DirCache(dir), log}, nil
}

// checkCache returns an error if newCache could not create a directory, whatever the permissions of the process.
func checkCache(dir string) error {
	for at := filepath.Clean(dir); dir != ""; at = filepath.Dir(at) {
		switch info, err := os.Stat(at); {
		case err == nil && info.IsDir():
			return nil
		case err == nil:
			return fmt.Errorf("%s is not a directory", at)
		case filepath.Dir(at) == at:
			return fmt.Errorf("there is no directory %s", at)
		}
	}
	return nil
}

// stored reports whether a cache has a certificate of a host that has not expired.
func stored(cache autocert.Cache, host string) bool {
	text, err := cache.Get(context.Background(), host)
	if err != nil {
		return false
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return false
		}
		if block.Type == "CERTIFICATE" { // the first one is that of the host
			leaf, err := x509.ParseCertificate(block.Bytes)
			return err == nil && time.Now().Before(leaf.NotAfter)
		}
	}
}

// loggedCache logs the errors of writing, which autocert ignores.
type loggedCache struct {
	autocert.Cache

	log *slog.Logger
}

// Put implements autocert.Cache.
func (c loggedCache) Put(ctx context.Context, key string, data []byte) error {
	err := c.Cache.Put(ctx, key, data)
	if err != nil {
		c.log.Error("TLS certificate not stored in cache_dir", "error", err)
	}
	return err //nolint:wrapcheck // autocert compares it
}

// memoryCache lasts as long as the process. It keeps the key of the account, so that all hosts have
// the same account.
type memoryCache struct {
	// Guarded by mu.
	mu      sync.Mutex
	entries map[string][]byte
}

// Get implements autocert.Cache.
func (c *memoryCache) Get(_ context.Context, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if data, ok := c.entries[key]; ok {
		return data, nil
	}
	return nil, autocert.ErrCacheMiss
}

// Put implements autocert.Cache.
func (c *memoryCache) Put(_ context.Context, key string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[key] = data
	return nil
}

// Delete implements autocert.Cache.
func (c *memoryCache) Delete(_ context.Context, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, key)
	return nil
}
