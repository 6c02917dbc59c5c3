package admin

// Reload is what came of reading the rules again.
type Reload struct {
	OK   bool   `json:"ok"` // false: the old rules stay, because of the mistakes
	File string `json:"file"`

	Added    []string `json:"added,omitempty"`   // rules, by name
	Removed  []string `json:"removed,omitempty"` // with their states
	Changed  []string `json:"changed,omitempty"`
	Kept     int      `json:"kept"`               // rules that are as they were
	States   []string `json:"states,omitempty"`   // rules with time fields that count and wait on as before
	Dropped  []string `json:"dropped,omitempty"`  // rules that begin to count and wait anew, since their time fields have changed
	Restart  bool     `json:"restart,omitempty"`  // [source], [store] or [http] have changed, which takes a restart
	Mistakes []Note   `json:"mistakes,omitempty"` // why the old rules stay
	Warnings []Note   `json:"warnings,omitempty"`
}

// Note is what is said of a place in the rules.
type Note struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"` // 1-based; 0: of no line
	Col     int    `json:"col,omitempty"`  // 1-based, in bytes
	Rule    string `json:"rule,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}
