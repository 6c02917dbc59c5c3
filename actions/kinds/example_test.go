package kinds_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"triggerd/actions"
	"triggerd/actions/kinds"
	"triggerd/internal/event"
)

func Example() {
	a, err := kinds.All.New("print", map[string]any{"format": "text"}, actions.Options{Stdout: os.Stdout})
	if err != nil {
		fmt.Println(err)
		return
	}
	firing := &actions.Firing{
		ID: "8d1f4c40:851576/0:stock-zero/print", Rule: "stock-zero", Action: "print", Attempt: 1,
		Event: &event.Event{
			Name: "incrby", Key: []byte("stock:42"), Command: "DECRBY", Args: [][]byte{[]byte("stock:42"), []byte("3")},
			Time: time.Date(2026, 11, 23, 9, 12, 5, 0, time.UTC),
		},
	}
	if _, err := a.Do(context.Background(), firing); err != nil {
		fmt.Println(err)
	}
	// Output: 2026-11-23T09:12:05.000Z 0 incrby stock:42 DECRBY stock:42 3
}

func Example_mistakes() {
	_, err := kinds.All.New("webhook", map[string]any{"ulr": "https://crm.example.com/", "body": "{{.kee}}"}, actions.Options{})
	fmt.Println(err)
	// Output:
	// body: template: at <.kee>: an event has no .kee; did you mean "key"?
	// ulr: unknown field; did you mean "url"?
	// url: is required: write url = "https://..."
}

func Example_render() {
	a, err := kinds.All.New("webhook", map[string]any{
		"url": "https://crm.example.com/hooks/{{.key}}", "bearer": "hunter2-token", "body": `{"sku":{{json .params.sku}}}`,
	}, actions.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	shown, err := actions.Render(context.Background(), a, &actions.Firing{
		ID: "8d1f4c40:851576/0:stock-zero/crm", Rule: "stock-zero", Action: "crm", Attempt: 1,
		Event: &event.Event{Name: "incrby", Key: []byte("stock:42")}, Params: map[string]string{"sku": "42"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, body, _ := strings.Cut(shown.String(), "\nContent-Type")
	fmt.Println(text)
	fmt.Println("Content-Type" + body[:strings.Index(body, "\n")])
	fmt.Println(shown.Body)
	// Output:
	// POST https://crm.example.com/hooks/stock%3A42
	// Accept: */*
	// Authorization: Bearer ***
	// Content-Type: application/json
	// {"sku":"42"}
}
