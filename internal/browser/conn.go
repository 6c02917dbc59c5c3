package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// callTimeout is how long the browser may take for one answer. It is a sign that
// it hangs, not that it is slow.
const callTimeout = 60 * time.Second

// conn is a connection to a browser: JSON messages, each ended by a zero byte.
type conn struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	tmp string

	mu     sync.Mutex // guards what follows, and writes
	last   int
	calls  map[int]chan<- message
	events map[string]func(method string, params json.RawMessage) // by session
	ended  error
}

type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
		Data    string `json:"data"`
	} `json:"error,omitempty"`
}

// start starts a browser.
func start(p *program) (*conn, error) {
	tmp, err := os.MkdirTemp("", "triggerd-browser-")
	if err != nil {
		return nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.file, arguments(tmp)...)
	if cmd.Env, err = p.environment(tmp); err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	own(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the browser: %w", err)
	}
	theirIn.Close()
	theirOut.Close()
	c := &conn{cmd: cmd, in: in, tmp: tmp, calls: map[int]chan<- message{}, events: map[string]func(string, json.RawMessage){}}
	go c.read(bufio.NewReaderSize(out, 1<<20))
	return c, nil
}

// close ends the browser.
func (c *conn) close() {
	c.in.Close()
	end(c.cmd)
	_ = c.cmd.Wait() // that it was killed is no error
	os.RemoveAll(c.tmp)
}

// read hands out what the browser says until it ends.
func (c *conn) read(r *bufio.Reader) {
	for {
		b, err := r.ReadBytes(0)
		if err != nil {
			c.mu.Lock()
			c.ended = fmt.Errorf("the browser has ended: %w", err)
			for _, answer := range c.calls {
				close(answer)
			}
			c.calls = nil
			c.mu.Unlock()
			return
		}
		var m message
		if json.Unmarshal(b[:len(b)-1], &m) != nil {
			continue
		}
		c.mu.Lock()
		answer, on := c.calls[m.ID], c.events[m.Session]
		delete(c.calls, m.ID)
		c.mu.Unlock()
		switch {
		case m.ID != 0 && answer != nil:
			answer <- m
		case m.Method != "" && on != nil:
			on(m.Method, m.Params)
		}
	}
}

// call calls a method in a session, "" for the browser's own, and decodes its
// result.
func (c *conn) call(session, method string, params, result any) error {
	if params == nil {
		params = struct{}{}
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	answer := make(chan message, 1)
	c.mu.Lock()
	if c.ended != nil {
		defer c.mu.Unlock()
		return c.ended
	}
	c.last++
	b, err := json.Marshal(message{ID: c.last, Session: session, Method: method, Params: raw})
	if err == nil {
		c.calls[c.last] = answer
		_, err = c.in.Write(append(b, 0))
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: the browser has ended", method)
		case m.Error != nil:
			return fmt.Errorf("%s: %s %s", method, m.Error.Message, m.Error.Data)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-time.After(callTimeout):
		return fmt.Errorf("%s: no answer from the browser in %v", method, callTimeout)
	}
}
