package exec

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"triggerd/actions"
	"triggerd/internal/event"
	"triggerd/internal/excerpt"
	"triggerd/internal/firing"
	"triggerd/internal/secret"
	"triggerd/internal/tmpl"
)

// Kind is the kind exec.
var Kind = actions.Kind{
	Name: "exec", Doc: "runs a program, without a shell", Concurrency: 2, New: newCommand,
	Fields: []actions.Field{
		{Name: "command", Type: actions.Texts, Required: true, Template: true, Doc: "the program, which is no template, and its arguments, each one argument. A key may begin with `-`: put `\"--\"` before it"},
		{Name: "env", Type: actions.TextTable, Template: true, Doc: "variables to set"},
		{Name: "env_pass", Type: actions.Texts, Doc: "names of variables to pass on from triggerd's own environment"},
		{Name: "dir", Doc: "absolute path to run in; by default triggerd's own"},
		{Name: "user", Doc: "name or number of the user to run as, with its groups, `HOME` and `USER`; triggerd must run as root"},
		{Name: "permanent_exit", Type: actions.ExitCodes, Default: "[64, 65, 78]", Doc: "codes to give up at (sysexits: usage, data, configuration)"},
		{Name: "latest_only", Type: actions.Flag, Default: "false", Doc: "of the firings of one key that wait, or wait to be tried again, only the last is run; the others are counted as `superseded`"},
	},
}

// command runs a program per firing.
//
// The program gets the firing's JSON and a newline on standard input. Its
// environment is PATH, HOME, LANG and USER of triggerd's, env_pass, env, and
// TRIGGERD_ID, _RULE, _ACTION, _EVENT, _COMMAND, _DB, _OFFSET, _ATTEMPT, _KEY
// and _KEY_BASE64, and of rules with time fields _STATUS, _BY and _COUNT where
// they are set. A key is bytes: _KEY is the key as it is, and is left out
// where it cannot be a variable (a NUL in it, or over 32 KiB) so that a program
// fails rather than takes another key; _KEY_BASE64 is left out only over 32
// KiB. Both are left out for an event without a key.
//
// Exit code 0 is done. Every other, a signal and a timeout are tried again,
// save those of permanent_exit. What the program writes is for messages only.
//
// The program runs in a process group of its own. When its time is up, or ctx
// ends, the group gets SIGTERM, and SIGKILL three seconds later or as soon as the
// program itself is gone; one second later where ctx ends before its time is up. One that SIGKILL does not end, because triggerd has no
// right to send it or the program hangs in the kernel, is waited for no longer
// than another second: the attempt has failed then, though the program still
// runs. What it leaves running in the background after it exited by itself is
// left alone, and is not waited for. On Linux it gets SIGTERM should triggerd
// itself be killed.
//
// An argument that data begins with "-" reads as an option to most programs:
// put "--" before it.
type command struct {
	program     string // absolute
	args        []*tmpl.Template
	env         []string // the constant part
	ownEnv      []variable
	dir         string
	account     *account // nil: triggerd's own
	permanent   []int
	timeout     time.Duration
	latestOnly  bool
	grace       time.Duration // between SIGTERM and SIGKILL
	log         *slog.Logger
	credentials []string       // of the fields, and of the environment
	masker      *secret.Masker // of these and beyond
	warnings    []*actions.FieldError
}

type variable struct {
	name  string
	value *tmpl.Template
}

func newCommand(s *actions.Settings) (actions.Action, error) {
	c := &command{timeout: s.Timeout, grace: 3 * time.Second, log: s.Logger}
	c.takeCommand(s)
	c.takeUser(s)
	c.takeEnv(s)
	c.takeDir(s)
	c.takePermanentExit(s)
	c.masker = s.Secrets.With(c.credentials...)
	c.latestOnly = s.Flag("latest_only")
	if s.NoExec {
		return nil, errors.New("exec actions are switched off here (--no-exec); use a webhook, or start triggerd without it")
	}
	return c, nil
}

