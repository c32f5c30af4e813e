// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package sqlite

func diskTasks() map[string]func(string) error { return nil }
