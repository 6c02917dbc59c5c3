package engine

import (
	"testing"
	"time"
)

// A share is that of the last minute, and a rule that takes more than a fifth of
// it is warned of, once in a while.
func TestBudget(t *testing.T) {
	var b budget
	at := time.Unix(1_700_000_000, 0)
	var heavy, light time.Duration
	warned := map[string]int{}
	step := func(rounds int, takes time.Duration) {
		for range rounds {
			at, heavy, light = at.Add(budgetEvery), heavy+takes, light+budgetEvery/10
			for rule := range b.next(budgetRound{at, map[string]time.Duration{"heavy": heavy, "light": light}}) {
				warned[rule]++
			}
		}
	}
	step(budgetRounds, budgetEvery/2)
	if len(warned) > 0 {
		t.Errorf("warned before a minute was over: %v", warned)
	}
	step(1, budgetEvery/2)
	if warned["heavy"] != 1 || warned["light"] != 0 {
		t.Errorf("warned of %v", warned)
	}
	if got := b.share("heavy"); got < 0.49 || got > 0.51 {
		t.Errorf("heavy takes %v of the time, want a half", got)
	}
	if got := b.share("light"); got < 0.09 || got > 0.11 {
		t.Errorf("light takes %v of the time, want a tenth", got)
	}
	step(int(budgetRepeat/budgetEvery)-1, budgetEvery/2)
	if warned["heavy"] != 1 {
		t.Errorf("warned of it %d times in ten minutes", warned["heavy"])
	}
	step(1, budgetEvery/2)
	if warned["heavy"] != 2 {
		t.Errorf("warned of it %d times in eleven minutes", warned["heavy"])
	}
	step(budgetRounds, 0)
	if got := b.share("heavy"); got != 0 {
		t.Errorf("after a quiet minute heavy takes %v", got)
	}
}
