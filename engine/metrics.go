package engine

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"triggerd/internal/admin"
	"triggerd/internal/outbox"
)

// instruments measure how long things took, which a status cannot tell later.
// All other metrics are read from a Status when they are collected.
type instruments struct {
	attempt *prometheus.HistogramVec // by kind and outcome
	wait    *prometheus.HistogramVec // by kind
	whole   *prometheus.HistogramVec // by action
	each    *prometheus.HistogramVec // by action
	commit  prometheus.Histogram
	group   prometheus.Histogram
}

func newInstruments() *instruments {
	return &instruments{
		// By kind and not by action: there may be thousands of actions, and
		// each label makes a dozen series.
		attempt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "triggerd_attempt_duration_seconds", Help: "How long attempts to deliver took, by kind of action and outcome.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"kind", "outcome"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "triggerd_first_attempt_wait_seconds", Help: "From when a firing was planned to its first attempt, by kind of action; attempts at an endpoint that is down are not counted.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 300, 1800, 7200, 43200},
		}, []string{"kind"}),
		// By action, which is whom it matters to; with few buckets.
		whole: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "triggerd_arrival_to_delivery_seconds", Help: "From when a change arrived from the server to when what it fired was delivered, by action. What a rule's time fields wait for is part of it.",
			Buckets: []float64{.005, .025, .1, .5, 1, 5, 30, 300, 3600},
		}, []string{"action"}),
		each: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "triggerd_action_attempt_duration_seconds", Help: "How long attempts to deliver took, by action.",
			Buckets: []float64{.005, .025, .1, .25, 1, 5, 30},
		}, []string{"action"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "triggerd_commit_duration_seconds", Help: "How long it took to get firings and the position to disk.",
			Buckets: prometheus.ExponentialBuckets(.0001, 2.5, 12),
		}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "triggerd_commit_firings", Help: "Firings that were written to disk together.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 9),
		}),
	}
}

// observeCommit records the time and size of a commit.
func (m *instruments) observeCommit(took time.Duration, firings int) {
	m.commit.Observe(took.Seconds())
	m.group.Observe(float64(firings))
}

var outcomes = [outbox.Outcomes]string{outbox.Delivered: "delivered", outbox.Retried: "retried", outbox.GivenUp: "given_up"}

// meter measures the attempts of an action.
type meter struct {
	attempt [outbox.Outcomes]prometheus.Observer
	each    prometheus.Observer
	wait    prometheus.Observer
	whole   prometheus.Observer
}

// meterFor returns the meter of an action, which is of a kind.
func (m *instruments) meterFor(kind, action string) *meter {
	one := &meter{each: m.each.WithLabelValues(action), wait: m.wait.WithLabelValues(kind), whole: m.whole.WithLabelValues(action)}
	for i, name := range outcomes {
		one.attempt[i] = m.attempt.WithLabelValues(kind, name)
	}
	return one
}

// Waited implements outbox.Meter.
func (m *meter) Waited(d time.Duration) { m.wait.Observe(d.Seconds()) }

// Delivered implements outbox.Meter.
func (m *meter) Delivered(d time.Duration) { m.whole.Observe(d.Seconds()) }

// Attempted implements outbox.Meter.
func (m *meter) Attempted(what outbox.Outcome, took time.Duration) {
	m.attempt[what].Observe(took.Seconds())
	m.each.Observe(took.Seconds())
}

// Collector returns the engine's metrics. All names begin with "triggerd_".
// Labels are streams, rules, actions, kinds and outcomes, never keys. Register
// it with one registry only.
func (e *Engine) Collector() prometheus.Collector { return collector{e} }

type collector struct{ e *Engine }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("triggerd_"+name, help, labels, nil)
}

