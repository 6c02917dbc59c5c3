package kinds

import (
	"triggerd/actions"
	"triggerd/actions/exec"
	"triggerd/actions/log"
	"triggerd/actions/print"
	"triggerd/actions/webhook"
)

// All is every kind of action that triggerd has, in the order in which people
// are told of them. It is the one place that names them all.
var All = actions.Kinds{
	&webhook.Kind,
	&exec.Kind,
	&log.Kind,
	&print.Kind,
}
