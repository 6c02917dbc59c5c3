package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"triggerd/internal/web"
)

// defaultAPI is where a daemon listens that was told nothing else.
const defaultAPI = "http://127.0.0.1:9797"

// client asks a running daemon.
type client struct {
	api   string
	token string
	json  bool   // print answers as they came
	form  string // "json" is the same; "wide": nothing is cut to fit a terminal
	http  *http.Client
}

// addFlags adds the flags that every command has that asks a daemon.
func (c *client) addFlags(cmd *cobra.Command) {
	c.addAddress(cmd)
	f := cmd.PersistentFlags()
	f.BoolVar(&c.json, "json", false, "print JSON, as the API returns it")
	f.StringVarP(&c.form, "output", "o", "", "json, as --json; wide: cut nothing to fit the terminal")
}

// addAddress adds those that say which daemon is asked.
func (c *client) addAddress(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.api, "api", "", "the daemon's address, http://host:port or unix:///path (else $TRIGGERD_API, "+defaultAPI+")")
	f.StringVar(&c.token, "token", "", "its [http] token, if it has one (better in $TRIGGERD_TOKEN: flags are seen by all users)")
}

// errNoDaemon is returned where nobody answers.
var errNoDaemon = errors.New("no triggerd answers")

const maxAnswer = 64 << 20

// do sends a request, decodes the answer into to, and prints it to out, as it
// came, if that is asked for. It reports whether it was printed.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body, to any, out io.Writer) (printed bool, err error) {
	if err := c.takeForm(); err != nil {
		return false, err
	}
	resp, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return false, failed(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return false, failed(fmt.Errorf("read the answer: %w", err))
	}
	if c.json {
		if err := json.Unmarshal(b, to); err != nil {
			return true, failed(fmt.Errorf("the answer is not triggerd's: %w", err))
		}
		_, err := out.Write(b)
		return true, failed(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		return false, failed(fmt.Errorf("the answer is not triggerd's: %w", err))
	}
	return false, nil
}

// takeForm reads --output, which is another way to say --json.
func (c *client) takeForm() error {
	switch c.form {
	case "", "wide":
	case "json":
		c.json = true
	default:
		return &exitError{exitUsage, fmt.Errorf("--output is json or wide, not %q", c.form)}
	}
	return nil
}

// send returns an answer that is no error; the caller closes its body.
func (c *client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	api := c.address()
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(b)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	base := api
	if _, ok := socketOf(api); ok {
		base = "http://triggerd" // the host is not looked up
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, sent)
	if err != nil {
		return nil, fmt.Errorf("--api %s: not a URL like %s", api, defaultAPI)
	}
	req.Header.Set("X-Triggerd", "1")
	token, err := c.validToken()
	if err != nil {
		return nil, badConfig(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.transport().Do(req)
	if err != nil {
		return nil, unreachable(api, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(api, resp)
}

// address returns where the daemon is, as a URL.
func (c *client) address() string {
	api := strings.TrimSuffix(cmp.Or(c.api, env("TRIGGERD_API", defaultAPI)), "/")
	if !strings.Contains(api, "://") {
		api = "http://" + api
	}
	return api
}

// socketOf returns the path of the unix socket that an address names.
func socketOf(api string) (path string, ok bool) { return strings.CutPrefix(api, "unix://") }

// validToken returns the token to show; "": none.
func (c *client) validToken() (string, error) {
	if c.token != "" {
		return tokenOf("--token", c.token)
	}
	return tokenOf("TRIGGERD_TOKEN", os.Getenv("TRIGGERD_TOKEN"))
}

func (c *client) transport() *http.Client {
	if c.http == nil {
		c.http = &http.Client{
			// To follow would show the token to whoever is named.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport:     c.roundTripper(),
		}
	}
	return c.http
}

// roundTripper connects to the daemon, by its socket if it has one. It keeps no
// connection open: the daemon serves a limited number of them, and who watches
// asks seldom.
func (c *client) roundTripper() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ResponseHeaderTimeout: time.Minute, DisableKeepAlives: true}
	if path, ok := socketOf(c.address()); ok {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	}
	return t
}

func unreachable(api string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the whole URL
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w at %s: %w\nIs it running, and is that its [http] listen? Another address: --api URL, or TRIGGERD_API", errNoDaemon, api, err)
}

// refusal makes an error of an answer that is one.
func refusal(api string, resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var e web.Error
	if json.Unmarshal(b, &e) != nil || e.Error == "" {
		return fmt.Errorf("%s answers %s, which is not triggerd's way: is something else there?", api, resp.Status)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: %s\nGive the token of its [http] section in TRIGGERD_TOKEN, or with --token", api, clean(e.Error))
	}
	if e.Count > 0 {
		return fmt.Errorf("%s, after %d were done", clean(e.Error), e.Count)
	}
	return errors.New(clean(e.Error))
}

// clean makes a text fit for a terminal: keys and errors hold whatever
// somebody wrote.
func clean(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// short cuts what is longer than n characters, which are more than none.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// ago is how long ago a time is, for people; "" for the zero time.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(now.Sub(t))
}

// span is a duration in its two largest units.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// size is a number of bytes, for people.
func size(n int64) string {
	f := float64(n)
	for _, unit := range []string{"bytes", "KB", "MB", "GB"} {
		if f < 1000 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + unit
		}
		f /= 1000
	}
	return fmt.Sprintf("%.1f TB", f)
}
