// SPDX-License-Identifier: Apache-2.0

// Package strict reads the YAML files that people write for the service, and
// says of everything that is wrong with them where it is and what to do.
//
// A Decoder reads one document and collects its problems, each with file, line,
// column, path and a cure, and with the word that was most likely meant. What
// YAML allows and no such file needs is refused: further documents, anchors,
// aliases, merge keys, tags, keys that are there twice, deep nesting.
//
// A Schema is a table of fields. It reads a mapping, and the JSON Schema that
// editors use comes from the same table, so that the two cannot part.
package strict
