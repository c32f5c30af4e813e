// SPDX-License-Identifier: Apache-2.0

// Package resilienced_test holds what is true of the module as a whole.
package resilienced_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/resilienced/resilienced"

// pkg is what the import rule needs to know of a package, in the form of
// `go list -json`. Test files do not count.
type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// A layer is a folder of the module with what its packages may import.
// Names of folders and modules cover everything below them.
type layer struct {
	folder   string
	may      []string // folders of this module, besides its own
	noStd    []string // packages of the standard library that it may not import
	external []string // modules that it may import; nil means any
	noReach  []string // what it may not reach, over any number of imports
}

var (
	outside   = []string{"os", "net", "database/sql", "syscall"}
	impure    = append([]string{"sync", "context", "log", "math/rand", "crypto/rand"}, outside...)
	grpcAndPB = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto"}
	drivers   = []string{
		"github.com/jackc/pgx", "github.com/lib/pq", "modernc.org/sqlite", "github.com/ncruces/go-sqlite3",
		"zombiezen.com/go/sqlite", "github.com/mattn/go-sqlite3",
	}
	wire = []string{"google.golang.org/grpc", module + "/gen"}
	// What watches the engine is not known to it.
	watching = []string{"github.com/prometheus", "go.opentelemetry.io"}
	none     = []string{}
)

// layers is the import rule, from the bottom up. "statestore!" is that folder
// without what lies below it. A folder that is not here fails the test, so
// that its place is thought about once.
var layers = []layer{
	{folder: "rules", noStd: impure, external: none},
	{folder: "policy", may: []string{"rules"}, noStd: []string{"net", "database/sql"}, external: []string{"go.yaml.in/yaml"}},
	{folder: "statestore!", may: []string{"rules"}, noStd: outside, external: []string{"github.com/fxamacker/cbor"}},
	{folder: "statestore/storetest", may: []string{"statestore!", "rules"}, noReach: append(wire, drivers...)},
	{folder: "statestore/memory", may: []string{"statestore!", "rules"}, noReach: append(wire, drivers...)},
	{folder: "statestore/sqlite", may: []string{"statestore!", "rules"}, noReach: wire},
	{folder: "statestore/postgres", may: []string{"statestore!", "rules"}, noReach: wire},
	{folder: "statestore/transfer", may: []string{"statestore!", "rules"}, noReach: append(wire, drivers...)},
	{
		folder: "engine", may: []string{"policy", "statestore!", "rules"},
		noStd: []string{"database/sql"}, noReach: slices.Concat(wire, drivers, watching),
	},
	{folder: "notify", may: []string{"engine", "statestore!", "policy", "rules"}, noReach: append(wire, drivers...)},
	{folder: "gen", external: append([]string{"github.com/planetscale/vtprotobuf"}, grpcAndPB...)},
	{folder: "telemetry", may: []string{"engine", "policy", "statestore!", "rules", "gen"}, noReach: drivers},
	{
		folder: "server", may: []string{"engine", "policy", "statestore!", "rules", "telemetry", "gen"},
		noStd: []string{"database/sql"}, noReach: drivers,
	},
	{
		folder: "simulate", may: []string{"engine", "policy", "statestore!", "statestore/memory", "rules"},
		noStd: []string{"database/sql"}, noReach: append(wire, drivers...),
	},
	{folder: "clients/go", may: []string{"gen"}, external: grpcAndPB},
	{folder: "node", may: []string{"server", "notify", "telemetry", "engine", "policy", "statestore", "rules", "gen"}},
	{folder: "drill", may: []string{"node", "gen", "clients/go"}},
	{folder: "bench", may: []string{
		"test/pgserver", "node", "server", "telemetry", "engine", "policy", "statestore", "rules", "gen", "clients/go",
	}},
	{folder: "cmd", may: []string{
		"node", "bench", "drill", "simulate", "server", "engine", "statestore/transfer", "policy", "rules", "gen", "clients/go",
	}},
	{folder: "test/pgserver", may: none},
	{folder: "test", may: []string{"bench/page", "node", "server", "engine", "policy", "statestore", "rules", "gen"}},
	{folder: "internal", may: []string{"node", "server", "engine", "policy", "statestore", "rules", "gen", "clients/go"}},
}

