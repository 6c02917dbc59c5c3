package errors_test

import (
	stderrors "errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/join"
	"github.com/cockroachdb/errors/oserror"
)

// What pebble, and whoever asks about its errors with the standard library,
// relies on.
func TestErrors(t *testing.T) {
	damage := errors.New("damage")
	for what, ok := range map[string]bool{
		"a mark is found":                   errors.Is(errors.Mark(io.EOF, damage), damage) && stderrors.Is(errors.Mark(io.EOF, damage), damage),
		"what is marked is found":           errors.Is(errors.Mark(io.EOF, damage), io.EOF),
		"below a wrapping, too":             errors.Is(errors.Wrapf(errors.Mark(io.EOF, damage), "block %d", 7), damage),
		"a mark of a mark is found":         errors.Is(errors.Mark(io.EOF, errors.Mark(fs.ErrClosed, damage)), damage),
		"another is not":                    !errors.Is(errors.Mark(io.EOF, damage), fs.ErrExist),
		"%w wraps":                          errors.Is(errors.Errorf("x: %w", damage), damage) && errors.Is(errors.Newf("x: %w", damage), damage),
		"nil stays nil":                     errors.Wrap(nil, "x") == nil && errors.Wrapf(nil, "x") == nil && errors.Mark(nil, damage) == nil && errors.WithStack(nil) == nil && errors.Join() == nil && join.Join(nil, nil) == nil,
		"the first counts":                  errors.CombineErrors(damage, io.EOF) == damage && errors.CombineErrors(nil, io.EOF) == io.EOF && errors.CombineErrors(damage, nil) == damage,
		"the other is not found":            !errors.Is(errors.CombineErrors(damage, io.EOF), io.EOF) && !errors.Is(errors.WithSecondaryError(damage, io.EOF), io.EOF),
		"all of a join are found":           errors.Is(join.Join(damage, io.EOF), io.EOF) && errors.Is(errors.Join(damage, io.EOF), damage),
		"the innermost":                     errors.UnwrapAll(errors.Wrap(errors.Wrap(damage, "b"), "a")) == damage,
		"texts":                             errors.Wrapf(damage, "block %d", errors.Safe(7)).Error() == "block 7: damage" && errors.Wrap(damage, "").Error() == "damage",
		"an error shows no stack":           fmt.Sprintf("%+v", errors.WithStack(errors.Wrap(damage, "x"))) == "x: damage",
		"the operating system's are told":   oserror.IsNotExist(errors.Wrap(fs.ErrNotExist, "x")) && oserror.IsExist(fs.ErrExist) && oserror.IsPermission(fs.ErrPermission),
		"the same text is not the same one": !errors.Is(errors.New("damage"), damage),
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
	var path *fs.PathError
	if !errors.As(errors.Mark(&fs.PathError{Op: "open", Path: "p", Err: io.EOF}, damage), &path) || path.Path != "p" {
		t.Error("As finds nothing")
	}
}
