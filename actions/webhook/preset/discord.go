package preset

import (
	"net/http"
	"strings"
	"time"
)

var discord = Format{
	Name: "discord", Hosts: []string{"discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"}, Max: 5, Per: 2 * time.Second, body: discordBody,
	Refusals: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
}

// Limits of Discord, in characters: of an embed, and of its title. An embed may
// have 6000 in all.
const (
	discordTitle       = 256
	discordDescription = 4096
)

// discordText is Markdown. A backslash takes its meaning from any character that
// is no letter, digit or blank.
var discordText = dialect{size: utf16Len, escape: func(r rune) string {
	if strings.ContainsRune("\\`*_~|<>#@:/.-+()[]{}!&$", r) {
		return "\\" + string(r)
	}
	return string(r)
}}

// discordBody says that nobody is mentioned: a webhook may mention everyone,
// whatever the roles of the channel say.
func discordBody(m *message, _ *Options) any {
	var lines []string
	room := discordDescription
	if m.about != "" {
		lines = append(lines, code(m.about))
		room -= utf16Len(lines[0]) + 1
	}
	return object{
		"embeds": []object{{
			"title":       discordText.cut(m.title(), discordTitle),
			"description": strings.Join(append(lines, discordText.fit(m.lines, room)...), "\n"),
			"color":       discordColor[m.mark()],
			"footer":      object{"text": m.footerWithSeverity()},
		}},
		"allowed_mentions": object{"parse": []string{}},
	}
}

var discordColor = map[string]int{
	"critical": 0xE01E5A, "error": 0xE01E5A, "warning": 0xECB22E, "info": 0x3498DB, "": 0x3498DB, "resolved": 0x2EB67D,
}
