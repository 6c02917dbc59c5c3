package preset

import (
	"net/http"
	"strings"
	"time"
)

var slack = Format{
	Name: "slack", Hosts: []string{"hooks.slack.com", "hooks.slack-gov.com"}, Max: 1, Per: time.Second, body: slackBody,
	Refusals: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
}

// Limits of Slack, in characters; what a notification shows is less than it may
// have.
const (
	slackSection      = 3000
	slackNotification = 500
)

// slackText is any text: <!channel>, <@U1> and <url|text> begin with a <.
var slackText = dialect{size: utf16Len, escape: func(r rune) string {
	switch r {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	}
	return string(r)
}}

// slackBody has what is data in texts of the type plain_text, and in a code span:
// the marks of mrkdwn have no escape. The text beside the blocks is what a
// notification shows.
func slackBody(m *message, _ *Options) any {
	text := func(s string) object { return object{"type": "plain_text", "text": s, "emoji": false} }
	title := "*" + slackText.text(m.title()) + "*"
	if m.about != "" {
		title += "  " + code(slackText.text(m.about))
	}
	return object{
		"text":         slackText.cut(m.title()+": "+m.summary(), slackNotification),
		"unfurl_links": false, "unfurl_media": false,
		"blocks": []object{
			{"type": "section", "text": object{"type": "mrkdwn", "text": title, "verbatim": true}},
			{"type": "section", "text": text(strings.Join(slackText.fit(m.lines, slackSection), "\n"))},
			{"type": "context", "elements": []object{text(slackText.text(m.footerWithSeverity()))}},
		},
	}
}

// code returns a text as a code span, in which nothing but its end has a meaning.
func code(s string) string { return "`" + strings.ReplaceAll(s, "`", "'") + "`" }