// under reports whether path is name or lies below it. A name ending in "!"
// covers itself only.
func under(path, name string) bool {
	if exact, ok := strings.CutSuffix(name, "!"); ok {
		return path == exact
	}
	return path == name || strings.HasPrefix(path, name+"/")
}

// underAny reports whether path lies under one of names.
func underAny(path string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return under(path, name) })
}

// layerOf returns the layer that a folder of the module belongs to.
func layerOf(folder string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return under(folder, l.folder) })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

// violations returns what breaks the import rule in a graph that is closed
// under import, a line for each.
func violations(graph []pkg) []string {
	byPath := make(map[string]pkg, len(graph))
	for _, p := range graph {
		byPath[p.ImportPath] = p
	}
	var found []string
	for _, p := range graph {
		folder, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours {
			continue
		}
		l, known := layerOf(folder)
		if !known {
			found = append(found, folder+" is in no layer of the import rule")
			continue
		}
		for _, imported := range p.Imports {
			if why := l.refuses(imported, byPath[imported].Standard); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", folder, imported, why))
			}
		}
		for _, chain := range reached(byPath, p.ImportPath, l.noReach) {
			found = append(found, fmt.Sprintf("%s reaches %s", folder, chain))
		}
	}
	return found
}

// refuses says why the layer may not import a package, or returns "".
func (l layer) refuses(path string, standard bool) string {
	if folder, ours := strings.CutPrefix(path, module+"/"); ours {
		if under(folder, l.folder) || underAny(folder, l.may) {
			return ""
		}
		return fmt.Sprintf("%s may import only %v of this module", l.folder, l.may)
	}
	if standard {
		if underAny(path, l.noStd) {
			return l.folder + " may not import it"
		}
		return ""
	}
	if l.external != nil && !underAny(path, l.external) {
		return fmt.Sprintf("%s may import only %v from outside", l.folder, l.external)
	}
	return ""
}

// reached returns an import chain from start to each forbidden package.
func reached(byPath map[string]pkg, start string, forbidden []string) []string {
	if len(forbidden) == 0 {
		return nil
	}
	var found []string
	seen := map[string]bool{start: true}
	var walk func(path, chain string)
	walk = func(path, chain string) {
		for _, next := range byPath[path].Imports {
			if seen[next] || byPath[next].Standard {
				continue
			}
			seen[next] = true
			if underAny(next, forbidden) {
				found = append(found, strings.TrimPrefix(chain+" → "+next, " → "))
				continue
			}
			walk(next, chain+" → "+next)
		}
	}
	walk(start, "")
	return found
}

func TestImportRule(t *testing.T) {
	// The test cache sees what this process reads and not what `go list` reads.
	// Walking the tree keeps an old answer from standing for new files.
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatalf("walk: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...").Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("go list: %v\n%s", err, exit.Stderr)
	} else if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var graph []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list's output: %v", err)
		}
		graph = append(graph, p)
	}
	if !slices.ContainsFunc(graph, func(p pkg) bool { return strings.HasPrefix(p.ImportPath, module+"/") }) {
		t.Fatal("go list named no package of this module: nothing was checked")
	}
	for _, v := range violations(graph) {
		t.Error(v)
	}
}