var (
	descConnected     = describe("replication_connected", "1 while the stream is being read, 0 while connecting, synchronizing or waiting to connect again.", "stream")
	descOffset        = describe("replication_offset_bytes", "Replication offset of the last byte received.", "stream")
	descHandledOffset = describe("replication_handled_offset_bytes", "Replication offset up to which all is matched, and its firings planned.", "stream")
	descBehindBytes   = describe("replication_behind_bytes", "Bytes of the stream that are received and not handled.", "stream")
	descBehind        = describe("replication_behind_seconds", "How long ago the oldest bytes came that are received and not handled; 0 if all are.", "stream")
	descServerBytes   = describe("replication_unreceived_bytes", "Bytes that the server had for triggerd when it was last asked, and that are still not received.", "stream")
	descSpoolBytes    = describe("spool_size_bytes", "What the spool takes: what is received and still needed.", "stream")
	descSpoolLimit    = describe("spool_limit_bytes", "What the spool may take.", "stream")
	descSpoolFull     = describe("spool_full", "1 while nothing is written to the spool: it is at its limit, or the disk is full.", "stream")
	descSavedValues   = describe("saved_values_size_bytes", "Bytes of the files that have the values of keys over a restart.", "stream")
	descForgotten     = describe("values_forgotten_total", "Times that the values of keys could not be restored at a start.", "stream")
	descSpoolGivenUp  = describe("spool_given_up_bytes_total", "Bytes that the spool has let go for want of room though the next start may need them.", "stream")
	descSavedOffset   = describe("replication_saved_offset_bytes", "Replication offset up to which everything is on disk: where the next start resumes.", "stream")
	descLag           = describe("replication_lag_bytes", "Bytes of the stream that are received and not yet on disk as firings and position.", "stream")
	descBacklog       = describe("backlog_bytes", "Bytes of its stream that the server keeps for replicas that come back.", "stream")
	descHeadroom      = describe("backlog_headroom_seconds", "For how long triggerd could be away without a gap, as fast as the server was written to in the last minute; +Inf if it was not.", "stream")
	descDataAge       = describe("replication_data_age_seconds", "Time since the server last sent anything; servers send something every 10 seconds.", "stream")
	descConnects      = describe("replication_connects_total", "Times that triggerd attached to the server.", "stream")
	descResyncs       = describe("replication_resyncs_total", "Resynchronizations, by kind: full (a snapshot) or partial (from the backlog).", "stream", "kind")
	descGaps          = describe("replication_gaps_total", "Full resynchronizations that left commands unseen.", "stream")
	descRewinds       = describe("replication_rewinds_total", "Times that the stream went back, before commands that were read and that a new primary does not have.", "stream")
	descRewoundBytes  = describe("replication_rewound_bytes_total", "Bytes of the commands that were read and lost in a failover.", "stream")
	descForeign       = describe("replication_foreign_total", "Times that a server was waited out whose history is another than that of what was read.", "stream")
	descRewound       = describe("firings_rewound_total", "Firings that waited when the commands that made them were lost in a failover, by what became of them: delivered, marked; or cancelled.", "outcome")
	descStreamErrors  = describe("replication_errors_total", "Streams that were cut, and snapshots that were drained, because they could not be parsed.", "stream", "kind")
	descRecords       = describe("stream_records_total", "Commands and keys of snapshots read.", "stream")
	descStreamBytes   = describe("stream_read_bytes_total", "Bytes of the commands read.", "stream")
	descEvents        = describe("events_total", "Changes of keys that the records made.", "stream")

	descMirrorKeys  = describe("mirror_keys", "Keys that are kept for rules that need values or exact events.", "stream")
	descMirrorBytes = describe("mirror_size_bytes", "Memory that the kept keys take, estimated.", "stream")
	descValuesLost  = describe("mirror_values_lost_total", "Times that a kept value became unknown, by reason.", "stream", "reason")

	descMatches       = describe("rule_matches_total", "Events that a rule matched.", "rule")
	descFirings       = describe("rule_firings_total", "Deliveries that a rule planned, one for each match and action.", "rule")
	descSkipped       = describe("rule_skipped_total", "Matches that planned nothing, by reason: paused or dry_run.", "rule", "reason")
	descSuppressed    = describe("rule_suppressed_total", "Matches and firings that a rule's time fields held back, by reason.", "rule", "reason")
	descStates        = describe("rule_time_states", "Values by which a rule with time fields counts or waits.", "rule")
	descArmed         = describe("rule_timers", "Timers of a rule with time fields that run.", "rule")
	descOpen          = describe("rule_open", "Keys of which a rule has fired and the end has not come: see until.", "rule")
	descNextRun       = describe("rule_next_run_timestamp_seconds", "When the schedule of a rule has its next run.", "rule")
	descDropped       = describe("rule_dropped_total", "Firings of a rule that were dropped because too many waited.", "rule")
	descNotNumber     = describe("rule_not_a_number_total", "Events about which a rule's condition did not decide, since something is no number.", "rule")
	descConditionErrs = describe("rule_condition_errors_total", "Events for which a rule's condition could not be evaluated.", "rule")
	descConditionTime = describe("rule_condition_seconds_total", "Time that evaluations of a rule's condition took of the goroutine that reads the stream. An estimate from a sample.", "rule")
	descRulePaused    = describe("rule_paused", "1 while the rule is paused.", "rule")

	descAttempts       = describe("attempts_total", "Attempts to deliver, by action and outcome: delivered, retried (will be tried again) or given_up (now a dead letter).", "action", "outcome")
	descClasses        = describe("attempts_by_class_total", "Attempts to deliver, by action and what they said of the endpoint: ok, unreached, timeout (no answer), status (refused), asked (to wait), permanent (refused for good), none.", "action", "class")
	descStatuses       = describe("attempts_by_status_total", "Attempts to deliver, by action and class of the answer's status: 1xx to 5xx, exit (a program has ended, however), none (no answer).", "action", "status")
	descAbandoned      = describe("attempts_abandoned_total", "Attempts that did not end within their timeout and some seconds more, and were left to themselves.", "action")
	descSuperseded     = describe("superseded_total", "Firings of an action with latest_only that a later one of the same key took the place of.", "action")
	descAttemptSeconds = describe("attempt_seconds_total", "Time that the attempts of an action took, together.", "action")
	descPending        = describe("pending_firings", "Firings that wait to be delivered.", "action")
	descPendingLimit   = describe("pending_firings_limit", "Firings that may wait, over all actions: max_pending.")
	descOldest         = describe("oldest_pending_age_seconds", "Age of the oldest firing that waits, 0 if none does.", "action")
	descInFlight       = describe("attempts_in_flight", "Attempts that are being made.", "action")
	descBackingOff     = describe("backing_off_lanes", "Keys whose next firing waits for its next attempt after a failure.", "action")
	descBreaker        = describe("breaker_open", "1 while an action's endpoint is down or suspect: nothing succeeds, and few attempts are made.", "action")
	descState          = describe("endpoint_state", "1 for the state that an action's endpoint is in: up, slowed, suspect, down or held.", "action", "state")
	descWindow         = describe("endpoint_window", "Attempts at once that an action's endpoint gets at present.", "action")
	descFailing        = describe("failing_lanes", "Keys whose last attempt failed, of those that are in memory.", "action")
	descSuccessAge     = describe("endpoint_since_success_seconds", "Time since an action last delivered something; not there before it has.", "action")
	descActionPaused   = describe("action_paused", "1 while the action is paused.", "action")
	descDead           = describe("dead_letters", "Firings that were given up and are kept.")

	descStoreBytes   = describe("store_size_bytes", "Disk space that the store takes.")
	descStoreFree    = describe("store_free_bytes", "Disk space that is left where the store is.")
	descStoreFull    = describe("store_full", "1 while the store takes no more firings.")
	descStoreDamaged = describe("store_damaged_records_total", "Damaged records that were met.")

	descKept      = describe("delivered_size_bytes", "Disk space that deliveries take that are kept whole.")
	descKeptLimit = describe("delivered_limit_bytes", "Disk space that they may take: keep_delivered.")
	descKeptLost  = describe("delivered_lost_total", "Deliveries that could not be kept, since the disk did not take them.")

	descReloads  = describe("config_reloads_total", "Times that the rules were read since the start, by result: success, or failure (the old ones stay).", "result")
	descReloadOK = describe("config_last_reload_successful", "1 if the last reading of the rules succeeded.")
	descReloadAt = describe("config_last_reload_success_timestamp_seconds", "When the rules in use were read.")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descConnected, descOffset, descHandledOffset, descBehindBytes, descBehind, descServerBytes, descSpoolBytes, descSpoolLimit, descSpoolFull, descSpoolGivenUp, descSavedValues, descForgotten, descSavedOffset, descLag, descBacklog, descHeadroom, descDataAge, descConnects, descResyncs, descGaps, descRewinds, descRewoundBytes, descForeign, descRewound, descStreamErrors,
		descRecords, descStreamBytes, descEvents, descMirrorKeys, descMirrorBytes, descValuesLost, descMatches, descFirings, descSkipped, descSuppressed, descStates, descArmed, descOpen, descNextRun, descDropped, descConditionErrs, descNotNumber, descConditionTime, descRulePaused,
		descAttempts, descSuperseded, descAttemptSeconds, descPending, descPendingLimit, descOldest, descInFlight, descBackingOff, descBreaker, descActionPaused,
		descClasses, descStatuses, descAbandoned, descState, descWindow, descFailing, descSuccessAge,
		descDead, descStoreBytes, descStoreFree, descStoreFull, descStoreDamaged, descKept, descKeptLimit, descKeptLost, descReloads, descReloadOK, descReloadAt,
	} {
		ch <- d
	}
	m := c.e.instruments
	m.attempt.Describe(ch)
	m.wait.Describe(ch)
	m.whole.Describe(ch)
	m.each.Describe(ch)
	m.commit.Describe(ch)
	m.group.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	m := c.e.instruments
	m.attempt.Collect(ch)
	m.wait.Collect(ch)
	m.whole.Collect(ch)
	m.each.Collect(ch)
	m.commit.Collect(ch)
	m.group.Collect(ch)

	s, err := c.e.Status()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descPending, err)
		return
	}
	out := metricSink(ch)
	for i := range s.Streams {
		out.stream(&s.Streams[i], s.At)
	}
	for i := range s.Rules {
		out.rule(&s.Rules[i])
	}
	for i := range s.Actions {
		out.action(&s.Actions[i], s.At)
	}
	out.gauge(descPendingLimit, float64(s.MaxPending))
	out.gauge(descDead, float64(s.DeadLetters))
	delivered, cancelled := c.e.outbox.Rewound()
	out.count(descRewound, delivered, "delivered")
	out.count(descRewound, cancelled, "cancelled")
	out.gauge(descStoreBytes, float64(s.Store.Bytes))
	if s.Store.FreeBytes >= 0 {
		out.gauge(descStoreFree, float64(s.Store.FreeBytes))
	}
	out.gauge(descStoreFull, boolValue(s.Store.Full != ""))
	out.count(descStoreDamaged, s.Store.Damaged)
	if kept := s.Store.Delivered; kept != nil {
		out.gauge(descKept, float64(kept.Bytes))
		out.gauge(descKeptLimit, float64(kept.Limit))
		out.count(descKeptLost, kept.Lost)
	}
	out.count(descReloads, s.Reload.Succeeded, "success")
	out.count(descReloads, s.Reload.Failed, "failure")
	out.gauge(descReloadOK, boolValue(s.Reload.OK))
	out.gauge(descReloadAt, seconds(s.Reload.LastSuccess))
}

