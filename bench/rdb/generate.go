package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"triggerd/internal/servers"
)

// serverName is the server that writes the snapshots.
const serverName = "redis-7.0"

func server(ctx context.Context) (*servers.Program, error) { return servers.Get(ctx, serverName) }

// shapes are the snapshots; each function sends the commands that make one.
var shapes = map[string]func(g *generator){
	"strings": makeStrings,
	"small":   makeSmall,
	"big":     makeBig,
	"lzf":     makeText,
}

// snapshot returns the file of the named shape in dir, made if it is not there.
func snapshot(ctx context.Context, dir, name string) (string, error) {
	fill := shapes[name]
	if fill == nil {
		return "", fmt.Errorf("no shape %q", name)
	}
	file := filepath.Join(dir, name+"-"+serverName+".rdb")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "making %s\n", file)
	tmp, err := os.MkdirTemp(dir, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	srv, err := servers.Start(ctx, servers.Options{Name: serverName, Dir: tmp})
	if err != nil {
		return "", err
	}
	defer srv.Close()
	c, err := servers.Dial(ctx, srv.Addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.Timeout = 1 << 37 // ns: two minutes, for SAVE
	g := &generator{c: c, rng: rand.New(rand.NewPCG(2026, 11))}
	fill(g)
	g.flush()
	if g.err != nil {
		return "", g.err
	}
	if _, err := c.Do("SAVE"); err != nil {
		return "", err
	}
	return file, os.Rename(filepath.Join(tmp, "dump.rdb"), file)
}

// generator sends commands in batches and keeps the first error.
type generator struct {
	c    *servers.Client
	rng  *rand.Rand
	sent int
	err  error
}

func (g *generator) do(args ...string) {
	if g.err != nil {
		return
	}
	if g.err = g.c.Send(args...); g.err != nil {
		return
	}
	if g.sent++; g.sent == 1000 {
		g.flush()
	}
}

func (g *generator) flush() {
	if g.err == nil {
		g.err = g.c.Flush()
	}
	for ; g.sent > 0 && g.err == nil; g.sent-- {
		_, g.err = g.c.Receive()
	}
}

// text returns n random letters and digits.
func (g *generator) text(n int) string {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = chars[g.rng.IntN(len(chars))]
	}
	return string(b)
}

// makeStrings: 2,000,000 strings, keys of 20 bytes, values of 32, a tenth with
// an expiry.
func makeStrings(g *generator) {
	for i := range 2_000_000 {
		key, value := fmt.Sprintf("key:%016d", i), g.text(32)
		if i%10 == 0 {
			g.do("SET", key, value, "PXAT", strconv.FormatInt(4102444800000+int64(i), 10))
		} else {
			g.do("SET", key, value)
		}
	}
}

// makeSmall: 650,000 collections of 5 to 25 elements: hashes, zsets, lists,
// sets, intsets and streams.
func makeSmall(g *generator) {
	for i := range 650_000 {
		key, n := fmt.Sprintf("small:%d", i), 5+g.rng.IntN(21)
		switch i % 6 {
		case 0:
			args := []string{"HSET", key}
			for j := range n {
				args = append(args, "field"+strconv.Itoa(j), g.smallValue())
			}
			g.do(args...)
		case 1:
			args := []string{"ZADD", key}
			for j := range n {
				args = append(args, g.score(), "member"+strconv.Itoa(j))
			}
			g.do(args...)
		case 2:
			args := []string{"RPUSH", key}
			for range n {
				args = append(args, g.smallValue())
			}
			g.do(args...)
		case 3:
			args := []string{"SADD", key}
			for range n {
				args = append(args, g.text(10))
			}
			g.do(args...)
		case 4:
			args := []string{"SADD", key}
			for range n {
				args = append(args, strconv.Itoa(g.rng.IntN(1_000_000)))
			}
			g.do(args...)
		case 5:
			for j := range n {
				g.do("XADD", key, fmt.Sprintf("%d-%d", 1700000000000+j*37, j), "user", strconv.Itoa(g.rng.IntN(100000)), "action", g.text(8))
			}
		}
	}
}

// smallValue is an integer or a short text.
func (g *generator) smallValue() string {
	if g.rng.IntN(2) == 0 {
		return strconv.Itoa(g.rng.IntN(1 << 20))
	}
	return g.text(6 + g.rng.IntN(15))
}

// score is an integer or has a fraction.
func (g *generator) score() string {
	if g.rng.IntN(2) == 0 {
		return strconv.Itoa(g.rng.IntN(100000))
	}
	return strconv.FormatFloat(float64(g.rng.IntN(10_000_000))/100, 'f', -1, 64)
}

// makeBig: 2,000 collections of 1,000 to 10,000 elements: hashes, zsets, lists
// and sets.
func makeBig(g *generator) {
	for i := range 2000 {
		key, n := fmt.Sprintf("big:%d", i), 1000+g.rng.IntN(9001)
		for done := 0; done < n; {
			batch := min(500, n-done)
			args := []string{"HSET", key}
			switch i % 4 {
			case 1:
				args[0] = "ZADD"
			case 2:
				args[0] = "RPUSH"
			case 3:
				args[0] = "SADD"
			}
			for j := done; j < done+batch; j++ {
				switch i % 4 {
				case 0:
					args = append(args, "field"+strconv.Itoa(j), g.text(16))
				case 1:
					args = append(args, g.score(), "member"+strconv.Itoa(j))
				case 2, 3:
					args = append(args, g.text(16))
				}
			}
			g.do(args...)
			done += batch
		}
	}
}

// makeText: 30,000 strings of about 10 KB of JSON-like text, which LZF halves.
func makeText(g *generator) {
	for i := range 30_000 {
		var b []byte
		for len(b) < 10_000 {
			b = fmt.Appendf(b, `{"id":%d,"name":"%s","email":"%s@example.com","active":%v,"score":%.3f,"tags":["%s","%s"]},`,
				g.rng.IntN(1e9), g.text(8), g.text(6), g.rng.IntN(2) == 0, g.rng.Float64()*100, g.text(4), g.text(4))
		}
		g.do("SET", fmt.Sprintf("doc:%d", i), string(b))
	}
}
