package exec_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"triggerd/actions"
	"triggerd/actions/actionstest"
	"triggerd/actions/exec"
	"triggerd/internal/event"
	"triggerd/internal/secret"
)

// sh makes an exec action of a shell script with arguments $1, $2, ...
func sh(t *testing.T, script string, fields table, o actions.Options, args ...any) actions.Action {
	t.Helper()
	actionstest.CheckLeaks(t)
	all := table{"command": append(list("/bin/sh", "-c", script, "sh"), args...)}
	for k, v := range fields {
		all[k] = v
	}
	return mustNew(t, all, o)
}

// runs runs a script that must succeed and returns the content of the file
// whose name it got as $OUT.
func runs(t *testing.T, f *actions.Firing, script string, fields table, args ...any) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	if fields == nil {
		fields = table{}
	}
	fields["env"] = table{"OUT": out}
	if _, err := sh(t, script, fields, actions.Options{}, args...).Do(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExecInput(t *testing.T) {
	f := actionstest.Firing()
	got := runs(t, f, `cat > "$OUT"`, nil)
	if want := string(f.AppendJSON(nil)) + "\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestExecArguments: an argument is one argument, whatever is in it.
func TestExecArguments(t *testing.T) {
	f := actionstest.Firing()
	f.Event.Key = []byte("a b'\"$(reboot)`x`;*\n\xff")
	got := runs(t, f, `printf '[%s]' "$@" > "$OUT"`, nil, "{{.key}}", "", "--sku={{.params.sku}}", "{{.db}} {{.event}}")
	if want := "[" + string(f.Event.Key) + "][][--sku=42][3 incrby]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExecEnvironment(t *testing.T) {
	t.Setenv("PASSED", "yes")
	t.Setenv("NOT_PASSED", "no")
	t.Setenv("HOME", "/home/x")
	t.Setenv("LANG", "C")
	t.Setenv("USER", "me")
	got := runs(t, actionstest.Firing(), `env -0 | sort -z | tr '\0' '\n' > "$OUT"`, table{"env_pass": list("PASSED", "NOT_SET")})
	var names []string
	for line := range strings.Lines(got) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "OUT", "_", "SHLVL", "PWD", "PATH", "OLDPWD": // the shell's own, or of this machine
			continue
		}
		names = append(names, name+"="+value)
	}
	want := []string{
		"HOME=/home/x", "LANG=C", "PASSED=yes",
		"TRIGGERD_ACTION=crm", "TRIGGERD_ATTEMPT=1", "TRIGGERD_COMMAND=DECRBY", "TRIGGERD_DB=3", "TRIGGERD_EVENT=incrby",
		"TRIGGERD_ID=8d1f4c40a5b8e5f1f7bb1cc5e6d0a1b2c3d4e5f6:851576/0:stock-zero/crm", "TRIGGERD_KEY=stock:42", "TRIGGERD_KEY_BASE64=c3RvY2s6NDI=",
		"TRIGGERD_OFFSET=851576", "TRIGGERD_RULE=stock-zero", "USER=me",
	}
	if strings.Join(names, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
}

func TestExecEnvironmentTiming(t *testing.T) {
	f := actionstest.Firing()
	f.Timing = event.Timing{Status: "firing", By: "web 1", Count: 3}
	if got := runs(t, f, `printf '%s|%s|%s' "$TRIGGERD_STATUS" "$TRIGGERD_BY" "$TRIGGERD_COUNT" > "$OUT"`, nil); got != "firing|web 1|3" {
		t.Errorf("got %q", got)
	}
}

// TestExecKey: a key that cannot be a variable is left out, never changed.
func TestExecKey(t *testing.T) {
	const script = `printf '%s|%s' "${TRIGGERD_KEY-none}" "${TRIGGERD_KEY_BASE64-none}" > "$OUT"`
	long := strings.Repeat("x", 200<<10)
	for name, test := range map[string]struct {
		key  []byte
		want string
	}{
		"text":      {[]byte("stock:42"), "stock:42|c3RvY2s6NDI="},
		"empty":     {[]byte{}, "|"},
		"no key":    {nil, "none|none"},
		"not UTF-8": {[]byte("\xff\n"), "\xff\n|/wo="},
		"NUL":       {[]byte("a\x00b"), "none|YQBi"},
		"long":      {[]byte(long), "none|none"},
	} {
		t.Run(name, func(t *testing.T) {
			f := actionstest.Firing()
			f.Event.Key = test.key
			if got := runs(t, f, script, nil); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestExecTemplatedEnvironment(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	a := sh(t, `printf %s "$SKU" > "$OUT"`, table{"env": table{"OUT": out, "SKU": "<{{.params.sku}}>"}}, actions.Options{})
	if _, err := a.Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(out); string(got) != "<42>" {
		t.Errorf("got %q", got)
	}
	f := actionstest.Firing()
	f.Params["sku"] = "a\x00b"
	if _, err := a.Do(t.Context(), f); !actions.IsPermanent(err) || !strings.Contains(err.Error(), "env.SKU: has a NUL") {
		t.Errorf("got %v", err)
	}
}

func TestExecDir(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got := runs(t, actionstest.Firing(), `pwd > "$OUT"`, table{"dir": dir}); got != dir+"\n" {
		t.Errorf("got %q, want %q", got, dir)
	}
	own, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got := runs(t, actionstest.Firing(), `pwd > "$OUT"`, nil); got != own+"\n" {
		t.Errorf("by default: got %q, want our own %q", got, own)
	}
}

func TestExecExit(t *testing.T) {
	for name, test := range map[string]struct {
		script    string
		fields    table
		permanent bool
		want      string // "" is success
	}{
		"done":               {`exit 0`, nil, false, ""},
		"done, noisy":        {`echo x; echo y >&2`, nil, false, ""},
		"failed":             {`echo "no such sku" >&2; exit 1`, nil, false, `/bin/sh: exit status 1: no such sku`},
		"only stdout":        {`echo out; exit 1`, nil, false, `exit status 1: out`},
		"stderr first":       {`echo out; echo err >&2; exit 1`, nil, false, `exit status 1: err`},
		"silent":             {`exit 3`, nil, false, `exit status 3`},
		"not printable":      {`printf '\033[31m\377' >&2; exit 1`, nil, false, `exit status 1: \x1b[31m\xff`},
		"usage":              {`exit 64`, nil, true, `exit status 64`},
		"data":               {`exit 65`, nil, true, `exit status 65`},
		"configuration":      {`exit 78`, nil, true, `exit status 78`},
		"try later":          {`exit 75`, nil, false, `exit status 75`},
		"own code":           {`exit 3`, table{"permanent_exit": list(int64(3))}, true, `exit status 3`},
		"own code, not ours": {`exit 64`, table{"permanent_exit": list(int64(3))}, false, `exit status 64`},
		"none permanent":     {`exit 64`, table{"permanent_exit": list()}, false, `exit status 64`},
		"signal":             {`kill -9 $$`, nil, false, `signal: killed`},
		"signal 64":          {`kill -TERM $$`, table{"permanent_exit": list(int64(15))}, false, `signal: terminated`},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := sh(t, test.script, test.fields, actions.Options{}).Do(t.Context(), actionstest.Firing())
			if test.want == "" {
				if err != nil || res.Status != "exit 0" {
					t.Errorf("got %+v, %v", res, err)
				}
				return
			}
			if err == nil || actions.IsPermanent(err) != test.permanent || !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("got %q, permanent %v; want %q, %v", err, actions.IsPermanent(err), test.want, test.permanent)
			}
		})
	}
}

// TestExecGone: a program that was there when the file was checked may be away
// for the length of a deployment.
func TestExecGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := mustNew(t, table{"command": list(path)}, actions.Options{})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := a.Do(t.Context(), actionstest.Firing())
	actionstest.WantRetry(t, err)
}

func TestExecArgumentLimits(t *testing.T) {
	for name, test := range map[string]struct {
		key  string
		args []any
		want string
	}{
		"NUL":      {"a\x00b", list("{{.key}}"), "argument 4: has a NUL byte"},
		"too long": {strings.Repeat("x", 128<<10), list("{{.key}}"), "argument 4: template"},
		"together": {strings.Repeat("x", 120<<10), func() (all []any) {
			for range 100 { // over ARG_MAX in all, with the default stack of 8 MiB
				all = append(all, "{{.key}}")
			}
			return all
		}(), "arguments and environment are too long together"},
	} {
		t.Run(name, func(t *testing.T) {
			f := actionstest.Firing()
			f.Event.Key = []byte(test.key)
			_, err := sh(t, "exit 0", nil, actions.Options{}, test.args...).Do(t.Context(), f)
			if !actions.IsPermanent(err) || !strings.Contains(err.Error(), test.want) || len(err.Error()) > 1000 {
				t.Errorf("got %.300v, want %q", err, test.want)
			}
		})
	}
}

// TestExecOutput: 1 GB of output costs no memory, and its end is kept.
func TestExecOutput(t *testing.T) {
	a := sh(t, `echo begin; head -c 1000000000 /dev/zero; echo end; exit 1`, nil, actions.Options{Timeout: time.Minute})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := a.Do(t.Context(), actionstest.Firing())
	runtime.ReadMemStats(&after)
	actionstest.WantRetry(t, err)
	if err != nil && (!strings.Contains(err.Error(), `exit status 1: begin\n\x00`) || !strings.HasSuffix(err.Error(), `\x00end`) || !strings.Contains(err.Error(), "...(999995914 bytes left out)...")) {
		t.Errorf("got %.100s ... %s", err, err.Error()[len(err.Error())-100:])
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// TestExecStdin: a program may leave its input, however long, or take its time.
func TestExecStdin(t *testing.T) {
	f := actionstest.Firing()
	f.Event.Args = [][]byte{make([]byte, 1<<20)}
	for name, script := range map[string]string{
		"not read":             `exit 0`,
		"closed":               `exec <&-; exit 0`,
		"partly read":          `head -c 10 >/dev/null`,
		"read in pieces":       `while dd bs=65536 count=4 2>/dev/null | grep -q .; do :; done`,
		"held open by a child": `exec 3<&0; sleep 1000 & echo $! > "$OUT"`,
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "pid")
			if _, err := sh(t, script, table{"env": table{"OUT": out}}, actions.Options{}).Do(t.Context(), f); err != nil {
				t.Error(err)
			}
			killFrom(out)
		})
	}
}

