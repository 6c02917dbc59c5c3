package actions

// Masking is what New makes of an action where there are secrets.
var Masking = newMasking
