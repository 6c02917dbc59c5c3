package doctor

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// shortOutage is the shortest outage that a backlog should survive: a
	// failover, or a restart of triggerd with a large mirror.
	shortOutage = 60 * time.Second
	// shortStall is the shortest time that a reader may stall before the server
	// drops it.
	shortStall = 10 * time.Second
	// smallBacklog is how much is too little where nothing is written now: a
	// moment's work for a busy server, and what servers have unless they are told
	// otherwise.
	smallBacklog = 1 << 20
	// longFork is how long a snapshot may stop the server.
	longFork = time.Second
	// forkPerGB is how long that takes for a GB, about, where none was taken yet.
	forkPerGB = 30 * time.Millisecond
	// silence is how long triggerd waits for a word of the server before it takes
	// the link for dead.
	silence = 60 * time.Second
)

func unknown(why string) Finding {
	return Finding{Severity: Unknown, Why: why, Fix: "ACL SETUSER triggerd +info +config|get +acl|whoami +pubsub"}
}

// lasts returns how long it takes until so many bytes are written.
func (p *patient) lasts(bytes int64) time.Duration {
	s := float64(bytes) / p.rate
	return time.Duration(min(s, (100*365*24*time.Hour).Seconds()) * float64(time.Second))
}

// measured reports whether the server has told how fast it is written to, and which
// replicas it has.
func (p *patient) measured() bool { return p.has("master_repl_offset") }

// idle reports whether too little is written to tell a time by it.
func (p *patient) idle() bool { return p.rate < 100 }

func backlog(p *patient) Finding {
	size := p.number("repl_backlog_size")
	if size == 0 {
		size, _ = p.setting("repl-backlog-size")
	}
	if size == 0 {
		return unknown("how long triggerd may be away is not known: INFO replication does not say how large the backlog is")
	}
	if !p.measured() {
		return unknown("how long an outage the backlog survives is not known: it holds " + bytesText(size) + ", and INFO replication, which tells how fast the server is written to, is refused")
	}
	if p.idle() {
		f := Finding{Severity: OK, Figure: bytesText(size), Why: "nothing is written now, so how long an outage the backlog survives cannot be told; it holds " + bytesText(size)}
		if size <= smallBacklog {
			f.Severity, f.Fix = Warn, "CONFIG SET repl-backlog-size 256mb"
			f.Why += ", which a busy server writes in a moment: after a longer outage changes are lost"
		}
		return f
	}
	left := p.lasts(size)
	f := Finding{
		Severity: OK, Figure: secondsText(left),
		Why: fmt.Sprintf("an outage of triggerd that is longer loses changes: the backlog holds %s, and %s/s are written", bytesText(size), bytesText(int64(p.rate))),
	}
	if left < shortOutage {
		f.Severity, f.Fix = Warn, "CONFIG SET repl-backlog-size "+sizeSetting(p.rate*5*shortOutage.Seconds())
	}
	return f
}

func backlogTTL(p *patient) Finding {
	ttl, ok := p.setting("repl-backlog-ttl")
	switch {
	case !ok:
		return unknown("for how long the server keeps its backlog without replicas is not known: CONFIG GET is refused")
	case ttl == 0:
		return Finding{Severity: OK, Figure: "0 s", Why: "the backlog is kept for ever, also without replicas"}
	case !p.measured():
		return unknown(fmt.Sprintf("whether the server has other replicas is not known: INFO replication is refused; without any it gives up its backlog after %d s", ttl))
	}
	f := Finding{Severity: OK, Figure: secondsText(time.Duration(ttl) * time.Second), Why: "the server has other replicas, so it keeps its backlog while triggerd is away"}
	if p.realReplicas() > 0 {
		return f
	}
	f.Severity, f.Why, f.Fix = Info, "triggerd is the only replica: when it is away for longer, the server gives up its backlog and its history, and changes are lost", "CONFIG SET repl-backlog-ttl 0"
	if ttl < int64(time.Hour.Seconds()) {
		f.Severity = Warn
	}
	return f
}

// bufferLimit is the class of replicas in client-output-buffer-limit.
type bufferLimit struct{ hard, soft, softSeconds int64 }

// parseBufferLimit reads "normal 0 0 0 slave 268435456 67108864 60 pubsub ...".
func parseBufferLimit(setting string) (l bufferLimit, ok bool) {
	words := strings.Fields(setting)
	for i := 0; i+3 < len(words); i += 4 {
		if words[i] != "slave" && words[i] != "replica" {
			continue
		}
		var errs [3]error
		l.hard, errs[0] = strconv.ParseInt(words[i+1], 10, 64)
		l.soft, errs[1] = strconv.ParseInt(words[i+2], 10, 64)
		l.softSeconds, errs[2] = strconv.ParseInt(words[i+3], 10, 64)
		return l, errs == [3]error{}
	}
	return l, false
}

