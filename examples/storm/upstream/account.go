// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/time/rate"
)

// Account is what was counted of the calls of one account.
type Account struct {
	Calls   int `json:"calls"`
	Limited int `json:"refused_429"` // over the account's limit
	// Early is the calls that came before an instant that an answer had named
	// to anybody on the account (Retry-After), and OnTheWay those besides that
	// came so soon after the answer that nobody could have known.
	Early    int `json:"early"`
	OnTheWay int `json:"early_on_the_way"`
	Trouble  int `json:"during_trouble"` // calls in the outage or the hiccup
}

// account is one account's limit and what it was told.
type account struct {
	Account

	bucket *rate.Limiter
	limit  int
	grace  time.Duration
	until  time.Time // latest instant named in answers that everybody can know of
	fresh  []told    // those that may still be on their way
}

// told is one Retry-After: sent then, and naming that instant.
type told struct{ sent, until time.Time }

func newAccount(cfg Config) account {
	return account{bucket: rate.NewLimiter(rate.Limit(cfg.Rate), cfg.Rate), limit: cfg.Rate, grace: cfg.Grace}
}

// arrive counts a call and says whether the limit lets it in. A refused call
// takes nothing from the bucket, which is kinder than OpenAI is.
func (a *account) arrive(now time.Time, trouble bool) bool {
	a.Calls++
	if trouble {
		a.Trouble++
	}
	onTheWay := false
	waiting := a.fresh[:0]
	for _, t := range a.fresh {
		if now.Sub(t.sent) > a.grace {
			a.until = later(a.until, t.until)
			continue
		}
		onTheWay = onTheWay || now.Before(t.until)
		waiting = append(waiting, t)
	}
	a.fresh = waiting
	switch {
	case now.Before(a.until):
		a.Early++
	case onTheWay:
		a.OnTheWay++
	}
	if a.bucket.AllowN(now, 1) {
		return true
	}
	a.Limited++
	return false
}

// ask names a wait in an answer and remembers it.
func (a *account) ask(h http.Header, now time.Time, seconds int) {
	h.Set("Retry-After", strconv.Itoa(seconds))
	a.fresh = append(a.fresh, told{now, now.Add(time.Duration(seconds) * time.Second)})
}

// headers says how the limit stands, as OpenAI does on every answer.
func (a *account) headers(h http.Header, now time.Time) {
	left := max(a.bucket.TokensAt(now), 0)
	full := time.Duration((float64(a.limit) - left) / float64(a.limit) * float64(time.Second))
	h.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(a.limit))
	h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(int(left)))
	h.Set("X-Ratelimit-Reset-Requests", full.Round(time.Millisecond).String())
}

// wait is how long until the bucket holds a call again, in whole seconds as
// Retry-After has them.
func (a *account) wait(now time.Time) int {
	missing := 1 - a.bucket.TokensAt(now)
	return max(int(math.Ceil(missing/float64(a.limit))), 1)
}

// limited answers with a 429. The caller holds the server's mu.
func (a *account) limited(h http.Header, now time.Time) {
	a.headers(h, now)
	a.ask(h, now, a.wait(now))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
