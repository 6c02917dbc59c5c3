package source

import "triggerd/internal/resp"

// SplitCommand splits a command as it is typed into its name and its arguments,
// with the quotes and escapes that servers understand. A line without any words
// has none. The caller owns them.
func SplitCommand(line string) ([][]byte, error) { return resp.SplitInline([]byte(line)) }