func outputBuffer(p *patient) Finding {
	l, ok := parseBufferLimit(p.config["client-output-buffer-limit"])
	if !ok {
		return unknown("how much the server holds for a replica that reads slowly is not known: CONFIG GET is refused")
	}
	if l.hard == 0 && (l.soft == 0 || l.softSeconds == 0) {
		return Finding{Severity: Info, Figure: "no limit", Why: "the server never drops a replica that reads slowly; its memory holds what the replica has not read"}
	}
	if p.major() >= 7 && l.hard > 0 { // for them the backlog is the least
		l.hard = max(l.hard, p.number("repl_backlog_size"))
	}
	const fix = "CONFIG SET client-output-buffer-limit 'replica 256mb 64mb 60'"
	if !p.measured() && l.least() >= 16<<20 {
		return unknown("for how long the server holds what a replica does not read is not known: a replica that has not read " + bytesText(l.least()) + " is dropped, and INFO replication, which tells how fast that comes together, is refused")
	}
	if p.idle() {
		f := Finding{Severity: OK, Figure: bytesText(l.least()), Why: "nothing is written now; a replica that has not read this much is dropped, also during its snapshot"}
		if l.least() < 16<<20 {
			f.Severity, f.Fix = Warn, fix
		}
		return f
	}
	left := p.untilDropped(l)
	f := Finding{Severity: OK, Figure: secondsText(left), Why: "a replica that does not read for longer, or whose snapshot takes longer, is dropped; it takes a full resync to come back if the backlog is short, too"}
	if left < shortStall {
		f.Severity, f.Fix = Warn, fix
	}
	return f
}

// least is how few bytes may have it dropped.
func (l bufferLimit) least() int64 {
	if l.hard == 0 || l.soft != 0 && l.softSeconds != 0 && l.soft < l.hard {
		return l.soft
	}
	return l.hard
}

// untilDropped is how long a replica that does not read is kept at the present
// rate.
func (p *patient) untilDropped(l bufferLimit) time.Duration {
	left := time.Duration(math.MaxInt64)
	if l.hard > 0 {
		left = p.lasts(l.hard)
	}
	if l.soft > 0 && l.softSeconds > 0 {
		left = min(left, p.lasts(l.soft)+time.Duration(l.softSeconds)*time.Second)
	}
	return left
}

func minReplicas(p *patient) Finding {
	want, ok := p.setting("min-replicas-to-write")
	switch {
	case !ok:
		return unknown("whether the server refuses writes without enough replicas is not known: CONFIG GET is refused")
	case want == 0:
		return Finding{Severity: OK, Figure: "0", Why: "writes do not depend on replicas"}
	case !p.measured():
		return unknown(fmt.Sprintf("the server refuses writes with fewer than %d replicas, and how many it has is not known: INFO replication is refused", want))
	}
	real, all := p.goodReplicas()
	f := Finding{Severity: OK, Figure: fmt.Sprintf("%d of %d", real, want), Why: "there are enough replicas that keep data, without triggerd"}
	switch {
	case real >= want:
	case all >= want:
		f.Severity = Warn
		f.Why = "triggerd counts as one of the replicas that writes need, though it keeps no data: when it stops, the server refuses writes"
		f.Fix = fmt.Sprintf("add a replica, or CONFIG SET min-replicas-to-write %d", real)
	default:
		f.Severity = Warn
		f.Why = "the server refuses writes: it has fewer replicas than they need; once attached, triggerd counts as one of them, though it keeps no data"
		f.Fix = fmt.Sprintf("add a replica, or CONFIG SET min-replicas-to-write %d", real)
	}
	return f
}

