//go:build tools

// Package tools pins Pebble, so that go.sum vouches for every module the build downloads.
package tools

import _ "github.com/canonical/pebble/cmd/pebble"