func (c *command) takeCommand(s *actions.Settings) {
	if s.IsText("command") {
		s.Fail("command", "must be a list, the program and its arguments: no shell splits it; write command = [\"/bin/sh\", \"-c\", \"...\"] if you want one")
		return
	}
	argv, ok := s.Texts("command")
	if !s.Has("command") || ok && len(argv) == 0 {
		s.Fail("command", "is required: write command = [\"/path/to/program\", \"argument\"]")
		return
	}
	if !ok {
		return
	}
	c.program = findProgram(s, argv[0])
	for _, text := range argv[1:] {
		c.args = append(c.args, s.Template("command", text))
	}
	if by := runsData(argv); by != "" {
		c.warnings = append(c.warnings, &actions.FieldError{
			Name: "command", Err: fmt.Errorf(`%[1]s runs the data that a template writes into its program: a key or a value may have $(rm -rf /) in it; let it read arguments, [..., "echo \"$1\"", "%[1]s", "{{.key}}"], or "$TRIGGERD_KEY"`, by), Code: "shell-template",
		})
	}
}

// Warnings are about fields that are no mistake, and hardly meant.
func (c *command) Warnings() []*actions.FieldError { return c.warnings }

// codeFlags are, by the names of interpreters, the letters of the flags after which a
// program stands.
var codeFlags = map[string]string{
	"sh": "c", "bash": "c", "dash": "c", "ash": "c", "zsh": "c", "ksh": "c", "fish": "c", "su": "c", "python": "c", "python2": "c", "python3": "c",
	"perl": "eE", "ruby": "e", "node": "ep", "php": "r",
}

// runsData returns the name of the interpreter that runs a text with a template in it,
// also one that another program runs (env, sudo, timeout); "" if there is none.
func runsData(argv []string) string {
	for i, name := range argv {
		name = filepath.Base(name)
		letters := codeFlags[name]
		if letters == "" {
			continue
		}
		for j, flag := range argv[i+1:] {
			isFlag := strings.HasPrefix(flag, "-") && !strings.HasPrefix(flag, "--") && len(flag) > 1 && strings.IndexByte(letters, flag[len(flag)-1]) >= 0
			if code := i + 1 + j + 1; isFlag && code < len(argv) && strings.Contains(argv[code], "{{") {
				return name
			}
		}
	}
	return ""
}

// findProgram looks the program up now, so that a misspelt one is found when
// the file is checked and not when a rule fires.
func findProgram(s *actions.Settings, name string) string {
	switch {
	case strings.Contains(name, "{{"):
		s.Fail("command", "the program may not be a template: data must not choose what is run")
		return ""
	case strings.Contains(name, "/") && !filepath.IsAbs(name):
		s.Fail("command", "the program %q must be an absolute path, or a name to look up in PATH", name)
		return ""
	}
	if s.Needs != nil {
		s.Needs("program", name)
		return name
	}
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		s.Fail("command", "there is no program %q in PATH (%s); write its absolute path", name, os.Getenv("PATH"))
	case errors.Is(err, fs.ErrNotExist):
		s.Fail("command", "there is no file %s", name)
	case errors.Is(err, fs.ErrPermission):
		s.Fail("command", "%s is not executable; chmod +x it", name)
	case err != nil: // a directory; a program found through a relative PATH entry
		s.Fail("command", "cannot run %q: %w", name, err)
	}
	return path
}

// passed are the variables of triggerd's own environment that every program
// gets.
var passed = []string{"PATH", "HOME", "LANG", "USER"}

func (c *command) takeEnv(s *actions.Settings) {
	names, _ := s.Texts("env_pass")
	own, hasOwn := s.Table("env")
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(names, passed...)))) {
		if err := checkVariable(name); err != nil {
			s.Fail("env_pass", "%q %w", name, err)
			continue
		}
		if hasOwn && own.Has(name) {
			if slices.Contains(names, name) {
				s.Fail("env_pass", "%q is in env too; leave out one", name)
			}
			continue
		}
		if value, ok := c.account.lookup(name); ok {
			c.env = append(c.env, name+"="+value)
			if secret.NamesCredential(name) {
				c.credentials = append(c.credentials, value)
			}
		}
	}
	if !hasOwn {
		return
	}
	for _, name := range own.Names() {
		text, ok := own.Text(name)
		if !ok {
			continue
		}
		if err := checkVariable(name); err != nil {
			own.Fail(name, "%w", err)
			continue
		}
		value := own.Template(name, text)
		c.ownEnv = append(c.ownEnv, variable{name, value})
		if value == nil || !secret.NamesCredential(name) {
			continue
		}
		if _, fixed := value.Fixed(); fixed {
			c.credentials = append(c.credentials, text)
		}
	}
}

