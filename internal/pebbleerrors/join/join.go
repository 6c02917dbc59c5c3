// Package join joins errors.
package join

import "errors"

// Join returns an error that wraps all that are not nil; nil if none is.
func Join(errs ...error) error { return errors.Join(errs...) }
