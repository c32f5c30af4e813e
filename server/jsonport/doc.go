// SPDX-License-Identifier: Apache-2.0

// Package jsonport is the port for everybody without a gRPC client: the same
// services over HTTP/1.1, with JSON bodies, by the Connect protocol.
//
//	POST /resilience.v1.PermitService/Acquire   content-type: application/json
//
//	net/http ── guard.go ── port.go ── body.go ── connect-go ── frame.go
//	  limits     Host,       path,      1 MiB,     timeouts,     JSON ↔ proto
//	             Origin      method,    complete   gzip,            │
//	                         type                  errors       calls.go
//	                                                                │
//	               the same interceptors and methods as gRPC ── server
//
// Bodies. A request has the fields of the .proto file, under their names there
// (permit_id) or in camel case (permitId); durations are strings ("1.5s"),
// instants RFC 3339, bytes base64, enums names, 64-bit integers numbers or
// strings. A field that the message does not have is an error, as is one that
// is sent twice, since a typing error must not be taken for silence.
//
// An answer has the names of the .proto file. What is not set is not there:
// absent means zero, false, empty or none, so that `jq .reason` says null and
// not "DECISION_REASON_UNSPECIFIED". Fields that are always set, such as
// decision, are always there. 64-bit integers are strings, as in every protobuf
// JSON, since not every reader's numbers hold them.
//
// Errors are {"code", "message", "details"}. Each detail has its type, its
// encoding, and under "debug" the same in JSON: the fields at fault, the reason,
// when to try again. The header Retry-After says the last in seconds.
//
// Methods that answer with a stream take content-type application/connect+json,
// whose messages have five bytes before them. gRPC-Web is spoken too; gRPC
// itself has its own port. There are no calls by GET and no CORS: a web page of
// another origin can call nothing here.
package jsonport
