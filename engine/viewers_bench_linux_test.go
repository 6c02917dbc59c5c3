package engine_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"triggerd/engine"
	"triggerd/internal/admin"
	"triggerd/internal/resp"
	"triggerd/rules"
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
//	go test ./engine -run ^$ -bench Viewers -benchtime 10x
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
	counts := []int{0, 1, 10}
	costs, ratios := map[int][]float64{}, map[int][]float64{}
	for round := 0; b.Loop(); round++ {
		for i := range counts {
			viewers := counts[(i+round)%len(counts)] // by turns: the machine's speed changes
			costs[viewers] = append(costs[viewers], readerCost(b, set, piece, perPiece, pieces, viewers))
		}
		for _, viewers := range counts {
			ratios[viewers] = append(ratios[viewers], 100*(costs[viewers][round]/costs[0][round]-1))
		}
	}
	for _, viewers := range counts {
		b.ReportMetric(median(costs[viewers]), fmt.Sprintf("ns-CPU/command/%d", viewers))
		b.ReportMetric(slices.Min(costs[viewers]), fmt.Sprintf("ns-least/%d", viewers)) // what else runs only adds
		b.ReportMetric(median(ratios[viewers]), fmt.Sprintf("%%more/%d", viewers))
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// readerCost returns the nanoseconds of CPU that the reader takes for a command,
// with so many viewers.
func readerCost(b *testing.B, set *rules.Set, piece []byte, perPiece, pieces, viewers int) float64 {
	in := &paced{piece: piece, pieces: pieces}
	e, err := engine.New(engine.Config{Rules: set, Source: source.NewRecording(in, "stream"), Replay: true, DryRun: true})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var watching sync.WaitGroup
	for range viewers {
		feed, err := e.Feed(ctx, admin.FeedQuery{All: true, Every: 50 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		begun := make(chan struct{})
		watching.Go(func() {
			first := true
			for range feed { // the first is handed out once nothing is missed
				if first {
					close(begun)
					first = false
				}
			}
		})
		<-begun
	}
	if err := e.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	stop()
	watching.Wait()
	return float64(in.cpu.Nanoseconds()) / float64(perPiece*pieces)
}
