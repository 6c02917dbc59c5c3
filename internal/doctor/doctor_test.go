package doctor

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// told is a server that says what it is told to.
type told struct {
	info   string // of every section
	config map[string]string
	user   string
}

func (s told) Text(_ context.Context, args ...string) (string, error) {
	switch {
	case args[0] == "INFO" && s.info != "":
		return s.info, nil
	case args[0] == "ACL" && s.user != "":
		return s.user, nil
	}
	return "", errors.New("NOPERM")
}

func (s told) List(_ context.Context, args ...string) ([]string, error) {
	if v, ok := s.config[args[len(args)-1]]; ok {
		return []string{args[len(args)-1], v}, nil
	}
	return nil, errors.New("NOPERM")
}

// The documentation has each finding, in the order in which they are told.
func TestDocsHaveEachFinding(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, ids []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ = strings.Cut(name, "`")
			documented = append(documented, name)
		}
	}
	for _, c := range checks {
		ids = append(ids, c.id)
	}
	if at := slices.Index(documented, ids[0]); at < 0 || !slices.Equal(documented[at:], ids) {
		t.Errorf("documented %v, told %v", documented, ids)
	}
}

// A server that refuses everything cannot be examined; one that says hardly
// anything is unknown, and not bad.
func TestExamineOfFewWords(t *testing.T) {
	if _, err := Examine(t.Context(), told{}, time.Millisecond); err == nil {
		t.Error("a server that says nothing was examined")
	}
	r, err := Examine(t.Context(), told{info: "# Server\r\nsomething:else\r\n"}, time.Millisecond)
	if err != nil || r.Bad() {
		t.Errorf("%+v, %v", r, err)
	}
	for _, f := range r.Findings {
		if f.Severity != Unknown {
			t.Errorf("%+v", f)
		}
	}
}

// Servers that tell a version of Redis too have the name and version that are their own.
func TestVersion(t *testing.T) {
	for info, want := range map[string]string{
		"redis_version:8.6.3":                         "redis 8.6.3",
		"valkey_version:9.1.2\r\nredis_version:7.2.4": "valkey 9.1.2",
		"redict_version:7.3.6\r\nredis_version:7.2.4": "redict 7.3.6",
	} {
		r, err := Examine(t.Context(), told{info: info}, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.ID == "version" }); r.Findings[i].Figure != want {
			t.Errorf("%q, want %q", r.Findings[i].Figure, want)
		}
	}
}

func TestBufferLimit(t *testing.T) {
	for setting, want := range map[string]bufferLimit{
		"normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60": {268435456, 67108864, 60},
		"normal 0 0 0 replica 1 2 3":                                          {1, 2, 3},
	} {
		if got, ok := parseBufferLimit(setting); !ok || got != want {
			t.Errorf("%s: %+v", setting, got)
		}
	}
	for _, setting := range []string{"", "slave", "slave 1 2", "normal 0 0 0", "slave a b c", "slave 1 2 99999999999999999999"} {
		if got, ok := parseBufferLimit(setting); ok {
			t.Errorf("%s: %+v", setting, got)
		}
	}
	p := &patient{rate: 1000}
	for limit, want := range map[bufferLimit]time.Duration{
		{10_000, 0, 0}:       10 * time.Second,
		{10_000, 1000, 60}:   10 * time.Second,
		{1_000_000, 1000, 5}: 6 * time.Second,
		{0, 1000, 5}:         6 * time.Second,
	} {
		if got := p.untilDropped(limit); got != want {
			t.Errorf("%+v: %v, want %v", limit, got, want)
		}
	}
}

// FuzzExamine has a server say anything.
func FuzzExamine(f *testing.F) {
	f.Add("role:master\r\nmaster_repl_offset:10\r\nslave0:ip=1,port=2,lag=3\r\nrepl_backlog_size:100\r\nused_memory:1\r\nmaxmemory:1\r\nredis_version:7.0.1", "normal 0 0 0 slave 1 2 3", "3")
	f.Add("slave0:\r\nslave:port=1\r\nmaxmemory:-1\r\nused_memory:9223372036854775807\r\nlatest_fork_usec:9223372036854775807", "", "-1")
	f.Fuzz(func(t *testing.T, info, limit, number string) {
		config := map[string]string{}
		for _, name := range settings {
			config[name] = number
		}
		config["client-output-buffer-limit"] = limit
		p := &patient{info: map[string]string{}, config: config, rate: math.Pi * 1000}
		p.read(info)
		for _, rate := range []float64{0, 1e-300, 1e300, 12345} {
			p.rate = rate
			for _, c := range checks {
				if got := c.look(p); got.Severity == "" || got.Why == "" {
					t.Errorf("%s: %+v", c.id, got)
				}
			}
		}
	})
}
