package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second // to answer PING, on a busy machine
	stopTimeout  = 15 * time.Second // longer than the 10 s that a server waits for lagging replicas
	logTail      = 8 << 10          // bytes of its log that an error or Log shows
)

// Options says which server to start and how. The zero value starts any
// server that is on this machine, else Default.
type Options struct {
	// Name is what Get takes. "" takes the first that Find finds, else fetches Default.
	Name string

	// Args are appended to the server's command line and win over what Start
	// gives it: saving is off and a diskless sync does not wait for further
	// replicas (repl-diskless-sync-delay 0). Example: "--appendonly", "yes".
	// Leave the port, the unix socket and TLS files to Start.
	Args []string

	// Dir is the server's working directory, where it saves; it must exist.
	// "" means a temporary one, which Close removes.
	Dir string

	// TLS makes the server listen with TLS too, with a certificate of a new authority.
	TLS bool
}

// Server is a running server, or one that was stopped and can be restarted.
// Its methods may be called from several goroutines.
type Server struct {
	Program *Program
	Addr    string // "127.0.0.1:port"
	Socket  string // path of its unix socket
	Dir     string // its working directory
	TLSAddr string // "127.0.0.1:port" for TLS; "" without Options.TLS
	CAFile  string // PEM file of the authority that signed its certificate; "" without Options.TLS

	args []string // of Options
	tmp  string   // private directory: socket, log, certificates

	mu    sync.Mutex  // guards proc and ports
	proc  *Process    // nil when stopped
	ports []io.Closer // what keeps its ports its own, until Close
}

// Start gets and starts a server and waits until it answers. ctx bounds that,
// not the life of the server, which ends with Close. The error shows the end
// of the server's log.
func Start(ctx context.Context, o Options) (*Server, error) {
	p, err := o.program(ctx)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "triggerd-server-")
	if err != nil {
		return nil, err
	}
	s := &Server{Program: p, Dir: o.Dir, Socket: filepath.Join(tmp, "sock"), args: o.Args, tmp: tmp}
	if err = s.prepare(o); err == nil {
		err = s.startOnFreePort(ctx, o.TLS)
	}
	if err != nil {
		s.releasePorts()
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.Name, err), os.RemoveAll(tmp))
	}
	return s, nil
}

func (o Options) program(ctx context.Context) (*Program, error) {
	if o.Name != "" {
		return Get(ctx, o.Name)
	}
	if found := Find(ctx); len(found) > 0 {
		return found[0], nil
	}
	return Get(ctx, Default)
}

func (s *Server) prepare(o Options) error {
	if s.Dir == "" {
		s.Dir = filepath.Join(s.tmp, "data")
		if err := os.Mkdir(s.Dir, 0o700); err != nil {
			return err
		}
	}
	if _, err := os.ReadDir(s.Dir); err != nil { // else it would look as if the program were missing
		return err
	}
	if !o.TLS {
		return nil
	}
	s.CAFile = filepath.Join(s.tmp, caFile)
	return makeCerts(s.tmp)
}

// startOnFreePort starts s on a port that was free a moment ago, and tries
// again with another if it was not when the server came to it.
func (s *Server) startOnFreePort(ctx context.Context, withTLS bool) error {
	for try := 1; ; try++ {
		err := s.reservePorts(withTLS)
		if err == nil {
			err = s.start(ctx)
		}
		if err == nil || !errors.Is(err, errPortTaken) || try == 5 {
			return err
		}
	}
}

// reservePorts gives s other ports than it has.
func (s *Server) reservePorts(withTLS bool) error {
	s.releasePorts()
	addrs := []*string{&s.Addr}
	if withTLS {
		addrs = append(addrs, &s.TLSAddr)
	}
	for _, addr := range addrs {
		reserved, port, err := reserve()
		if err != nil {
			return err
		}
		*addr = reserved
		s.mu.Lock()
		s.ports = append(s.ports, port)
		s.mu.Unlock()
	}
	return nil
}

func (s *Server) releasePorts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		_ = p.Close()
	}
	s.ports = nil
}

// Restart stops the server, if it still runs, and starts it again on the same
// ports and directory. It finds there what its Args made it save.
func (s *Server) Restart(ctx context.Context) error {
	err := s.Stop()
	if err == nil {
		err = s.startOnSamePort(ctx)
	}
	if err != nil {
		return fmt.Errorf("restart %s: %w", s.Program.Name, err)
	}
	return nil
}

