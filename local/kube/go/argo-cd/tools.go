//go:build tools

// Package tools names the commands that are built from this module's pinned versions.
package tools

import _ "github.com/argoproj/argo-cd/v3/cmd"