func eviction(p *patient) Finding {
	policy, limit := p.config["maxmemory-policy"], p.number("maxmemory")
	if policy == "" {
		policy = p.info["maxmemory_policy"]
	}
	known := p.has("maxmemory")
	if n, ok := p.setting("maxmemory"); !known && ok {
		limit, known = n, true
	}
	switch {
	case policy == "" || !known:
		return unknown("whether the server evicts keys is not known: INFO memory does not say")
	case limit == 0:
		return Finding{Severity: OK, Figure: "0 keys/s", Why: "no memory limit is set, so no key is evicted"}
	case !p.has("used_memory"):
		return unknown("how near the server is to its memory limit of " + bytesText(limit) + " is not known: INFO memory is refused")
	}
	fix := "CONFIG SET maxmemory " + sizeSetting(2*float64(limit)) + ", or have the rules not act on del"
	used := 100 * float64(p.number("used_memory")) / float64(limit)
	f := Finding{Severity: Info, Figure: fmt.Sprintf("%.0f %% of maxmemory", used)}
	switch {
	case policy == "noeviction":
		f.Why = "no key is evicted; at the limit the server refuses writes"
		if used < 90 {
			f.Severity = OK
		}
	case p.evicted > 0:
		f.Severity, f.Figure = Warn, fmt.Sprintf("%d keys evicted while this was measured", p.evicted)
		f.Why = "an eviction is replicated as a DEL: rules cannot tell it from a client's"
		f.Fix = fix
	default:
		f.Why = "with the policy " + policy + " keys are evicted at the limit, which is replicated as a DEL: rules cannot tell it from a client's"
		if used > 90 {
			f.Severity, f.Fix = Warn, fix
		}
	}
	return f
}

func expiryVerb(p *patient) Finding {
	lazy, ok := p.config["lazyfree-lazy-expire"]
	if !ok {
		return unknown("with which command the server removes expired keys is not known: CONFIG GET is refused")
	}
	f := Finding{Severity: OK, Figure: "DEL", Why: "expired keys are removed with DEL; rules say event = \"expired\""}
	if lazy == "yes" {
		f.Severity, f.Figure, f.Why = Info, "UNLINK", "expired keys are removed with UNLINK: a rule with command = \"DEL\" misses them; event = \"expired\" does not"
	}
	return f
}

func fork(p *patient) Finding {
	if !p.has("used_memory") {
		return unknown("how long a snapshot stops the server is not known: INFO memory is refused")
	}
	used := p.number("used_memory")
	took := time.Duration(p.number("latest_fork_usec")) * time.Microsecond
	how := "as the last one did"
	if took == 0 {
		took, how = time.Duration(float64(used)/(1<<30)*float64(forkPerGB)), "estimated: none was taken yet"
	}
	f := Finding{Severity: OK, Figure: fmt.Sprintf("%.3f s", took.Seconds()), Why: fmt.Sprintf("a full resync stops the server for this long, %s; it holds %s", how, bytesText(used))}
	switch {
	case took > longFork:
		f.Severity, f.Fix = Warn, "have triggerd follow a replica of this server: --source redis://REPLICA:PORT"
	case took > longFork/10:
		f.Severity = Info
	}
	return f
}

func timeouts(p *patient) Finding {
	ping, ok := p.setting("repl-ping-replica-period")
	timeout, ok2 := p.setting("repl-timeout")
	if !ok || !ok2 {
		return unknown("how often the server pings its replicas is not known: CONFIG GET is refused")
	}
	f := Finding{Severity: OK, Figure: fmt.Sprintf("%d s", ping), Why: fmt.Sprintf("the server pings its replicas this often, and drops one that is silent for %d s", timeout)}
	delay, _ := p.setting("repl-diskless-sync-delay")
	switch {
	case time.Duration(ping)*time.Second*2 >= silence:
		f.Severity, f.Fix = Warn, "CONFIG SET repl-ping-replica-period 10"
		f.Why = fmt.Sprintf("triggerd takes a link for dead that is silent for %s: with so few pings it drops good ones, and rules that wait for a silence wait longer", silence)
	case timeout < 5:
		f.Severity, f.Figure, f.Fix = Warn, fmt.Sprintf("%d s", timeout), "CONFIG SET repl-timeout 60"
		f.Why = "the server drops a replica that was silent for this long, and triggerd acknowledges once a second: a short stall of either ends the link"
	case delay > 30:
		f.Severity, f.Figure, f.Why = Info, fmt.Sprintf("%d s", delay), "the server waits for so long (repl-diskless-sync-delay) before it begins a snapshot"
	}
	return f
}

func notify(p *patient) Finding {
	flags, ok := p.config["notify-keyspace-events"]
	if !ok {
		return unknown("whether keyspace notifications are on is not known: CONFIG GET is refused")
	}
	if flags == "" {
		return Finding{Severity: OK, Figure: "off", Why: "triggerd needs no keyspace notifications"}
	}
	return Finding{Severity: Info, Figure: flags, Why: "keyspace notifications are on; triggerd does not need them, and they cost the server CPU"}
}

