package config

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxPEMFile bounds the file a PEM value may name.
const maxPEMFile = 1 << 20

// PEM is a certificate or key given in one of three forms, tried in this order:
// the PEM text itself, base64 of the PEM text, the path of a file with the PEM
// text (server.md 6.2).
type PEM string

// Bytes returns the PEM text; nil without error when the value is empty. The
// file form reads the file on every call. The error never contains the value,
// since that may be a private key.
func (p PEM) Bytes() ([]byte, error) {
	if p == "" {
		return nil, nil
	}
	if isPEM([]byte(p)) {
		return []byte(p), nil
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(p))); err == nil && isPEM(raw) {
		return raw, nil
	}
	if len(p) > 4096 || strings.ContainsAny(string(p), "\n\x00") {
		return nil, errors.New("neither PEM, nor base64 of PEM, nor a file path")
	}
	if info, err := os.Stat(string(p)); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("the file path does not lead to a regular file") // opening a pipe would block
	}
	f, err := os.Open(string(p))
	if err != nil {
		// The path is left out of the error: it may be a damaged key.
		return nil, fmt.Errorf("neither PEM nor base64 of PEM, and as a file path: %w", pathCause(err))
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxPEMFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading PEM file: %w", pathCause(err))
	case len(raw) > maxPEMFile:
		return nil, fmt.Errorf("PEM file exceeds %d bytes", maxPEMFile)
	case !isPEM(raw):
		return nil, errors.New("the file holds no PEM")
	}
	return raw, nil
}

func isPEM(raw []byte) bool {
	block, _ := pem.Decode(raw)
	return block != nil
}

func pathCause(err error) error {
	var perr *fs.PathError
	if errors.As(err, &perr) {
		return perr.Err
	}
	return err
}