func (s *Server) startOnSamePort(ctx context.Context) error {
	for taken := error(nil); ; {
		err := s.start(ctx)
		switch {
		case errors.Is(err, errPortTaken):
			taken = err
		case err != nil && ctx.Err() != nil && taken != nil:
			return errors.Join(err, taken) // stopped before this attempt found out
		default:
			return err
		}
		select { // someone else's for a moment: there is no event to wait for
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), taken)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends the server with SIGTERM, which lets it save and tell its replicas,
// and with SIGKILL after 15 seconds, which is an error. Stopping a server that
// does not run does nothing.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL. Killing a server that does not run does nothing.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Close kills the server, if it still runs, and removes what Start made.
func (s *Server) Close() error {
	err := s.Kill()
	s.releasePorts()
	return errors.Join(err, os.RemoveAll(s.tmp))
}

// PID returns the server's process ID, 0 if it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// Log returns the end of what the server has logged since it was first
// started, at most 8 KB; "" after Close.
func (s *Server) Log() string {
	return s.logSince(0)
}

// logSince returns what the log has after the first offset bytes, or the end of that.
func (s *Server) logSince(offset int64) string {
	f, err := os.Open(s.logFile())
	if err != nil {
		return ""
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	offset = max(offset, end-logTail)
	b, _ := io.ReadAll(io.NewSectionReader(f, offset, end-offset)) // what could be read is better than nothing
	return string(b)
}

func (s *Server) logFile() string { return filepath.Join(s.tmp, "log") }

// errPortTaken reports that a server could not have its port.
var errPortTaken = errors.New("its port is taken")

// start starts the process and waits until it answers on its unix socket. As
// nobody else can have that, what answers is this very server, and as a server
// listens on all its addresses or ends, its port is open then too.
func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %v", startTimeout))
	defer cancel()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	cmd := s.Program.Command("server", s.commandLine()...)
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = log, log
	p, err := StartProcess(cmd)
	if err == nil {
		err = s.awaitAnswer(ctx, p)
	}
	if err == nil {
		s.proc = p
		return nil
	}
	if p != nil {
		p.Kill()
	}
	said := s.logSince(before)
	if strings.Contains(strings.ToLower(said), "address already in use") {
		err = errors.Join(errPortTaken, err)
	}
	return fmt.Errorf("on %s: %w; its log:\n%s", s.Addr, err, said)
}

func (s *Server) commandLine() []string {
	host, port, _ := net.SplitHostPort(s.Addr)
	args := []string{
		"--bind", host, "--port", port, "--unixsocket", s.Socket, "--dir", s.Dir,
		"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
	}
	if s.TLSAddr != "" {
		_, port, _ := net.SplitHostPort(s.TLSAddr)
		args = append(args, "--tls-port", port, "--tls-auth-clients", "no", "--tls-ca-cert-file", s.CAFile,
			"--tls-cert-file", filepath.Join(s.tmp, certFile), "--tls-key-file", filepath.Join(s.tmp, keyFile))
	}
	return append(args, s.args...)
}

// awaitAnswer returns when the server answers PING, with an error if it ends
// or ctx is done before.
func (s *Server) awaitAnswer(ctx context.Context, p *Process) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, s.Socket) {
		select {
		case <-p.Done:
			return fmt.Errorf("it ended (%v)", p.cmd.ProcessState)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

// answers reports whether the server at a unix socket executes commands. One
// that wants a password first, or forbids PING, does.
func answers(ctx context.Context, socket string) bool {
	c, err := Dial(ctx, socket)
	if err != nil {
		return false
	}
	defer c.Close()
	c.Timeout = time.Second
	_, err = c.Do("PING")
	var reply ReplyError
	if errors.As(err, &reply) {
		return strings.HasPrefix(string(reply), "NOAUTH") || strings.HasPrefix(string(reply), "NOPERM")
	}
	return err == nil
}

func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proc
	if p == nil {
		return nil
	}
	s.proc = nil
	if err := p.cmd.Process.Signal(sig); errors.Is(err, os.ErrProcessDone) {
		return nil // and its process ID may be another's by now
	}
	defer p.Kill() // a child that is saving is in its process group
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.Done:
		return nil
	case <-timeout.C:
		return fmt.Errorf("stop %s: still there after %v; its log:\n%s", s.Program.Name, stopTimeout, s.Log())
	}
}

// Process is a started command.
type Process struct {
	cmd  *exec.Cmd
	Done chan struct{} // closed by StartProcess's goroutine when the process has ended
}

// StartProcess starts cmd, which ends with this process if not before. The kernel takes the end of the thread that
// started a process for the end of its parent, so one thread is kept for it
// until it has ended.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = procAttr()
	p := &Process{cmd: cmd, Done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in cmd.ProcessState
			close(p.Done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Kill ends the process and all of its group and waits for it.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.Done
}