// ownUser is the command that makes a user for triggerd.
func (p *patient) ownUser() string {
	channels := "resetchannels "
	if strings.HasPrefix(p.info["redis_version"], "6.0.") {
		channels = "" // it does not know them
	}
	return "ACL SETUSER triggerd on >PASSWORD " + channels + "-@all +psync +replconf +ping +info +config|get +acl|whoami +pubsub"
}

func user(p *patient) Finding {
	switch p.user {
	case "":
		return unknown("as which user triggerd logs in is not known: ACL WHOAMI is refused")
	case "default":
		return Finding{
			Severity: Warn, Figure: "default", Why: "triggerd logs in as the user default, who may do everything",
			Fix: p.ownUser() + ", and --source redis://triggerd:PASSWORD@host:port",
		}
	}
	return Finding{Severity: OK, Figure: p.user, Why: "triggerd has a user of its own"}
}

// major is the server's version, as Redis counts.
func (p *patient) major() int {
	text, _, _ := strings.Cut(p.info["redis_version"], ".")
	n, _ := strconv.Atoi(text)
	return n
}

func version(p *patient) Finding {
	name, number := "redis", p.info["redis_version"]
	for _, other := range []string{"valkey", "redict"} { // they tell a version of Redis, too
		if v := p.info[other+"_version"]; v != "" {
			name, number = other, v
		}
	}
	if number == "" {
		return unknown("which server this is is not known: INFO server is refused")
	}
	f := Finding{Severity: OK, Figure: name + " " + number, Why: "its events and values are known exactly"}
	if p.major() < 6 {
		f.Severity, f.Why, f.Fix = Warn, "triggerd is tested with Redis 6.0 and later", "upgrade the server"
	}
	if p.info["role"] == "slave" {
		f.Figure += ", a replica"
		if p.info["master_link_status"] == "down" {
			f.Severity, f.Fix = Error, "REPLICAOF, or look at the log of the server"
			f.Why = "it has lost its own primary: nothing arrives here"
		}
	}
	return f
}

// mode is how the server runs: standalone, sentinel or cluster.
func (p *patient) mode() string {
	if m := p.info["redis_mode"]; m != "" {
		return m
	}
	return p.info["server_mode"]
}

func sentinel(p *patient) Finding {
	switch {
	case p.mode() == "sentinel":
		return Finding{Severity: Error, Figure: "a Sentinel", Why: "this is a Sentinel, not the server that it watches", Fix: "give the address of the server, or name this as a Sentinel: redis+sentinel://host:26379/NAME"}
	case p.sentinels < 0:
		return unknown("whether Sentinels watch the server is not known: PUBSUB is refused")
	case p.bySentinels:
		return Finding{Severity: OK, Figure: strconv.Itoa(p.sentinels), Why: "the Sentinels of the URL have named this server: triggerd follows them to the next primary"}
	case p.sentinels > 0:
		return Finding{
			Severity: Warn, Figure: strconv.Itoa(p.sentinels), Why: "Sentinels watch this server: after a failover another one is the primary, and this address is not",
			Fix: "name the Sentinels in place of the server: redis+sentinel://HOST1:26379,HOST2:26379/NAME",
		}
	}
	return Finding{Severity: OK, Figure: "0", Why: "no Sentinel watches this server"}
}

func cluster(p *patient) Finding {
	enabled, ok := p.info["cluster_enabled"]
	switch {
	case !ok:
		return unknown("whether the server is part of a cluster is not known: INFO cluster is refused")
	case enabled == "1":
		return Finding{Severity: Info, Figure: "a shard", Why: "triggerd follows one shard of a cluster: run one for each. When slots move, their keys are deleted here, and set where they go"}
	}
	return Finding{Severity: OK, Figure: "off", Why: "it is not part of a cluster"}
}

// secondsText shows a time in seconds, with two digits that count.
func secondsText(d time.Duration) string {
	s := d.Seconds()
	switch {
	case s >= 100:
		return fmt.Sprintf("%.0f s", s)
	case s >= 10:
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.2f s", s)
}

// bytesText shows a number of bytes.
func bytesText(n int64) string {
	f := float64(n)
	for _, unit := range []string{"bytes", "KB", "MB"} {
		if f < 1000 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + unit
		}
		f /= 1000
	}
	return fmt.Sprintf("%.1f GB", f)
}

// sizeSetting is a size as the server's settings have it: the next power of two
// of megabytes, 256 at least.
func sizeSetting(bytes float64) string {
	mb := 256
	for float64(mb)*(1<<20) < bytes && mb < 1<<20 {
		mb *= 2
	}
	return strconv.Itoa(mb) + "mb"
}
