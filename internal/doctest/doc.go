// Package doctest runs the documentation: every fenced block of README.md and
// docs is executed or checked as it stands, in the order of its document.
//
// Each document has a directory of its own, with the server as centrifugo in
// PATH. README.md has a copy of the repository there, docs/library.md,
// docs/grpc.md, docs/proxy.md, docs/scale.md, docs/tokens.md and docs/consumers.md a link to it. The word after the fence
// names the language and decides what happens:
//
//	sh               runs; variables last until the end of the document
//	json, yaml, toml a configuration: must pass checkconfig --strict
//	go               a whole program: compiled inside this module, unless it has a file
//	js, php, python  a whole program: runs with its interpreter
//	nginx            the body of a server file: nginx -t
//	haproxy, caddyfile configurations of proxies: TestProxies of the server runs them
//	ini              a systemd unit: systemd-analyze verify
//	text, or nothing a diagram: left alone
//
// Attributes follow the language. Renderers of Markdown ignore them.
//
//	server       starts in the background and serves; an earlier server ends
//	background   goes on beside the following blocks
//	until=WORD   wait until a background block has printed WORD
//	output       what the block before has printed, output=background the last one in
//	             the background, output=server the server; of JSON, names, times and random
//	             identifiers may differ, and "…" stands for anything
//	file=NAME    is written to a file, for the following blocks; not run by itself
//	claims=KIND  the claims of a token that checktoken or checksubtoken accepts; KIND
//	             is connection or subscription
//	needs=NAME   is skipped where that program is not installed
//	transcript   a conversation over WebSocket, replayed against the server byte for byte;
//	             transcript=protobuf in hexadecimal, transcript=?QUERY with a query
//	skip=REASON  is not run; REASON is one of those in skipReasons
//
// Port 8000 is replaced by a free port, in the text and, through the environment,
// in the server; so are 10000, the port of the API over gRPC, and, in the text, 3000 and 3001,
// the ports of backends, and 5432, that of a PostgreSQL server which docs/consumers.md has. A block whose interpreter is not installed is skipped, which the
// test says; the variable DOCTEST_REQUIRE, such as "node python3", makes that an
// error.
package doctest
