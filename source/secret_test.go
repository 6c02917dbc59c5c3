package source

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"triggerd/internal/secret"
)

// A server, or what stands in its place, that says what it was told: no form of
// a password, or of another secret, is in the error, the status or the log.
func TestServerRepeatsSecrets(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var got [4096]byte
				n, _ := conn.Read(got[:])
				fmt.Fprintf(conn, "-ERR no proxy for %q of another-secret, see http://h/?p=p%%40ss%%2Fword\r\n", got[:n])
			}()
		}
	}()
	var log bytes.Buffer
	s, err := NewReplica(Config{
		URL: "redis://user:p%40ss%2Fword@" + ln.Addr().String(), FailFirst: true, DialTimeout: time.Minute, Secrets: secret.New("another-secret"),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range s.Records(t.Context(), Position{}, nil) {
		last = err
	}
	var refused *ServerError
	if !errors.As(last, &refused) || !strings.Contains(last.Error(), secret.Mark) {
		t.Fatalf("got %v, want what the server said", last)
	}
	(&receiver{n: &session{replica: s}}).logLost(last, 0)
	for what, text := range map[string]string{"error": last.Error(), "status": s.Status().LastError, "log": log.String()} {
		for _, hidden := range []string{"p@ss/word", "p%40ss", "another-secret"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s is in the %s: %s", hidden, what, text)
			}
		}
	}
}
