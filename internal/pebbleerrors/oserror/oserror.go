// Package oserror tells the errors of an operating system apart.
package oserror

import (
	"errors"
	"io/fs"
)

// The errors of package io/fs.
var (
	ErrInvalid    = fs.ErrInvalid
	ErrPermission = fs.ErrPermission
	ErrExist      = fs.ErrExist
	ErrNotExist   = fs.ErrNotExist
	ErrClosed     = fs.ErrClosed
)

// IsPermission reports whether an error is one of ErrPermission.
func IsPermission(err error) bool { return errors.Is(err, ErrPermission) }

// IsExist reports whether an error is one of ErrExist.
func IsExist(err error) bool { return errors.Is(err, ErrExist) }

// IsNotExist reports whether an error is one of ErrNotExist.
func IsNotExist(err error) bool { return errors.Is(err, ErrNotExist) }
