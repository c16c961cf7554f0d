module centrifugo

go 1.26.0

require (
	github.com/KimMachineGun/automemlimit v1.0.1 // the memory limit of the container, of cgroups v1 and v2
	github.com/bufbuild/protocompile v0.14.1 // tests: compiles client.proto without a binary
	github.com/getkin/kin-openapi v0.153.0 // tests: validates docs/openapi.json, and answers against it
	github.com/gobwas/glob v1.1.0 // origin and channel patterns, in the dialect of existing configurations
	github.com/gobwas/httphead v0.1.0 // WebSocket extension headers; comes with gobwas/ws
	github.com/gobwas/ws v1.5.0 // WebSocket cipher and handshake for servers without a goroutine per connection
	github.com/golang-jwt/jwt/v5 v5.3.1 // tokens; strict about algorithms
	github.com/google/pprof v0.0.0-20261016150608-1facf8f91b50 // bench: reads CPU profiles
	github.com/joho/godotenv v1.5.1 // .env files
	github.com/klauspost/compress v1.20.3 // deflate writers that are cheap to reset
	github.com/pelletier/go-toml/v2 v2.4.3 // TOML configuration
	github.com/prometheus/client_golang v1.25.0 // metrics
	github.com/prometheus/client_model v0.6.3 // metrics as data, for the API info
	github.com/spf13/cobra v1.10.2 // command line and completion
	github.com/spf13/pflag v1.0.9 // cobra's flags
	go.uber.org/goleak v1.3.0 // tests: no goroutine is left
	go.yaml.in/yaml/v3 v3.0.6 // YAML configuration
	golang.org/x/sys v0.49.0 // epoll
	google.golang.org/protobuf v1.36.12 // protowire; the standard runtime in benchmarks
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-openapi/jsonpointer v0.22.5 // indirect
	github.com/go-openapi/swag/jsonname v0.25.5 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pbnjay/memory v0.0.0-20210728143218-7b4eea64cf58 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/sync v0.23.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)
