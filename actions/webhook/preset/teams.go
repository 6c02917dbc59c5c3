package preset

import (
	"net/http"
	"time"
)

// teams is a workflow that a webhook starts. It answers 202 before it has made
// anything of the request.
var teams = Format{
	Name: "teams", Hosts: []string{".logic.azure.com", ".api.powerplatform.com"}, Max: 4, Per: time.Second, body: teamsBody,
	Refusals: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
}

// teamsLines is how many bytes what happened may take as JSON. A message may have
// 28 KiB after the service has expanded it, which adds about a fifth, and each
// line adds teamsLine here.
const (
	teamsLines = 18 << 10
	teamsLine  = 120
)

// teamsText is a text of a RichTextBlock, in which nothing has a meaning.
var teamsText = dialect{size: func(s string) int { return jsonLen(s) + teamsLine }}

// jsonLen returns how many bytes a printable text takes in JSON.
func jsonLen(s string) int {
	n := len(s)
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			n++
		}
	}
	return n
}

// teamsBody has what is data in RichTextBlocks: a TextBlock reads Markdown, which
// has no sure escape there. A mention needs an entity, and there is none.
func teamsBody(m *message, _ *Options) any {
	line := func(s string, also object) object {
		run := object{"type": "TextRun", "text": s}
		for name, value := range also {
			run[name] = value
		}
		return object{"type": "RichTextBlock", "inlines": []object{run}}
	}
	body := []object{line(m.title(), object{"weight": "Bolder", "size": "Medium", "color": teamsColor[m.mark()]})}
	if m.about != "" {
		body = append(body, line(m.about, object{"fontType": "Monospace"}))
	}
	for _, text := range teamsText.fit(m.lines, teamsLines) {
		body = append(body, line(text, nil))
	}
	body = append(body, line(m.footerWithSeverity(), object{"isSubtle": true, "size": "Small"}))
	return object{
		"type": "message",
		"attachments": []object{{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": object{
				"type": "AdaptiveCard", "version": "1.2", "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
				"msteams": object{"width": "Full"}, "body": body,
			},
		}},
	}
}

var teamsColor = map[string]string{
	"critical": "Attention", "error": "Attention", "warning": "Warning", "info": "Accent", "": "Default", "resolved": "Good",
}
