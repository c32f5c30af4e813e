// SPDX-License-Identifier: Apache-2.0

package process

import "github.com/resilienced/resilienced/bench/load"

// Serve is the argument with which a program is to call ServeChild.
const Serve = "serve-child"

// Kind is what a child serves.
type Kind string

// The kinds.
const (
	// Echo answers every call with a canned answer, with the server options of
	// resilienced, its collector's settings and no interceptors.
	Echo Kind = "echo"
	// Plain does so with gRPC's and Go's defaults.
	Plain Kind = "plain"
	// Memory is a resilienced node on the memory store.
	Memory Kind = "memory"
	// SQLite is a resilienced node on SQLite.
	SQLite Kind = "sqlite"
	// Postgres is a resilienced node on PostgreSQL.
	Postgres Kind = "postgres"
)

// Spec says what a child is to serve.
type Spec struct {
	Kind Kind `json:"kind"`
	// PolicyFile is of a node.
	PolicyFile string `json:"policy_file,omitempty"`
	// DataDir is of a node on SQLite.
	DataDir string `json:"data_dir,omitempty"`
	// DSN is of a node on PostgreSQL.
	DSN string `json:"dsn,omitempty"`
	// Acquire and Report are an echo's answers, encoded.
	Acquire []byte `json:"acquire,omitempty"`
	Report  []byte `json:"report,omitempty"`
}

// question is what the parent asks; the child answers each with one answer.
type question string

const (
	askReading      question = "reading"
	askProfileStart question = "profile-start"
	askProfileStop  question = "profile-stop"
)

// answer is what the child says. The first one carries only the address.
type answer struct {
	Address string       `json:"address,omitempty"`
	Reading load.Reading `json:"reading"`
	Profile []byte       `json:"profile,omitempty"`
	Error   string       `json:"error,omitempty"`
}
