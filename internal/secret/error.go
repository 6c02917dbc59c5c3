package secret

// Shown returns err with another text, one that is fit to be shown. errors.Is
// and errors.As still see what it was.
func Shown(text string, err error) error { return &shownError{text, err} }

type shownError struct {
	text string
	err  error
}

func (e *shownError) Error() string { return e.text }
func (e *shownError) Unwrap() error { return e.err }

// MaskError returns err with secrets masked in its text; err itself if there are
// none in it. err is not nil.
func (m *Masker) MaskError(err error) error {
	text := err.Error()
	if shown := m.Mask(text); shown != text {
		return Shown(shown, err)
	}
	return err
}
