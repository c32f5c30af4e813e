// SPDX-License-Identifier: Apache-2.0

package classify

import "strings"

// kind is what the many names of local and transport errors come down to.
type kind uint8

const (
	kindNone        kind = iota
	kindTimeout          // the caller's timer ran out
	kindConnect          // no connection came about
	kindTransport        // the connection failed; when is not said
	kindReset            // the connection was lost while waiting for the answer
	kindStream           // the answer broke off
	kindMalformed        // the answer cannot be read
	kindRefused          // HTTP/2 says that the stream was not processed
	kindCertificate      // the certificate is not valid
	kindLocal            // the call never left: serialisation, configuration
	kindCancelled        // the caller gave up
	kindOther            // not known
)

// exceptionRow maps an exception. A phase that says that the call had left
// beats a name that says it had not, and the reverse.
func exceptionRow(k kind, p Phase) rowID {
	unsent := p == BeforeSend || p == Connecting
	switch k {
	case kindTimeout:
		return pick(unsent, r28, r25)
	case kindConnect:
		return lostRow(p, r28)
	case kindTransport, kindReset:
		return lostRow(p, pick(unsent, r28, r29))
	case kindStream, kindMalformed:
		return r31
	case kindRefused:
		return pick(p == FirstByte, r31, r30)
	case kindCertificate:
		return lostRow(p, r10)
	case kindLocal:
		return pick(p >= BodySent, r42, r41)
	case kindCancelled:
		return r27
	case kindOther, kindNone:
	}
	return pick(p == BeforeSend, r41, r42)
}

// lostRow is a lost connection after the call had left, and early before.
func lostRow(p Phase, early rowID) rowID {
	switch p {
	case FirstByte:
		return r31
	case BodySent:
		return r29
	case PhaseUnspecified, BeforeSend, Connecting:
	}
	return early
}

// kindOf finds the kind of an exception by its name: as it is, without its
// package ("httpx.ReadTimeout"), and without a closing "Error" or "Exception".
// Names are compared as a whole, by letters and digits alone.
func kindOf(exception string) kind {
	if strings.TrimSpace(exception) == "" {
		return kindNone
	}
	for _, name := range [...]string{exception, unqualified(exception)} {
		name = bare(name)
		if k := kindByName(name); k != kindOther {
			return k
		}
		if k := kindByName(stem(name)); k != kindOther {
			return k
		}
	}
	return kindOther
}

// unqualified is the name behind the last separator. Text with a space in it
// is a message and has no package.
func unqualified(name string) string {
	if strings.ContainsRune(name, ' ') {
		return name
	}
	return name[strings.LastIndexAny(name, ".:/$#")+1:]
}

// bare keeps letters and digits, in lower case.
func bare(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// stem takes off what says only that an error is an error.
func stem(name string) string {
	if s, ok := strings.CutSuffix(name, "exception"); ok {
		return s
	}
	return strings.TrimSuffix(name, "error")
}

// sameKind tells whether an operator's word for an exception means this one.
func sameKind(word, exception string) bool {
	w := bare(word)
	return w != "" && (w == bare(exception) || w == bare(unqualified(exception)))
}
