package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newManCommand is for packages, which are made with it.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages of all commands",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return failed(err)
			}
			return failed(writeManPages(cmd.Root(), args[0]))
		},
	}
}

// writeManPages writes a page of a command, and one of each below it.
func writeManPages(cmd *cobra.Command, dir string) error {
	cmd.InitDefaultHelpFlag()
	page := filepath.Join(dir, manName(cmd)+".1")
	if err := os.WriteFile(page, []byte(manPage(cmd)), 0o644); err != nil {
		return err
	}
	for _, c := range manChildren(cmd) {
		if err := writeManPages(c, dir); err != nil {
			return err
		}
	}
	return nil
}

// manChildren are the commands below one that have pages. Those of completion,
// which are cobra's, have help only.
func manChildren(cmd *cobra.Command) (list []*cobra.Command) {
	if cmd.Name() == "completion" {
		return nil
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			list = append(list, c)
		}
	}
	return list
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is a command's manual page, in the macros of man(7).
func manPage(cmd *cobra.Command) string {
	var p roff
	b := builtFrom()
	date, _, _ := strings.Cut(b.date, "T")
	fmt.Fprintf(&p, ".TH %q 1 %q %q triggerd\n", strings.ToUpper(manName(cmd)), date, "triggerd "+b.version) // a date whose hyphens are escaped is none
	p.macro("SH", "NAME")
	p.text(manName(cmd) + " - " + strings.ToLower(cmd.Short[:1]) + cmd.Short[1:])
	p.macro("SH", "SYNOPSIS")
	p.text(cmd.UseLine())
	if cmd.Long != "" {
		p.macro("SH", "DESCRIPTION")
		p.prose(cmd.Long)
	}
	if children := manChildren(cmd); len(children) > 0 {
		p.macro("SH", "COMMANDS")
		for _, c := range children {
			p.item(c.Name(), c.Short+". See "+manName(c)+"(1).")
		}
	}
	if cmd.HasAvailableFlags() {
		p.macro("SH", "OPTIONS")
		cmd.Flags().VisitAll(p.flag)
		cmd.InheritedFlags().VisitAll(p.flag)
	}
	if cmd.Example != "" {
		p.macro("SH", "EXAMPLES")
		p.verbatim(strings.Split(cmd.Example, "\n"))
	}
	if !cmd.HasParent() {
		p.surroundings()
		return p.String()
	}
	p.macro("SH", "SEE ALSO")
	p.text(manName(cmd.Parent()) + "(1)")
	return p.String()
}

// roff is a manual page that is being written.
type roff struct{ strings.Builder }

// surroundings are the sections that only the program's own page has.
func (p *roff) surroundings() {
	p.macro("SH", "EXIT STATUS")
	p.item("0", "It was done.")
	p.item("1", "It could not be done.")
	p.item("2", "The command line makes no sense.")
	p.item("78", "There are mistakes in the rules: to start again would not help.")
	p.macro("SH", "ENVIRONMENT")
	for _, v := range [][2]string{
		{"TRIGGERD_CONFIG", "The rules file, where --config is not given."},
		{"TRIGGERD_SOURCE", "The server, where --source is not given."},
		{"TRIGGERD_DATA_DIR", "Where the store is, where --data-dir is not given."},
		{"TRIGGERD_HTTP", "Where status, metrics and API are, where --http is not given."},
		{"TRIGGERD_TOKEN", "The token of the API: what the daemon asks for, and what commands show."},
		{"TRIGGERD_API", "The daemon that commands ask, where --api is not given."},
		{"TRIGGERD_LOG_FORMAT", "logfmt or json."},
		{"TRIGGERD_LOG_LEVEL", "debug, info, warn or error."},
		{"CREDENTIALS_DIRECTORY", "Where ${credential:NAME} in rules is read; set by systemd."},
		{"NOTIFY_SOCKET", "Where the service manager is told how the daemon is doing; set by systemd."},
	} {
		p.item(v[0], v[1])
	}
	p.macro("SH", "FILES")
	p.item("/etc/triggerd/rules.toml", "The rules of the packaged service.")
	p.item("/etc/default/triggerd", "Its environment.")
	p.item("/var/lib/triggerd", "Its store: firings that wait, and the position in the stream.")
	p.macro("SH", "SIGNALS")
	p.item("SIGHUP", "The rules are read again; if there is a mistake in them, the old ones stay.")
	p.item("SIGTERM, SIGINT", "Reading stops, what can be delivered at once is, and the position is saved.")
}

// roffEscape makes text what roff prints as it is.
var roffEscape = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "^", `\(ha`, "~", `\(ti`)

func (p *roff) macro(name string, args ...string) {
	p.WriteString("." + name)
	for _, a := range args {
		p.WriteString(` "` + strings.ReplaceAll(roffEscape.Replace(a), `"`, `\(dq`) + `"`)
	}
	p.WriteByte('\n')
}

// text writes one line of text.
func (p *roff) text(line string) {
	line = roffEscape.Replace(strings.TrimSpace(line))
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	p.WriteString(line + "\n")
}

// prose writes paragraphs; what is indented in them stays as it is.
func (p *roff) prose(s string) {
	paragraph := false // a blank line came before
	lines := strings.Split(s, "\n")
	for i := 0; i < len(lines); i++ {
		switch line := lines[i]; {
		case strings.TrimSpace(line) == "":
			paragraph = true
		case strings.HasPrefix(line, "  "):
			end := i
			for end < len(lines) && strings.HasPrefix(lines[end], "  ") {
				end++
			}
			p.macro("PP")
			p.verbatim(lines[i:end])
			i, paragraph = end-1, end < len(lines) && strings.TrimSpace(lines[end]) != ""
		default:
			if paragraph {
				p.macro("PP")
			}
			p.text(line)
			paragraph = false
		}
	}
}

// verbatim writes lines that are neither filled nor joined.
func (p *roff) verbatim(lines []string) {
	p.macro("RS", "4")
	p.macro("nf")
	for _, line := range lines {
		if line = strings.TrimPrefix(line, "  "); line == "" {
			p.macro("sp")
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, " "))
		p.WriteString(strings.Repeat(`\ `, indent))
		p.text(line)
	}
	p.macro("fi")
	p.macro("RE")
}

// item writes a word and what it means.
func (p *roff) item(word, meaning string) {
	p.macro("TP")
	p.macro("B", word)
	for line := range strings.Lines(meaning) {
		p.text(line)
	}
}

func (p *roff) flag(f *pflag.Flag) {
	if f.Hidden {
		return
	}
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	kind, usage := pflag.UnquoteUsage(f)
	if kind != "" {
		name += " " + kind
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
		usage += fmt.Sprintf(" (default %s)", f.DefValue)
	}
	p.item(name, usage)
}