// TestImportRuleCanFail shows that the check above sees what it is there for.
func TestImportRuleCanFail(t *testing.T) {
	const grpc = "google.golang.org/grpc"
	ours := func(folder string, imports ...string) pkg {
		return pkg{ImportPath: module + "/" + folder, Imports: imports}
	}
	// The world around every case, so that its graph is closed.
	world := []pkg{
		{ImportPath: "example.com/carrier", Imports: []string{grpc}},
		{ImportPath: grpc, Imports: []string{"golang.org/x/net"}},
		{ImportPath: "golang.org/x/net"},
		{ImportPath: "github.com/jackc/pgx/v5"},
		{ImportPath: "github.com/prometheus/client_golang/prometheus"},
	}
	for _, std := range []string{"time", "fmt", "os", "os/exec", "sync", "sync/atomic", "log/slog", "math/rand/v2", "context", "net/http"} {
		world = append(world, pkg{ImportPath: std, Standard: true})
	}
	cases := []struct {
		name  string
		graph []pkg
		want  string // part of the one violation; empty: none
	}{
		{"rules use rules and harmless parts of the library", []pkg{ours("rules/admit", "time", "fmt", module+"/rules/breaker"), ours("rules/breaker")}, ""},
		{"rules lock", []pkg{ours("rules/breaker", "sync/atomic")}, "imports sync/atomic"},
		{"rules log", []pkg{ours("rules/breaker", "log/slog")}, "imports log/slog"},
		{"rules draw", []pkg{ours("rules/breaker", "math/rand/v2")}, "imports math/rand/v2"},
		{"rules take a library", []pkg{ours("rules", "golang.org/x/net")}, "from outside"},
		{"rules know records' keeper", []pkg{ours("rules/admit", module+"/statestore"), ours("statestore")}, "rules may import only"},
		{"policy knows the engine", []pkg{ours("policy", module+"/engine"), ours("engine")}, "policy may import only"},
		{"the seam opens a connection", []pkg{ours("statestore", "net/http")}, "imports net/http"},
		{"a store imports its sibling", []pkg{ours("statestore/sqlite", module+"/statestore/memory"), ours("statestore/memory")}, "statestore/sqlite may import only"},
		{"a store imports the seam", []pkg{ours("statestore/postgres", module+"/statestore", "github.com/jackc/pgx/v5", "context"), ours("statestore")}, ""},
		{"the engine opens a store", []pkg{ours("engine", module+"/statestore/memory"), ours("statestore/memory")}, "engine may import only"},
		{"the engine speaks gRPC", []pkg{ours("engine", grpc)}, "engine reaches " + grpc},
		{"the engine carries gRPC in", []pkg{ours("engine", "example.com/carrier")}, "engine reaches example.com/carrier → " + grpc},
		{"the engine counts for Prometheus", []pkg{ours("engine", "github.com/prometheus/client_golang/prometheus")}, "engine reaches github.com/prometheus"},
		{"the engine knows wire types", []pkg{ours("engine", module+"/gen/resilience/v1"), ours("gen/resilience/v1")}, "engine may import only"},
		{"the server opens a store", []pkg{ours("server", module+"/statestore/postgres"), ours("statestore/postgres")}, "server may import only"},
		{"the server names a sentinel", []pkg{ours("server", module+"/statestore", grpc), ours("statestore")}, ""},
		{"the client takes a library", []pkg{ours("clients/go", "golang.org/x/net")}, "from outside"},
		{"the client speaks gRPC", []pkg{ours("clients/go", grpc, "sync", module+"/gen/resilience/v1"), ours("gen/resilience/v1", grpc)}, ""},
		{"a node is run below cmd", []pkg{ours("server", module+"/node"), ours("node")}, "server may import only"},
		{"a command runs a node", []pkg{ours("cmd/resilienced", module+"/node", "os"), ours("node", module+"/statestore/sqlite"), ours("statestore/sqlite")}, ""},
		{"a folder without a place", []pkg{ours("helpers", "fmt")}, "in no layer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := violations(append(slices.Clone(world), c.graph...))
			// A forbidden folder may also be named as reached; one line must be the wanted one.
			hit := slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, c.want) })
			if c.want == "" && len(got) > 0 || c.want != "" && !hit {
				t.Errorf("violations = %q, want one with %q", got, c.want)
			}
		})
	}
}