// killFrom ends the process whose number is in a file, if there is one.
func killFrom(path string) {
	b, _ := os.ReadFile(path)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// TestExecDaemon: what a program leaves in the background, holding its output
// open or writing to it without end, is neither waited for nor killed.
func TestExecDaemon(t *testing.T) {
	for name, script := range map[string]string{
		"silent": `sleep 1000 & echo $! > "$OUT"; echo started; exit 0`,
		"noisy":  `yes & echo $! > "$OUT"; echo started; exit 0`,
		"failed": `sleep 1000 & echo $! > "$OUT"; echo started; exit 1`,
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "pid")
			t.Cleanup(func() { killFrom(out) })
			_, err := sh(t, script, table{"env": table{"OUT": out}}, actions.Options{Timeout: time.Minute}).Do(t.Context(), actionstest.Firing())
			if failed := name == "failed"; (err != nil) != failed || failed && !strings.Contains(err.Error(), "started") {
				t.Errorf("got %v", err)
			}
			b, _ := os.ReadFile(out)
			pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
			if pid == 0 || name != "noisy" && syscall.Kill(pid, 0) != nil { // yes ends, when nobody reads it
				t.Errorf("process %d is not there any more", pid)
			}
		})
	}
}

// fifo makes a named pipe. Reading it ends when everything that opened it to
// write has ended, which is how a test learns that a process is gone.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExecKill: when ctx ends, nothing of the group survives: not a program
// that ignores SIGTERM, and not its children.
func TestExecKill(t *testing.T) {
	for name, script := range map[string]string{
		"a program":               `exec sleep 1000 3> "$OUT"`,
		"ignores SIGTERM":         `trap "" TERM; exec 3> "$OUT"; while :; do sleep 1000; done`,
		"its children":            `exec 3> "$OUT"; sleep 1000 & sleep 1000 & wait`,
		"children ignore SIGTERM": `trap "exit 0" TERM; (trap "" TERM; exec 3> "$OUT"; while :; do sleep 1000; done) & wait`,
		"writes without end":      `exec 3> "$OUT"; yes`,
	} {
		t.Run(name, func(t *testing.T) {
			path := fifo(t)
			a := sh(t, script, table{"env": table{"OUT": path}}, actions.Options{Timeout: time.Minute})
			exec.SetGrace(a, 50*time.Millisecond)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := a.Do(ctx, actionstest.Firing())
				done <- err
			}()
			alive, err := os.Open(path) // returns when the script has opened it
			if err != nil {
				t.Fatal(err)
			}
			defer alive.Close()
			cancel()
			err = <-done
			if !errors.Is(err, context.Canceled) || actions.IsPermanent(err) {
				t.Errorf("got %v", err)
			}
			if _, err := io.Copy(io.Discard, alive); err != nil { // hangs if one survived
				t.Error(err)
			}
		})
	}
}

