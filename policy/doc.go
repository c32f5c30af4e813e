// SPDX-License-Identifier: Apache-2.0

// Package policy turns what an operator wrote into the numbers that the rules
// work with: it reads a YAML file, checks all of it, and says of every target,
// chain and run what holds for it, and why.
//
// The example in deploy/policies/example.yaml has every field once and is
// normative for the shape; the numbers of the presets are those of semantics
// §1.1. A file is taken whole or not at all. What is unknown, doubtful or
// without effect is an error with its line, column and path, and all errors
// come at once. What is allowed and only most likely not meant is told by
// Warnings. Schema is the JSON Schema for editors; package strict reads the
// file and makes that schema from the same tables.
//
// # Which value holds
//
// For each field of a target, the first of these that says something:
//
//	drill namespaces (Options.Exact)   jitter, margin and ramp are off
//	dry_run: true                      no rule is enforced
//	the entry of targets               the most specific one that matches, and only that
//	defaults                           for all targets, also those that no entry matches
//	the preset of the entry            llm for targets that no entry matches
//
// Fields are merged one by one, down to the leaves: an entry that sets
// retry.max_attempts keeps everything else that defaults and preset say of
// retry. Less specific entries are not merged in. Lists of classification
// rules are joined instead: those of the entry, then those of the file.
//
// Two fields follow from others unless they are set: retry.task_budget is
// raised to retry.max_attempts − 1 where an entry or defaults raise the
// latter, so that one operation may use its attempts, but not for kind action;
// max_hold is never less than one lease.
//
// # Which price holds
//
// For a target, the first of these that says something, as a whole:
//
//	price                  of its entry or of defaults
//	prices.aliases         the price of another name, said by the operator
//	prices.models          exactly the target's name
//	the default table      exactly the target's name; not with prices.table: none
//
// Else the price is unknown, which is never zero. No part of a name is taken
// off and no date is guessed. Drills have no default table unless they ask for
// it, so that which prices are known does not change with the product.
//
// # Which entry matches
//
// In a match, * stands for any run of characters, also of none and also of
// slashes, and ? for one character. There are no classes, no alternatives and
// no way to quote a wildcard. An entry without wildcards comes before all
// others. Among patterns, the one with more characters before its first
// wildcard comes first, then the one with more characters that stand for
// themselves, then the one with more question marks, then the one written
// first. Two entries with the same pattern are an error.
//
// # Targets that no entry matches
//
// They have kind default, the numbers of llm, and no concurrency limit unless
// defaults give one. Their operations are not idempotent and not retried
// unless the caller declares them idempotent. unknown_targets: deny refuses
// them.
package policy
