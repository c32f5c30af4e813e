// SPDX-License-Identifier: Apache-2.0

// Package prices holds what models cost: tables of names and prices in whole
// micro-USD, the table that comes with the product, and the import of others.
//
// A price is for exactly one name, such as openai/gpt-4o. No prefix is taken
// off, no date is guessed, and what is absent is unknown and never zero: a
// wrong price is worse than none, since a cap on money trusts it. Where a model
// has several prices for the same tokens, the dearest is the one to write down.
//
// Nothing here reads a clock or a network. A table says of which day it is, and
// whoever uses it can say how old that is.
package prices