// TestExecStopped: when triggerd stops it does not wait for as long as after a timeout:
// it ends soon, and a program that ignores SIGTERM would outlive it.
func TestExecStopped(t *testing.T) {
	t.Parallel()
	path := fifo(t)
	a := sh(t, `trap "" TERM; exec 3> "$OUT"; while :; do sleep 1000; done`, table{"env": table{"OUT": path}}, actions.Options{Timeout: time.Hour})
	exec.SetGrace(a, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(0, func() {
		alive, err := os.Open(path) // returns when the script has opened it
		if err != nil {
			t.Error(err)
		}
		cancel()
		_, _ = io.Copy(io.Discard, alive)
		alive.Close()
	})
	if _, err := a.Do(ctx, actionstest.Firing()); !errors.Is(err, context.Canceled) { // hangs if it were an hour
		t.Errorf("got %v", err)
	}
}

// TestExecEscaped: what has left the program's group is out of our reach, and
// has its input and output still: it is not waited for.
func TestExecEscaped(t *testing.T) {
	path := fifo(t)
	a := sh(t, `setsid sh -c 'echo $$ > "$OUT"; exec sleep 1000' & wait`, table{"env": table{"OUT": path}}, actions.Options{Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	var pid int
	go func() {
		b, _ := os.ReadFile(path) // until it has escaped
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		cancel()
	}()
	err := actionstest.EndsWithin(t, ctx, a)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if pid == 0 || syscall.Kill(pid, syscall.SIGKILL) != nil {
		t.Errorf("process %d has not escaped", pid)
	}
}

func TestExecTimeout(t *testing.T) {
	_, err := sh(t, `exec sleep 1000`, nil, actions.Options{Timeout: 50 * time.Millisecond}).Do(t.Context(), actionstest.Firing())
	actionstest.WantRetry(t, err)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "/bin/sh: not done within 50ms") {
		t.Errorf("got %v", err)
	}
}

// TestExecLastWords: a program that cleans up when it is told to end is heard,
// but its exit code is not its own verdict on the firing.
func TestExecLastWords(t *testing.T) {
	path := fifo(t)
	a := sh(t, `trap 'echo bye >&2; exit 64' TERM; echo hello >&2; : > "$OUT"; while :; do sleep 0.01; done`, table{"env": table{"OUT": path}}, actions.Options{Timeout: time.Minute})
	exec.SetGrace(a, time.Minute) // it has that, since its time is up and triggerd goes on
	ctx, expire := actionstest.Expiring(t.Context())
	go func() {
		_, _ = os.ReadFile(path)
		expire()
	}()
	_, err := a.Do(ctx, actionstest.Firing())
	actionstest.WantRetry(t, err)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `: hello\n`) || !strings.HasSuffix(err.Error(), `bye`) {
		t.Errorf("got %v", err)
	}
}

// TestExecSecrets: what a program prints of the credentials it was given is
// not passed on.
func TestExecSecrets(t *testing.T) {
	t.Setenv("PASSED_TOKEN", "passed-secret")
	a := sh(t, `env >&2; exit 1`, table{"env": table{"API_TOKEN": "table-secret", "PLAIN": "plain"}, "env_pass": list("PASSED_TOKEN")}, actions.Options{})
	_, err := a.Do(t.Context(), actionstest.Firing())
	for _, s := range []string{"passed-secret", "table-secret"} {
		if err == nil || strings.Contains(err.Error(), s) {
			t.Errorf("%q is in %v", s, err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "PLAIN=plain") || !strings.Contains(err.Error(), "API_TOKEN=***") {
		t.Errorf("got %v", err)
	}
}

func TestExecLogsOutput(t *testing.T) {
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if _, err := sh(t, `echo hello`, nil, actions.Options{Logger: log}).Do(t.Context(), actionstest.Firing()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `level=DEBUG msg="command output" rule=stock-zero`) || !strings.Contains(b.String(), `hello`) {
		t.Errorf("got %s", b.String())
	}
}

func TestExecSuite(t *testing.T) {
	actionstest.Run(t, func(t *testing.T) actions.Action {
		return sh(t, `cat > /dev/null; echo "$TOKEN" >&2`, table{"env": table{"TOKEN": actionstest.Secret}}, actions.Options{}, "{{.key}}")
	})
	actionstest.RunWaiting(t, func(t *testing.T) (actions.Action, <-chan struct{}) {
		path := fifo(t)
		started := make(chan struct{})
		go func() {
			if f, err := os.Open(path); err == nil {
				f.Close()
			}
			close(started)
		}()
		return sh(t, `echo "$TOKEN" >&2; : > "$OUT"; exec sleep 1000`, table{"env": table{"TOKEN": actionstest.Secret, "OUT": path}}, actions.Options{}), started
	})
}

// TestExecNoEffect: New, which checks a file, runs nothing.
func TestExecNoEffect(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	sh(t, `: > "$OUT"`, table{"env": table{"OUT": out}}, actions.Options{})
	if _, err := os.Stat(out); err == nil {
		t.Error("the program ran")
	}
}

func TestExecMasksByValue(t *testing.T) {
	const value = `pläin "v\lue`
	a := sh(t, `printf '%s\n' "$X" "$1"; env | base64; printf '%s' "$X" | od -An -tx1 | tr -d ' \n'; exit "$CODE"`, table{"env": table{"X": value, "CODE": "{{if eq .key \"stock:42\"}}1{{else}}0{{end}}"}}, actions.Options{Secrets: secret.New(value)}, value)
	f := actionstest.Firing()
	res, err := a.Do(t.Context(), f)
	if err == nil || !strings.Contains(res.Excerpt, secret.Mark) {
		t.Fatalf("%v, %q", err, res.Excerpt)
	}
	actionstest.CheckMasked(t, res, err, value)
	f.Event.Key = []byte("another")
	if res, err = a.Do(t.Context(), f); err != nil || !strings.Contains(res.Excerpt, secret.Mark) {
		t.Fatalf("%v, %q", err, res.Excerpt)
	}
	actionstest.CheckMasked(t, res, err, value)
}

func TestExecReach(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.WriteFile(gone, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	notThere := mustNew(t, table{"command": list(gone)}, actions.Options{})
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		a    actions.Action
		want string
	}{
		{"program is gone", notThere, "unreached"},
		{"exit code", sh(t, "exit 1", nil, actions.Options{}), "answer"},
		{"signal", sh(t, "kill -9 $$", nil, actions.Options{}), "answer"},
		{"not done in time", sh(t, "sleep 10", nil, actions.Options{Timeout: 100 * time.Millisecond}), "unanswered"},
		{"permanent exit", sh(t, "exit 64", nil, actions.Options{}), "permanent"},
		{"argument too long", sh(t, "true", nil, actions.Options{}, strings.Repeat("x", 1<<20)), "unsent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.a.Do(t.Context(), actionstest.Firing())
			if got := actionstest.Says(err); got != tt.want {
				t.Errorf("%v says %s, want %s", err, got, tt.want)
			}
		})
	}
}
