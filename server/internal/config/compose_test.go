package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the test reads of a compose file.
type composeFile struct {
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Build       any
	Command     []string
	Environment map[string]string
	Volumes     []string
	DependsOn   any    `yaml:"depends_on"`
	StopGrace   string `yaml:"stop_grace_period"`
}

// nodes are the services that run this server: those that are built here.
func (f composeFile) nodes() (names []string) {
	for name, s := range f.Services {
		if s.Build != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// composeVariable is a variable of compose without a default, such as ${SECRET:?}.
var composeVariable = regexp.MustCompile(`\$\{[A-Z_]+(:\?)?\}`)

// The nodes of the compose files start: the configuration that they mount, with their environment, has
// no unknown key or variable, and no value that is refused or warned of.
func TestComposeFiles(t *testing.T) {
	for _, name := range []string{"deploy/compose/compose.yaml", "examples/cluster/compose.yaml"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("../../..", filepath.FromSlash(name))
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var compose composeFile
			if err := yaml.Unmarshal(text, &compose); err != nil {
				t.Fatal(err)
			}
			nodes := compose.nodes()
			if len(nodes) < 2 {
				t.Fatalf("nodes = %v; want two or more", nodes)
			}
			for _, problem := range compose.references(filepath.Dir(file)) {
				t.Error(problem)
			}
			for _, node := range nodes {
				s := compose.Services[node]
				cfg, warnings, err := Load(Options{File: s.configuration(filepath.Dir(file)), FileExplicit: true, Environ: s.environ()})
				if err == nil {
					err = cfg.CheckBuilt()
				}
				if err != nil || len(warnings) > 0 {
					t.Fatalf("%s: error %v, warnings %v; want none", node, err, warnings)
				}
				if cfg.Engine.Type != "redis" {
					t.Errorf("%s: engine.type = %q; want redis, since there are several nodes", node, cfg.Engine.Type)
				}
				if grace, err := time.ParseDuration(s.StopGrace); s.StopGrace != "" && (err != nil || grace <= cfg.Shutdown.Timeout) {
					t.Errorf("%s: stop_grace_period = %s; want more than shutdown.timeout, %v", node, s.StopGrace, cfg.Shutdown.Timeout)
				}
			}
		})
	}
}

// environ returns the environment of a service, with a text for the variables of the person who starts it.
func (s composeService) environ() (list []string) {
	for key, value := range s.Environment {
		list = append(list, key+"="+composeVariable.ReplaceAllString(value, "a text that is long enough"))
	}
	return list
}

// configuration returns the file in dir that the service mounts as the one that its command names.
func (s composeService) configuration(dir string) string {
	for i, argument := range s.Command[:max(0, len(s.Command)-1)] {
		if argument != "-c" {
			continue
		}
		for _, volume := range s.Volumes {
			if source, target, _ := strings.Cut(volume, ":"); strings.TrimSuffix(target, ":ro") == s.Command[i+1] {
				return filepath.Join(dir, source)
			}
		}
	}
	return "no file is mounted for the command"
}

// references returns what the services refer to and is not there: files, volumes, other services.
func (f composeFile) references(dir string) (problems []string) {
	for name, s := range f.Services {
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			_, named := f.Volumes[source]
			if _, err := os.Stat(filepath.Join(dir, source)); !named && (!strings.HasPrefix(source, "./") || err != nil) {
				problems = append(problems, name+": no volume or file "+source)
			}
		}
		var others []string
		switch list := s.DependsOn.(type) {
		case []any:
			for _, other := range list {
				others = append(others, other.(string))
			}
		case map[string]any:
			others = sortedKeys(list)
		}
		for _, other := range others {
			if _, ok := f.Services[other]; !ok {
				problems = append(problems, name+": no service "+other)
			}
		}
	}
	return problems
}
