package preset_test

import (
	"fmt"

	"triggerd/actions/webhook/preset"
)

func ExampleFormat_Body() {
	f := of("hset", "order:7", hash("status", "new"), hash("status", "<paid>"), changed("status"))
	fmt.Printf("%s\n", preset.Of("pagerduty").Body(f, &preset.Options{RoutingKey: "R0UT1NGKEY", Severity: "info", Now: at}))
	fmt.Printf("%s\n", preset.Of("discord").Body(f, &preset.Options{Now: at}))
	// Output:
	// {"client":"triggerd","dedup_key":"triggerd/order-paid/0:order:7","event_action":"trigger","payload":{"class":"hset","custom_details":{"event":"hset, db 0, 2026-01-05 10:15:02 UTC","id":"8d1f4c:851576/0:rule/action","key":"order:7","rule":"order-paid","what":"status: new → <paid>"},"severity":"info","source":"order:7","summary":"order-paid: order:7 status: new → <paid>","timestamp":"2026-01-05T10:15:02Z"},"routing_key":"R0UT1NGKEY"}
	// {"allowed_mentions":{"parse":[]},"embeds":[{"color":3447003,"description":"`order:7`\nstatus\\: new → \\<paid\\>","footer":{"text":"hset, db 0, 2026-01-05 10:15:02 UTC"},"title":"order\\-paid"}]}
}
