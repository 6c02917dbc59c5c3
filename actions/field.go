package actions

import "strings"

// Field is a field of a kind of action, as the rules file has it. From the
// fields come the schema of the rules file and the tables in docs/rules.md.
type Field struct {
	Name     string
	Type     Type
	Doc      string   // one line in Markdown, without a period
	Required bool     // in its table
	Unless   string   // the field of the table that makes it unnecessary; ""
	Values   []string // the texts that it may be; nil: any
	Default  string   // in TOML; "": there is none, or the doc says it
	Template bool     // its texts may be templates
	URL      bool     // its text is a URL
	Secret   bool     // its texts are masked, by their value, wherever they are shown
	Fields   []Field  // of a Table
}

// Type is what TOML value a field takes.
type Type uint8

// The types.
const (
	Text        Type = iota
	Flag             // true or false
	Texts            // a list of texts
	TextOrTexts      // one text, or a list of them
	TextTable        // a table of texts with names of the user's own
	Table            // a table with the fields Fields
	Statuses         // a list of HTTP status codes and classes such as "5xx"
	ExitCodes        // a list of a program's exit codes
)

// String names the type for a reader of the docs.
func (t Type) String() string {
	return [...]string{"text", "true or false", "list of texts", "text or list of texts", "table of texts", "table", "list of codes (`409`) or classes (`\"5xx\"`)", "list of codes"}[t]
}

// Markdown returns the rows of a table of fields: name, type, default, doc.
// Those of a table follow it as name.field.
func Markdown(fields []Field) string {
	var b strings.Builder
	b.WriteString("| field | type | default | |\n| --- | --- | --- | --- |\n")
	writeRows(&b, "", fields)
	return b.String()
}

func writeRows(b *strings.Builder, prefix string, fields []Field) {
	for _, f := range fields {
		kind, def := f.Type.String(), f.Default
		if f.Values != nil {
			kind = "`" + strings.Join(f.Values, "`, `") + "`"
		}
		if f.Template {
			kind += ", template"
		}
		if f.Secret {
			kind += ", masked"
		}
		switch {
		case f.Required:
			def = "required"
		case def != "":
			def = "`" + def + "`"
		}
		b.WriteString("| `" + prefix + f.Name + "` | " + kind + " | " + def + " | " + f.Doc + " |\n")
		writeRows(b, prefix+f.Name+".", f.Fields)
	}
}
