package engine

import "triggerd/internal/admin"

// What an engine tells and is told, as admin.Daemon has it.
type (
	Status       = admin.Status
	StreamStatus = admin.StreamStatus
	StreamStats  = admin.StreamStats
	RuleStatus   = admin.RuleStatus
	RuleDetail   = admin.RuleDetail
	TimerStatus  = admin.TimerStatus
	WindowCount  = admin.WindowCount
	ActionStatus = admin.ActionStatus
	Evidence     = admin.Evidence
	StoreStatus  = admin.StoreStatus
	ReloadStatus = admin.ReloadStatus
	Stats        = admin.Stats
	Query        = admin.Query
	Delivery     = admin.Delivery
	DeadLetter   = admin.DeadLetter
)

var (
	ErrUnknown   = admin.ErrUnknown
	ErrAmbiguous = admin.ErrAmbiguous
)

var _ admin.Daemon = (*Engine)(nil)