// metricSink turns the figures of a status into metrics.
type metricSink chan<- prometheus.Metric

func (m metricSink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m metricSink) count(d *prometheus.Desc, v int64, labels ...string) {
	m <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a time as metrics have it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (m metricSink) stream(s *admin.StreamStatus, now time.Time) {
	name := s.Name
	m.gauge(descConnected, boolValue(s.State == "streaming"), name)
	m.gauge(descOffset, float64(s.ReceivedOffset), name)
	m.gauge(descBehindBytes, float64(s.BehindBytes), name)
	m.gauge(descBehind, s.BehindSeconds, name)
	m.gauge(descSpoolBytes, float64(s.Spool.Bytes), name)
	m.gauge(descSpoolLimit, float64(s.Spool.Limit), name)
	m.gauge(descSpoolFull, boolValue(s.Spool.Full != ""), name)
	m.count(descSpoolGivenUp, s.Spool.GivenUp, name)
	m.gauge(descSavedValues, float64(s.Values.Bytes), name)
	m.count(descForgotten, s.Values.Forgotten, name)
	m.gauge(descHandledOffset, float64(s.HandledOffset), name)
	m.gauge(descSavedOffset, float64(s.SavedOffset), name)
	m.gauge(descLag, float64(s.LagBytes), name)
	if s.BacklogBytes > 0 {
		m.gauge(descBacklog, float64(s.BacklogBytes), name)
		headroom := math.Inf(1)
		if s.BacklogSeconds != nil {
			headroom = *s.BacklogSeconds
		}
		m.gauge(descHeadroom, headroom, name)
		m.gauge(descServerBytes, float64(s.ServerBytes), name)
	}
	if !s.LastData.IsZero() {
		m.gauge(descDataAge, now.Sub(s.LastData).Seconds(), name)
	}
	m.count(descConnects, s.Connects, name)
	m.count(descResyncs, s.FullResyncs, name, "full")
	m.count(descResyncs, s.PartialResyncs, name, "partial")
	m.count(descGaps, s.Gaps, name)
	m.count(descRewinds, s.Rewinds, name)
	m.count(descRewoundBytes, s.RewoundBytes, name)
	m.count(descForeign, s.Foreign, name)
	m.count(descStreamErrors, s.ProtocolErrors, name, "protocol")
	m.count(descStreamErrors, s.SnapshotErrors, name, "snapshot")
	m.count(descRecords, s.Stats.Records, name)
	m.count(descStreamBytes, s.Stats.Bytes, name)
	m.count(descEvents, s.Stats.Events, name)
	m.gauge(descMirrorKeys, float64(s.Stats.MirrorKeys), name)
	m.gauge(descMirrorBytes, float64(s.Stats.MirrorBytes), name)
	for reason, n := range s.Stats.LostBy {
		m.count(descValuesLost, n, name, reason)
	}
}

func (m metricSink) rule(r *admin.RuleStatus) {
	m.count(descMatches, r.Matches, r.Name)
	m.count(descFirings, r.Firings, r.Name)
	m.count(descSkipped, r.Skipped, r.Name, "paused")
	m.count(descSkipped, r.DryRuns, r.Name, "dry_run")
	for reason, n := range r.Suppressed {
		m.count(descSuppressed, n, r.Name, reason)
	}
	if r.Timed {
		m.gauge(descStates, float64(r.States), r.Name)
		m.gauge(descArmed, float64(r.Armed), r.Name)
		m.gauge(descOpen, float64(r.Open), r.Name)
	}
	if !r.NextRun.IsZero() {
		m.gauge(descNextRun, seconds(r.NextRun), r.Name)
	}
	m.count(descDropped, r.Dropped, r.Name)
	m.count(descConditionErrs, r.ConditionErrors, r.Name)
	m.count(descNotNumber, r.NotNumbers, r.Name)
	m <- prometheus.MustNewConstMetric(descConditionTime, prometheus.CounterValue, r.ConditionSeconds, r.Name)
	m.gauge(descRulePaused, boolValue(!r.PausedSince.IsZero()), r.Name)
}

func (m metricSink) action(a *admin.ActionStatus, now time.Time) {
	m.count(descAttempts, a.Delivered, a.Name, outcomes[outbox.Delivered])
	m.count(descAttempts, a.Retried, a.Name, outcomes[outbox.Retried])
	m.count(descAttempts, a.GivenUp, a.Name, outcomes[outbox.GivenUp])
	m.count(descSuperseded, a.Superseded, a.Name)
	m <- prometheus.MustNewConstMetric(descAttemptSeconds, prometheus.CounterValue, a.AttemptSeconds, a.Name)
	m.gauge(descPending, float64(a.Pending), a.Name)
	age := 0.0
	if !a.OldestPending.IsZero() {
		age = max(0, now.Sub(a.OldestPending).Seconds())
	}
	m.gauge(descOldest, age, a.Name)
	m.gauge(descInFlight, float64(a.InFlight), a.Name)
	m.gauge(descBackingOff, float64(a.BackingOff), a.Name)
	m.gauge(descBreaker, boolValue(a.Breaker != "closed"), a.Name)
	for _, state := range outbox.States() {
		m.gauge(descState, boolValue(a.State == state), a.Name, state)
	}
	m.gauge(descWindow, float64(a.Window), a.Name)
	m.gauge(descFailing, float64(a.FailingLanes), a.Name)
	if !a.LastSuccess.IsZero() {
		m.gauge(descSuccessAge, max(0, now.Sub(a.LastSuccess).Seconds()), a.Name)
	}
	for class, n := range a.Classes {
		m.count(descClasses, n, a.Name, class)
	}
	for status, n := range a.Statuses {
		m.count(descStatuses, n, a.Name, status)
	}
	m.count(descAbandoned, a.Abandoned, a.Name)
	m.gauge(descActionPaused, boolValue(!a.PausedSince.IsZero()), a.Name)
}