func checkVariable(name string) error {
	switch {
	case name == "" || strings.ContainsAny(name, "=\x00"):
		return errors.New("is not a variable's name")
	case strings.HasPrefix(name, "TRIGGERD_"):
		return errors.New("is triggerd's to set, as every name that begins with TRIGGERD_")
	}
	return nil
}

func (c *command) takeDir(s *actions.Settings) {
	dir, ok := s.Text("dir")
	if !ok || dir == "" {
		return // triggerd's own, as for a program that is started by hand
	}
	c.dir = dir
	if !filepath.IsAbs(dir) {
		s.Fail("dir", "must be an absolute path, not %q", dir)
	} else if s.Needs != nil {
		s.Needs("file", dir)
	} else if info, err := os.Stat(dir); err != nil {
		s.Fail("dir", "%w", err)
	} else if !info.IsDir() {
		s.Fail("dir", "%s is not a directory", dir)
	}
}

func (c *command) takePermanentExit(s *actions.Settings) {
	if !s.Has("permanent_exit") {
		c.permanent = []int{64, 65, 78}
	}
	list, _ := s.List("permanent_exit")
	for i, v := range list {
		code, ok := v.(int64)
		if !ok || code < 1 || code > 255 {
			s.Fail("permanent_exit", "element %d must be an exit code from 1 to 255", i+1)
			continue
		}
		c.permanent = append(c.permanent, int(code))
	}
}

// Do runs the program once and waits for it.
func (c *command) Do(ctx context.Context, f *firing.Firing) (actions.Result, error) {
	ctx, stop := actions.WithTimeout(ctx, c.timeout, "not done")
	defer stop()
	args, env, err := c.render(ctx, f)
	if err != nil {
		return actions.Result{}, err
	}
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env, cmd.Dir = env, c.dir
	r := run{cmd: cmd, grace: c.grace, account: c.account}
	err = r.do(ctx, input(f))
	res, err := c.result(ctx, f, &r, err)
	if err == nil {
		res.Sent = func() actions.Sent { return actions.Sent{Preview: c.preview(args, env, nil), EventBody: true} }
	}
	return res, err
}

// input is what the program gets on standard input.
func input(f *firing.Firing) []byte { return append(f.AppendJSON(nil), '\n') }

// render returns the arguments and the environment for a firing.
func (c *command) render(ctx context.Context, f *firing.Firing) (args, env []string, err error) {
	v := tmpl.NewView(f)
	if args, err = c.renderArgs(ctx, v); err == nil {
		env, err = c.renderEnv(ctx, f, v)
	}
	if err != nil {
		return nil, nil, actions.Unrendered(ctx, fmt.Errorf("%s: %w", c.program, err))
	}
	return args, env, nil
}

func (c *command) renderArgs(ctx context.Context, v *tmpl.View) ([]string, error) {
	args := make([]string, len(c.args))
	for i, t := range c.args {
		s, err := t.Render(ctx, v, maxArg)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("argument %d: has a NUL byte in it, which no argument can have; read it from standard input, or write {{b64 ...}} or {{text ...}}", i+1)
		}
		args[i] = s
	}
	return args, nil
}

func (c *command) renderEnv(ctx context.Context, f *firing.Firing, v *tmpl.View) ([]string, error) {
	env := slices.Clone(c.env)
	for _, own := range c.ownEnv {
		s, err := own.value.Render(ctx, v, maxArg-len(own.name)-1)
		if err != nil {
			return nil, fmt.Errorf("env.%s: %w", own.name, err)
		}
		if strings.IndexByte(s, 0) >= 0 {
			return nil, fmt.Errorf("env.%s: has a NUL byte in it, which no variable can have", own.name)
		}
		env = append(env, own.name+"="+s)
	}
	return appendFiring(env, f), nil
}

// maxArg is how long an argument or a variable may be: Linux refuses a longer one
// (MAX_ARG_STRLEN, with its NUL).
const maxArg = 128<<10 - 1

// maxVariable is how long a variable of ours may be. Linux has room for four
// times as much in one, but for little more in all together.
const maxVariable = 32 << 10

