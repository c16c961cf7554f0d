package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const protocolDir = "../.."

// TestGeneratedCodeIsCurrent fails when the committed files differ from what the
// generator makes of the schema and the rules.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	files, err := generate(protocolDir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(protocolDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is stale; want it as generated: run go generate ./protocol", name)
		}
	}
	for _, dir := range []string{".", "clientcodec"} {
		committed, err := filepath.Glob(filepath.Join(protocolDir, dir, "*_gen.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range committed {
			if files[filepath.ToSlash(filepath.Join(dir, filepath.Base(path)))] == nil {
				t.Errorf("%s is not made by the generator; want it deleted", path)
			}
		}
	}
}

// TestNewField checks that a field added to the schema reaches both directions of
// both encodings with no other edit.
func TestNewField(t *testing.T) {
	files, err := generate(editedSchema(t, "message RPCResult {\n", "message RPCResult {\n  uint32 new_field = 9;\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"json_append_reply_gen.go":           "w.uint(`,\"new_field\":`, uint64(m.NewField))",
		"clientcodec/json_decode_gen.go":     "case \"new_field\":\n\t\t\tm.NewField = uint32(r.Uint(math.MaxUint32))",
		"protobuf_append_reply_gen.go":       "w.uint(9, uint64(m.NewField))",
		"clientcodec/protobuf_decode_gen.go": "case 9:\n\t\t\tm.NewField = r.Uint32()",
	} {
		if !strings.Contains(string(files[name]), want) {
			t.Errorf("%s does not contain %q; want it to", name, want)
		}
	}
}

// TestRulesMustMatch checks that a rule cannot outlive its field or message.
func TestRulesMustMatch(t *testing.T) {
	for _, edit := range [][2]string{
		{"string data_b64 = 3;", ""},
		{"message EmulationRequest {", "message Emulation {"},
		{"repeated string vals = 5;", "repeated uint32 vals = 5;"},
	} {
		if _, err := generate(editedSchema(t, edit[0], edit[1])); err == nil {
			t.Errorf("generate after replacing %q by %q succeeded; want an error", edit[0], edit[1])
		}
	}
}

// editedSchema returns a directory with a copy of the schema in which the first
// old is replaced.
func editedSchema(t *testing.T, old, replacement string) (dir string) {
	t.Helper()
	schema, err := os.ReadFile(filepath.Join(protocolDir, "client.proto"))
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(schema), old, replacement, 1)
	if edited == string(schema) {
		t.Fatalf("client.proto does not contain %q; want it to", old)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "client.proto"), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
