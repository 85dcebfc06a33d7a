//go:build tools

// Package tools names the commands that are built from this module's pinned versions.
package tools

import _ "github.com/argoproj/argo-rollouts/cmd/rollouts-controller"