// appendFiring appends the TRIGGERD_ variables.
func appendFiring(env []string, f *firing.Firing) []string {
	set := func(name, value string) {
		if len(value) <= maxVariable && strings.IndexByte(value, 0) < 0 {
			env = append(env, "TRIGGERD_"+name+"="+value)
		}
	}
	set("ID", f.ID.String())
	set("RULE", f.Rule)
	set("ACTION", f.Action)
	set("ATTEMPT", strconv.Itoa(f.Attempt))
	set("EVENT", f.Event.Name)
	set("COMMAND", f.Event.Command)
	set("DB", strconv.Itoa(f.Event.DB))
	set("OFFSET", strconv.FormatInt(f.Event.Offset, 10))
	if f.Event.Key != nil && len(f.Event.Key) <= maxVariable {
		set("KEY", string(f.Event.Key))
		set("KEY_BASE64", base64.StdEncoding.EncodeToString(f.Event.Key))
	}
	if f.Redelivered {
		set("REDELIVERED", "1")
	}
	if f.Status != "" {
		set("STATUS", f.Status)
	}
	if f.By != "" {
		set("BY", f.By)
	}
	if f.Count != 0 {
		set("COUNT", strconv.Itoa(f.Count))
	}
	return env
}

// result judges how a run ended.
func (c *command) result(ctx context.Context, f *firing.Firing, r *run, err error) (actions.Result, error) {
	killed := ctx.Err() != nil // perhaps in the middle of a word
	output := r.stderr.Text(c.masker, killed)
	if output == "" {
		output = r.stdout.Text(c.masker, killed)
	}
	res := actions.Result{Excerpt: output}
	if err == nil {
		res.Status, res.Exit = "exit 0", true
		if output != "" {
			c.log.LogAttrs(ctx, slog.LevelDebug, "command output", slog.String("rule", f.Rule), slog.String("firing", f.ID.String()), slog.String("output", output))
		}
		return res, nil
	}
	if output != "" {
		output = ": " + output
	}
	exit, exited := errors.AsType[*exec.ExitError](err)
	if exited {
		res.Code, res.Exit = max(exit.ExitCode(), 0), true
	}
	switch {
	case errors.Is(err, errSurvives):
		return res, fmt.Errorf("%s: %w, and %w: process %d still runs%s", c.program, actions.ContextError(ctx), err, r.cmd.Process.Pid, output)
	case ctx.Err() != nil:
		return res, fmt.Errorf("%s: %w%s", c.program, actions.ContextError(ctx), output)
	case exited:
		err = fmt.Errorf("%s: %w%s", c.program, err, output)
		if slices.Contains(c.permanent, exit.ExitCode()) {
			return res, actions.Permanent(err)
		}
		return res, err
	case errors.Is(err, syscall.E2BIG):
		return res, actions.Unsent(fmt.Errorf("%s: arguments and environment are too long together: %w", c.program, err))
	}
	return res, actions.Unreached(fmt.Errorf("%s: %w", c.program, err)) // it could not be started
}

// Destination is the program's name, without its folder.
func (c *command) Destination() string { return filepath.Base(c.program) }

// Reads is what the templates of command and env read.
func (c *command) Reads() (parts event.Parts) {
	for _, t := range c.args {
		parts |= t.Reads()
	}
	for _, own := range c.ownEnv {
		parts |= own.value.Reads()
	}
	return parts
}

// Elements is what they read of values.
func (c *command) Elements() (names []string) {
	for _, t := range c.args {
		names = append(names, t.Elements()...)
	}
	for _, own := range c.ownEnv {
		names = append(names, own.value.Elements()...)
	}
	return names
}

// Params are the names that the templates read of what a key pattern captured.
func (c *command) Params() []string { return c.templates().Params() }

// KeyPieces is what is known of the names of other keys that the templates read.
func (c *command) KeyPieces() [][]string { return c.templates().KeyPieces() }

// OtherKeys are these keys for a firing.
func (c *command) OtherKeys(f *firing.Firing) []string { return c.templates().OtherKeys(f) }

func (c *command) templates() tmpl.Templates {
	list := tmpl.Templates(slices.Clone(c.args))
	for _, own := range c.ownEnv {
		list = append(list, own.value)
	}
	return list
}

// LatestOnly is the field latest_only.
func (c *command) LatestOnly() bool { return c.latestOnly }

// Grace is how long a run may take to end after its time is up.
func (c *command) Grace() time.Duration { return c.grace + lastWords }

// run is one run of a program.
type run struct {
	cmd            *exec.Cmd // made with the ctx that ends it
	grace          time.Duration
	account        *account
	stdout, stderr excerpt.Ends

	pipes []*os.File // ours to close, whatever happens
}

