package doctor

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Severity says how bad a finding is.
type Severity string

// The severities, from good to bad. Unknown is of what could not be looked at.
const (
	OK      Severity = "ok"
	Info    Severity = "info"
	Unknown Severity = "unknown"
	Warn    Severity = "warn"
	Error   Severity = "error"
)

// Finding is what one check has found.
type Finding struct {
	ID       string   `json:"id"` // one of the names of checks, or "unreachable"
	Severity Severity `json:"severity"`
	Figure   string   `json:"figure"` // the number that decides, with its unit; "" if there is none
	Why      string   `json:"why"`    // what it means for triggers
	Fix      string   `json:"fix"`    // the command, or what else mends it; "" if nothing has to be
}

// Report is what an examination has found.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Bad reports whether something was found that should be mended.
func (r *Report) Bad() bool {
	for i := range r.Findings {
		if s := r.Findings[i].Severity; s == Warn || s == Error {
			return true
		}
	}
	return false
}

// Server is asked. An error means that it does not answer the question: most
// often the user may not ask it.
type Server interface {
	Text(ctx context.Context, args ...string) (string, error)
	List(ctx context.Context, args ...string) ([]string, error)
}

// Unreachable is the report of a server that could not be asked at all.
func Unreachable(err error) *Report {
	return &Report{[]Finding{{ID: "unreachable", Severity: Error, Why: err.Error(), Fix: "start the server, or give its address: triggerd doctor --source redis://user:password@host:port"}}}
}

// Examine asks a server, and returns what was found, in a fixed order. It takes
// as long as measure says, by which the rate of writes is told. Its error is why
// the server could not be asked. One with the method Refused that says so is that
// the user may not ask: what is not known for that is found to be unknown.
func Examine(ctx context.Context, s Server, measure time.Duration) (*Report, error) {
	p, err := ask(ctx, s, measure)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	for _, check := range checks {
		f := check.look(p)
		f.ID = check.id
		r.Findings = append(r.Findings, f)
	}
	return r, nil
}

// checks are looked at in this order.
var checks = []struct {
	id   string
	look func(*patient) Finding
}{
	{"backlog", backlog},
	{"backlog-ttl", backlogTTL},
	{"output-buffer", outputBuffer},
	{"min-replicas", minReplicas},
	{"eviction", eviction},
	{"expiry-verb", expiryVerb},
	{"fork", fork},
	{"timeouts", timeouts},
	{"notify", notify},
	{"user", user},
	{"version", version},
	{"sentinel", sentinel},
	{"cluster", cluster},
}

// patient is what a server has said of itself.
type patient struct {
	info      map[string]string // fields of INFO, of all sections that were asked for
	config    map[string]string // settings; those that it does not know or say are missing
	replicas  []replica         // that are attached to it
	user      string            // as which it was asked; "": it does not say
	sentinels int               // that watch it; -1: not known

	bySentinels bool // Sentinels have named it

	rate    float64 // bytes a second by which the stream grew
	evicted int64   // keys that were evicted meanwhile
}

// replica is one that INFO lists.
type replica struct {
	port int // 0: it is no server of its own, as triggerd
	lag  int // seconds since it acknowledged something
}

// sections of INFO that are asked for.
var sections = []string{"server", "clients", "memory", "persistence", "stats", "replication", "cluster"}

// settings that are asked for.
var settings = []string{
	"repl-backlog-size", "repl-backlog-ttl", "client-output-buffer-limit", "min-replicas-to-write", "min-replicas-max-lag", "maxmemory", "maxmemory-policy",
	"lazyfree-lazy-expire", "lazyfree-lazy-eviction", "lazyfree-lazy-server-del", "repl-timeout", "repl-ping-replica-period", "repl-diskless-sync-delay",
	"notify-keyspace-events",
}

func ask(ctx context.Context, s Server, measure time.Duration) (*patient, error) {
	p := &patient{info: map[string]string{}, config: map[string]string{}, sentinels: -1}
	if by, ok := s.(interface{ BySentinels() bool }); ok {
		p.bySentinels = by.BySentinels()
	}
	var failed error
	for _, section := range sections {
		text, err := s.Text(ctx, "INFO", section)
		if err != nil {
			failed = err
			continue
		}
		p.read(text)
	}
	var refusal interface{ Refused() bool }
	if len(p.info) == 0 && !(errors.As(failed, &refusal) && refusal.Refused()) {
		return nil, failed
	}
	for _, name := range settings {
		if pair, err := s.List(ctx, "CONFIG", "GET", name); err == nil && len(pair) == 2 {
			p.config[name] = pair[1]
		}
	}
	if name, err := s.Text(ctx, "ACL", "WHOAMI"); err == nil {
		p.user = name
	}
	if pair, err := s.List(ctx, "PUBSUB", "NUMSUB", "__sentinel__:hello"); err == nil && len(pair) == 2 {
		p.sentinels, _ = strconv.Atoi(pair[1])
	}
	return p, p.measure(ctx, s, measure)
}

// read takes in the fields of a section of INFO.
func (p *patient) read(text string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		p.info[name] = value
		if digits, found := strings.CutPrefix(name, "slave"); found && isNumber(digits) {
			p.replicas = append(p.replicas, parseReplica(value))
		}
	}
}

// parseReplica reads "ip=127.0.0.1,port=7001,state=online,offset=1,lag=0", in
// which servers have more fields, too.
func parseReplica(value string) (r replica) {
	for field := range strings.SplitSeq(value, ",") {
		switch name, v, _ := strings.Cut(field, "="); name {
		case "port":
			r.port, _ = strconv.Atoi(v)
		case "lag":
			r.lag, _ = strconv.Atoi(v)
		}
	}
	return r
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// measure finds out how fast the server writes and evicts.
func (p *patient) measure(ctx context.Context, s Server, d time.Duration) error {
	first, began, ok := p.number("master_repl_offset"), time.Now(), p.has("master_repl_offset")
	evicted := p.number("evicted_keys")
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	text, err := s.Text(ctx, "INFO", "replication")
	if err != nil || !ok {
		return nil // it was not told at first either
	}
	took := time.Since(began)
	later := &patient{info: map[string]string{}}
	later.read(text)
	if grown := later.number("master_repl_offset") - first; grown > 0 {
		p.rate = float64(grown) / took.Seconds()
	}
	if text, err := s.Text(ctx, "INFO", "stats"); err == nil {
		later.read(text)
		p.evicted = max(0, later.number("evicted_keys")-evicted)
	}
	return nil
}

func (p *patient) has(field string) bool { return p.info[field] != "" }

// number returns a field of INFO; 0 if it is missing.
func (p *patient) number(field string) int64 {
	n, _ := strconv.ParseInt(p.info[field], 10, 64)
	return n
}

// setting returns a setting that is a number; ok is false if it is not known.
func (p *patient) setting(name string) (n int64, ok bool) {
	n, err := strconv.ParseInt(p.config[name], 10, 64)
	return n, err == nil
}

// goodReplicas is how many replicas count for min-replicas-to-write, and how many
// of them are servers of their own.
func (p *patient) goodReplicas() (real, all int64) {
	maxLag, ok := p.setting("min-replicas-max-lag")
	for _, r := range p.replicas {
		if ok && maxLag > 0 && int64(r.lag) > maxLag {
			continue
		}
		all++
		if r.port != 0 {
			real++
		}
	}
	return real, all
}

// realReplicas is how many replicas are servers of their own, and not triggerd
// or the like.
func (p *patient) realReplicas() (n int) {
	for _, r := range p.replicas {
		if r.port != 0 {
			n++
		}
	}
	return n
}
