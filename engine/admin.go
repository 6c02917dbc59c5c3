package engine

import "triggerd/internal/admin"

var _ admin.Daemon = (*Engine)(nil)