// lastWords is how long output is still read after the program exited, where
// something it left in the background holds the pipe open.
const lastWords = 100 * time.Millisecond

// stopGrace is the time between SIGTERM and SIGKILL when triggerd itself stops: it
// ends two seconds later whatever still runs, and would leave the program behind.
const stopGrace = time.Second

// killTime is how long a program is waited for after SIGKILL.
const killTime = time.Second

// errSurvives is of a program that SIGKILL did not end.
var errSurvives = errors.New("it could not be killed")

// do starts the program, feeds it input, and returns when it has exited, or
// could not be made to: nil for exit code 0, else an *exec.ExitError,
// errSurvives, or what kept it from running.
//
// The pipes are our own. Those of package exec would have Wait wait for every
// process that holds one, not just for the program.
func (r *run) do(ctx context.Context, input []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer r.closePipes()
	stdin, in, err1 := r.pipe()
	out, stdout, err2 := r.pipe()
	errs, stderr, err3 := r.pipe()
	if err := errors.Join(err1, err2, err3, r.account.own(stdin, stdout, stderr)); err != nil {
		return err
	}
	cmd := r.cmd
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = ownGroup()
	r.account.become(cmd.SysProcAttr)
	ended := false
	cmd.Cancel = func() error {
		ended = true
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // triggerd stops, and has not long
			cmd.WaitDelay = min(r.grace, stopGrace)
		}
		return signalGroup(cmd, syscall.SIGTERM)
	}
	cmd.WaitDelay = r.grace // then Wait sends SIGKILL, to the program alone

	defer pinThread()()
	if err := cmd.Start(); err != nil {
		return err
	}
	stdin.Close()
	stdout.Close()
	stderr.Close()
	var feeds sync.WaitGroup
	feeds.Go(func() {
		_, _ = in.Write(input) // a program need not read it
		in.Close()
	})
	feeds.Go(func() { gather(&r.stdout, out) })
	feeds.Go(func() { gather(&r.stderr, errs) })

	err := r.wait(ctx)
	if err == errSurvives || ended { // Wait returns only after Cancel did
		_ = signalGroup(cmd, syscall.SIGKILL) // whom the program did not take along
	}
	now := time.Now()
	_ = in.SetWriteDeadline(now)
	_ = out.SetReadDeadline(now.Add(lastWords))
	_ = errs.SetReadDeadline(now.Add(lastWords))
	feeds.Wait()
	return err
}

// pipeSize is how much a pipe holds.
const pipeSize = 64 << 10

// gather reads what a program writes until nobody can write any more, or until
// from's deadline. On a busy machine that may pass before the goroutine has had
// its turn, so what is in the pipe by then is read all the same: the program may
// have written it before it exited.
func gather(to io.Writer, from *os.File) {
	_, err := io.Copy(to, from)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return
	}
	raw, err := from.SyscallConn()
	if err != nil {
		return
	}
	_ = from.SetReadDeadline(time.Time{})
	buf := make([]byte, 4<<10)
	for left := pipeSize; left > 0; { // something in the background may write without end
		n := 0
		_ = raw.Read(func(fd uintptr) bool {
			n, _ = syscall.Read(int(fd), buf) // does not wait
			return true
		})
		if n <= 0 {
			return
		}
		_, _ = to.Write(buf[:n])
		left -= n
	}
}

// wait waits for the program, and no longer than until killTime after it should
// have been killed. It leaves behind a goroutine for a program that still runs.
func (r *run) wait(ctx context.Context) error {
	waited := make(chan error, 1)
	go func() { waited <- r.cmd.Wait() }()
	select {
	case err := <-waited:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-waited:
		return err
	case <-time.After(r.grace + killTime):
	}
	select {
	case err := <-waited: // at the same moment
		return err
	default:
		return errSurvives
	}
}

func (r *run) pipe() (reader, writer *os.File, err error) {
	if reader, writer, err = os.Pipe(); err == nil {
		r.pipes = append(r.pipes, reader, writer)
	}
	return reader, writer, err
}

func (r *run) closePipes() {
	for _, f := range r.pipes {
		_ = f.Close() // most are closed already
	}
}

func ownGroup() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(attr)
	return attr
}

// signalGroup signals the program and its descendants that kept its group.
func signalGroup(cmd *exec.Cmd, s syscall.Signal) error {
	err := syscall.Kill(-cmd.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
