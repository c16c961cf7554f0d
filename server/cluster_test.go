package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"centrifugo/internal/testprocess"
)

// TestClusterExample runs the example of two nodes as it stands, on free ports.
func TestClusterExample(t *testing.T) {
	cmd := exec.Command("../examples/cluster/run.sh", "check")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	for _, name := range []string{"REDIS_PORT", "PORT1", "PORT2"} {
		cmd.Env = append(cmd.Env, name+"="+strconv.Itoa(testprocess.FreePort(t)))
	}
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run.sh check: %v\n%s", err, output)
	}
	want := regexp.MustCompile(`^published through node1: \{"result":\{"offset":1,"epoch":"[A-Za-z]{8}"\}\}
history from node2: \{"result":\{"publications":\[\{"data":\{"text":"hello"\},"offset":1[^\n]*\n$`)
	if !want.Match(output) {
		t.Errorf("run.sh check printed\n%s, want a match of\n%s", output, want)
	}
}
