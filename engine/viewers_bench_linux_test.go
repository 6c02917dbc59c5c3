package engine_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/resp"
	"triggerd/source"
)

// paced is a recording that comes at a rate, in pieces of ten milliseconds. Reading
// it binds the goroutine to its thread, whose CPU time is then known exactly.
type paced struct {
	piece     []byte
	pieces    int
	read      int
	began     time.Time
	from, cpu time.Duration
	rest      []byte
}

const pieceTime = 10 * time.Millisecond

func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func (p *paced) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.read == 0 {
			runtime.LockOSThread()
			p.began, p.from = time.Now(), threadTime()
		}
		if p.read == p.pieces {
			if p.cpu == 0 {
				p.cpu = threadTime() - p.from
				runtime.UnlockOSThread()
			}
			return 0, io.EOF
		}
		time.Sleep(time.Until(p.began.Add(time.Duration(p.read) * pieceTime)))
		p.rest = p.piece
		p.read++
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// BenchmarkViewers tells the reader's CPU time a command at 100,000 commands a
// second, of which each changes a key and matches one of twelve rules, with 0, 1
// and 10 viewers of all changes.
//
//	go test ./engine -run ^$ -bench Viewers -benchtime 1x -count 10
func BenchmarkViewers(b *testing.B) {
	const perPiece, pieces = 1000, 300
	var piece []byte
	for i := range perPiece {
		piece = resp.AppendCommand(piece, "SET", fmt.Sprintf("k%d:%d", i%12, i), fmt.Sprint(i))
	}
	text := ""
	for i := range 12 {
		text += fmt.Sprintf("[[rule]]\nname = \"rule-%d\"\nkey = \"k%d:*\"\nvalues = true\ndry_run = true\n[[rule.action]]\ntype = \"log\"\n", i, i)
	}
	set, err := engine.ParseRules("rules.toml", []byte(text), engine.ActionOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, viewers := range []int{0, 1, 10} {
		b.Run(fmt.Sprint(viewers), func(b *testing.B) {
			var cpu time.Duration
			entries := 0
			for b.Loop() {
				in := &paced{piece: piece, pieces: pieces}
				e, err := engine.New(engine.Config{Rules: set, Source: source.NewRecording(in, "stream"), Replay: true, DryRun: true})
				if err != nil {
					b.Fatal(err)
				}
				ctx, stop := context.WithCancel(b.Context())
				var watching sync.WaitGroup
				for i := range viewers {
					feed, err := e.Feed(ctx, admin.FeedQuery{All: true, Every: 50 * time.Millisecond})
					if err != nil {
						b.Fatal(err)
					}
					watching.Go(func() {
						for entry := range feed {
							if entry != nil && i == 0 {
								entries++
							}
						}
					})
				}
				time.Sleep(10 * time.Millisecond)
				if err := e.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
				stop()
				watching.Wait()
				cpu += in.cpu
			}
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N*perPiece*pieces), "ns-CPU/command")
			b.ReportMetric(float64(entries)/float64(b.N), "entries")
		})
	}
}
